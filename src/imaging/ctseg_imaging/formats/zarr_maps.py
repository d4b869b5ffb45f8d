"""Probability maps as Zarr, written a few slices at a time, and readable by other programs.

The layout is OME-NGFF 0.4 with one scale: array "0" (c, z, y, x), names of the channels under `omero`,
spacing and origin as scale and translation in mm. NGFF 0.4 has no oblique axes; the exact geometry is
`ctseg.affine_lps`, (z, y, x) index to LPS mm. An array of uint8 holds value / scale_factor + add_offset, both
attributes of the array.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.disk.atomic import swap_in
from ctseg_imaging.formats.disk.byte_streams import refuse_beyond_memory
from ctseg_imaging.formats.disk.leftovers import part_name, sweep
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Volume

ENDING = ".zarr"
SLICES, SIDE = 16, 256  # of a chunk along z, and along y and x
UINT8_SCALE = 1 / 255
MapType = Literal["float16", "uint8"]


class MapWriter:
    """An open array (c, z, y, x) of values in [0, 1]; write SLICES slices at a time, so a chunk is written
    once.
    """

    def __init__(self, array: Any, kind: MapType) -> None:
        self._array, self._kind = array, kind

    def put(self, channel: int, low: int, slices: NDArray[np.floating[Any]]) -> None:
        """(n, y, x) values for the slices [low, low + n) of a channel."""
        stored = (
            np.rint(slices * np.float32(1 / UINT8_SCALE)).astype(np.uint8)
            if self._kind == "uint8"
            else slices.astype(np.float16)
        )
        self._array[channel, low : low + len(slices)] = stored


@contextmanager
def writing(
    path: Path,
    shape: tuple[int, int, int, int],
    geometry: Geometry,
    names: Sequence[str],
    kind: MapType,
    overwrite: bool = False,
) -> Iterator[MapWriter]:
    """A writer of an array `shape` (c, z, y, x); the folder `path` appears, complete, when the block ends
    without an error.

    geometry : of (z, y, x). names : of the channels. Raises FormatError when `path` exists and `overwrite` is
    false, or cannot be written.
    """
    import zarr

    if path.exists() and not overwrite:
        raise FormatError(f"{path}: exists already; choose another name or allow overwriting.")
    sweep(path.parent)
    partial = path.with_name(part_name(ENDING))
    try:
        group = zarr.open_group(partial, mode="w", zarr_format=2)
        chunks = (1, min(SLICES, shape[1]), min(SIDE, shape[2]), min(SIDE, shape[3]))
        array = group.create_array(
            "0",
            shape=shape,
            chunks=chunks,
            dtype=kind,
            fill_value=0,
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
        array.attrs.update({"scale_factor": UINT8_SCALE if kind == "uint8" else 1.0, "add_offset": 0.0})
        group.attrs.update(_attributes(geometry, names))
        yield MapWriter(array, kind)
        swap_in(partial, path)
    except OSError as error:
        raise FormatError(
            f"{path}: cannot be written ({error.strerror or error}); free some space or choose a folder that "
            "can be written to."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_maps(path: Path) -> tuple[Volume, tuple[str, ...]]:
    """Read what `writing` wrote: a volume (c, z, y, x) float32, and the names of its channels.

    Raises FormatError.
    """
    import zarr

    try:
        group = zarr.open_group(path, mode="r")
        array: Any = group["0"]
        refuse_beyond_memory(path, 4 * math.prod(array.shape))
        attributes: Any = group.attrs
        values = array[:].astype(np.float32) * np.float32(array.attrs["scale_factor"]) + np.float32(
            array.attrs["add_offset"]
        )
        geometry = Geometry(values.shape[1:], np.array(attributes["ctseg"]["affine_lps"]))
        return Volume(values, geometry, source=path), tuple(
            channel["label"] for channel in attributes["omero"]["channels"]
        )
    except (
        OSError,
        ValueError,
        TypeError,
        RuntimeError,
        SystemError,
        LookupError,
        AttributeError,
        ArithmeticError,
        MemoryError,
    ) as error:  # of zarr and blosc
        raise FormatError(
            f"{path}: cannot be read as probability maps that napari-ctseg wrote; predict again."
        ) from error


def _attributes(geometry: Geometry, names: Sequence[str]) -> dict[str, Any]:
    origin = geometry.affine_lps[:3, 3][::-1].tolist()
    axes = [
        {"name": "c", "type": "channel"},
        *({"name": axis, "type": "space", "unit": "millimeter"} for axis in "zyx"),
    ]
    placed = [
        {"type": "scale", "scale": [1.0, *geometry.spacing_mm]},
        {"type": "translation", "translation": [0.0, *origin]},
    ]
    return {
        "multiscales": [
            {
                "version": "0.4",
                "name": "probabilities",
                "axes": axes,
                "datasets": [{"path": "0", "coordinateTransformations": placed}],
            }
        ],
        "omero": {
            "version": "0.4",
            "channels": [
                {
                    "label": name,
                    "color": "FFFFFF",
                    "active": number == 0,
                    "window": {"min": 0, "max": 1, "start": 0, "end": 1},
                }
                for number, name in enumerate(names)
            ],
        },
        "ctseg": {"affine_lps": geometry.affine_lps.tolist(), "index_order": "zyx"},
    }
