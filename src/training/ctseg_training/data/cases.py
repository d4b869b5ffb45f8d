"""One case, upright and ready to be sampled, read once and kept as a memory map."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctseg_imaging import formats
from ctseg_imaging.errors import BundleError, RecipeError
from ctseg_imaging.geometry import AxisView, Geometry, Match, Triple
from ctseg_models.contract.lattice import ViewBox
from ctseg_models.contract.plan import Intensity
from ctseg_models.inference.input.intensities import settle
from ctseg_training.data.decathlon import CaseEntry

POINTS_PER_LABEL = 2000
DESCRIPTION = "case.json"


@dataclass(frozen=True, eq=False)
class Case:
    """A case along the LPS-upright axes (z to superior, y to posterior, x to left), in its true spacing."""

    name: str
    image: Tensor  # (c, z, y, x) in its stored type
    labels: Tensor  # (z, y, x) uint8 class indices
    geometry: Geometry  # of the upright arrays
    intensities: tuple[Intensity, ...]  # of each channel of the network, fixed for this volume
    present: tuple[bool, ...]  # per class index, contoured or not
    points: dict[int, NDArray[np.int32]]  # per class index that occurs, up to 2000 (n, 3) voxel indices of it
    box: ViewBox  # of all labels, in mm from the outer face of voxel 0; the whole volume when there are none

    @property
    def spacing_mm(self) -> Triple:
        """(z, y, x)."""
        return self.geometry.spacing_mm


def load_case(entry: CaseEntry, channels: Sequence[Intensity]) -> Case:
    """Read both files. channels : of the network, see `Stage.channels`.

    Raises RecipeError when they lie on different grids or hold a value that dataset.json does not list.
    """
    volume, label_map = formats.read(entry.image), formats.read_labels(entry.label)
    if (needed := 1 + max(channel.source for channel in channels)) > volume.channels:
        raise RecipeError(
            f"{entry.image}: has {volume.channels} channels and the recipe takes {needed}; correct "
            "data.intensity.source."
        )
    if volume.geometry.matches(label_map.geometry) not in (Match.SAME, Match.ROUNDING):
        raise RecipeError(
            f"{entry.label}: lies on another grid than its image; resample it onto the image first."
        )
    view = AxisView.of(volume.geometry)
    image = _ready(view.apply(volume.array))
    image = image if image.ndim == 4 else image[None]
    labels = _class_indices(entry, np.ascontiguousarray(view.apply(label_map.array)))
    try:
        settled = tuple(settle(channel, image[channel.source]) for channel in channels)
    except BundleError as error:
        raise RecipeError(f"{entry.image}: {error}") from error
    return make_case(entry.name, image, labels, view.geometry(volume.geometry), settled, entry.present)


def make_case(
    name: str,
    image: NDArray[np.generic],
    labels: NDArray[np.uint8],
    geometry: Geometry,
    intensities: tuple[Intensity, ...],
    present: tuple[bool, ...],
) -> Case:
    """From upright arrays, the image (c, z, y, x).

    Raises RecipeError for a voxel of a label that was not contoured.
    """
    found = [int(value) for value in np.unique(labels) if value]
    if wrong := [value for value in found if not present[value]]:
        raise RecipeError(
            f"{name}: has voxels of class {wrong[0]}, which labels_present lists as not contoured; correct "
            "one of them."
        )
    points = {value: _some_voxels(labels, value) for value in found}
    box = ViewBox.whole(geometry)
    if found:
        voxels = [np.flatnonzero((labels > 0).any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        low = [float(v[0] * s) for v, s in zip(voxels, geometry.spacing_mm, strict=True)]
        high = [float((v[-1] + 1) * s) for v, s in zip(voxels, geometry.spacing_mm, strict=True)]
        box = ViewBox((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    return Case(
        name, torch.from_numpy(image), torch.from_numpy(labels), geometry, intensities, present, points, box
    )


class CaseStore:
    """Cases by their entries.

    Each is read and turned upright once; after that it is a memory map in `folder`, so a data set of any size
    needs only the memory of the parts being sampled, shared between processes.
    """

    def __init__(self, folder: Path, channels: Sequence[Intensity]) -> None:
        self.folder, self.channels = folder, tuple(channels)
        self._opened: dict[CaseEntry, Case] = {}

    def get(self, entry: CaseEntry) -> Case:
        """The case. Raises RecipeError as `load_case`, or when the folder cannot be written."""
        if entry not in self._opened:
            place = self.folder / f"{entry.name}-{self._key(entry)}"
            if not (place / DESCRIPTION).is_file():
                _store(load_case(entry, self.channels), place)
            self._opened[entry] = _open(place)
        return self._opened[entry]

    def _key(self, entry: CaseEntry) -> str:
        """Changes with the files, the labels and the channels."""
        files = [
            [str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in (entry.image, entry.label)
        ]
        parts = [files, entry.classes, entry.present, [channel.model_dump() for channel in self.channels]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _store(case: Case, place: Path) -> None:
    """Store a case atomically; another process may have done it already."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".case-", dir=place.parent))
    except OSError as error:
        raise RecipeError(
            f"{place.parent}: cannot be written ({error.strerror}); choose another folder for the run."
        ) from error
    try:
        np.save(partial / "image.npy", case.image.numpy())
        np.save(partial / "labels.npy", case.labels.numpy())
        points: dict[str, Any] = {str(value): voxels for value, voxels in case.points.items()}
        np.savez(partial / "points.npz", **points)
        described = {
            "name": case.name,
            "affine_lps": case.geometry.affine_lps.tolist(),
            "present": case.present,
            "intensities": [one.model_dump() for one in case.intensities],
            "box": [case.box.low, case.box.high],
        }
        (partial / DESCRIPTION).write_text(json.dumps(described), encoding="utf-8")
        if not (place / DESCRIPTION).is_file():
            partial.replace(place)
    except OSError as error:
        if not (place / DESCRIPTION).is_file():
            raise RecipeError(
                f"{place}: cannot be written ({error.strerror}); free some space or choose another folder."
            ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _open(place: Path) -> Case:
    described = json.loads((place / DESCRIPTION).read_text(encoding="utf-8"))
    image, labels = (np.load(place / f"{name}.npy", mmap_mode="c") for name in ("image", "labels"))
    with np.load(place / "points.npz") as stored:
        points = {int(value): stored[value] for value in stored.files}
    low, high = (tuple(corner) for corner in described["box"])
    return Case(
        described["name"],
        torch.from_numpy(image),
        torch.from_numpy(labels),
        Geometry(labels.shape, np.array(described["affine_lps"])),
        tuple(Intensity(**one) for one in described["intensities"]),
        tuple(described["present"]),
        points,
        ViewBox(low, high),
    )


def _ready(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """int16 where that holds the values, else float32: torch takes neither unsigned 16 bit nor big-endian
    numbers.
    """
    if array.dtype.kind in "iu" and array.size and -32768 <= int(array.min()) <= int(array.max()) <= 32767:
        return np.ascontiguousarray(array, dtype=np.int16)
    return np.ascontiguousarray(array, dtype=np.float32)


def _class_indices(entry: CaseEntry, stored: NDArray[np.generic]) -> NDArray[np.uint8]:
    known = dict(entry.classes) | {0: 0}
    values = [int(value) for value in np.unique(stored)]
    if unknown := [value for value in values if value not in known]:
        raise RecipeError(
            f"{entry.label}: has the value {unknown[0]}, which dataset.json does not name; name it or remove "
            "it."
        )
    table = np.zeros(max(values, default=0) + 1, np.uint8)
    for value in values:
        table[value] = known[value]
    indices: NDArray[np.uint8] = table[stored.astype(np.int64)]
    return indices


def _some_voxels(labels: NDArray[np.uint8], value: int) -> NDArray[np.int32]:
    flat = np.flatnonzero(labels == value)
    flat = flat[:: max(1, len(flat) // POINTS_PER_LABEL)]
    return np.stack(np.unravel_index(flat, labels.shape), axis=1).astype(np.int32)
