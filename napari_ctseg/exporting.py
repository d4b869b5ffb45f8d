"""A corrected mask as a file on the image's own grid, with what it came from beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ctseg_imaging import formats
from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.atomic import write_bytes
from ctseg_imaging.geometry import AxisView, Match
from ctseg_imaging.volume import LabelMap, Volume

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")


def on_grid_of(label_map: LabelMap, image: Volume | None) -> LabelMap:
    """`label_map` in the voxel order in which `image` is stored, if both lie on one lattice (turned or flipped or not); else as it is."""
    if image is None:
        return label_map
    theirs, ours = AxisView.of(image.geometry), AxisView.of(label_map.geometry)
    match = theirs.geometry(image.geometry).matches(ours.geometry(label_map.geometry))
    if match not in (Match.SAME, Match.ROUNDING):
        return label_map
    turned = theirs.invert(ours.apply(label_map.array))
    return replace(label_map, array=turned, geometry=image.geometry, header=None)


def export(path: Path, label_map: LabelMap, image: Volume | None, provenance: Mapping[str, Any],
           edits: Sequence[Mapping[str, Any]]) -> Path:
    """Write the mask to `path` (its ending decides the format, an older file is replaced) and PATH's stem + ".json" beside it.

    The grid is the image's, header values included, where the mask lies on its lattice; else the mask's own. Returns the path of the JSON.
    Raises FormatError for an ending that is not in ENDINGS or a place that cannot be written to; then neither file is there.
    """
    ending = next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), None)
    if ending is None:
        raise FormatError(f"{path}: cannot tell the format from the name; end it in {', '.join(ENDINGS)}.")
    placed = on_grid_of(label_map, image)
    like = image if image is not None and placed.geometry is image.geometry else label_map
    said = told(placed, image if like is image else None, provenance, edits)
    beside = path.with_name(path.name[: -len(ending)] + ".json")
    formats.write(path, placed, like=like, overwrite=True)
    write_bytes(beside, json.dumps(said, indent=2, ensure_ascii=False, default=str).encode(), overwrite=True)
    return beside


def told(label_map: LabelMap, image: Volume | None, provenance: Mapping[str, Any], edits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the JSON says: the grid, the labels, the image by the hash of its voxels (never by its name), the model, every edit."""
    voxels = {label.value: int(np.count_nonzero(label_map.array == label.value)) for label in label_map.labels}
    millilitres = label_map.geometry.voxel_volume_mm3 / 1000
    return {"written": datetime.now(UTC).isoformat(timespec="seconds"), "program": f"napari-ctseg {_version()}",
            "grid": {"shape_zyx": label_map.geometry.shape, "affine_lps": label_map.geometry.affine_lps.tolist()},
            "image_voxels_sha256": None if image is None else voxel_hash(image.array),
            "labels": [{"value": label.value, "name": label.name, "volume_ml": round(voxels[label.value] * millilitres, 4)}
                       for label in label_map.labels],
            "model": dict(provenance) or None, "edits": [dict(edit) for edit in edits]}


def voxel_hash(array: np.ndarray[Any, Any]) -> str:
    """SHA-256 of the voxels in C order, slice by slice so that nothing large is copied."""
    said = hashlib.sha256(str(array.dtype.str).encode())
    for plane in array:
        said.update(np.ascontiguousarray(plane).tobytes())
    return said.hexdigest()


def _version() -> str:
    try:
        return version("napari-ctseg")
    except PackageNotFoundError:
        return "from source"
