"""A corrected mask as a file on the image's own grid, with what it came from next to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ctseg_imaging import formats
from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.disk.atomic import refuse_sources, write_bytes
from ctseg_imaging.label_names import as_records
from ctseg_imaging.resampling import reoriented
from ctseg_imaging.volume import LabelMap, Volume
from napari_ctseg.export.review_record import review_record
from napari_ctseg.viewer.review import Marks

ENDINGS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha", formats.RTSTRUCT_ENDING, formats.DICOM_ENDING)


def on_grid_of(label_map: LabelMap, image: Volume | None) -> LabelMap:
    """`label_map` in the voxel order in which `image` is stored, if both lie on one lattice (turned or
    flipped or not); else as it is.
    """
    return label_map if image is None else reoriented(label_map, image.geometry) or label_map


@dataclass(frozen=True)
class Written:
    """What an export wrote. history_fault : why the history is not next to the mask, "" if it is. remarks :
    what the mask's file does not hold as it was, one sentence each.
    """

    mask: Path
    history: Path
    history_fault: str = ""
    remarks: tuple[str, ...] = ()


def export_message(written: Written) -> str:
    """The sentence about an export."""
    if written.history_fault:
        message = f"Written: {written.mask}. Its history could not be written: {written.history_fault}"
    else:
        message = f"Written: {written.mask}, with {written.history.name} next to it."
    return " ".join((message, *written.remarks))


def history_path(path: Path) -> Path:
    """NAME.provenance.json next to the mask. Raises FormatError for an ending that is not in ENDINGS."""
    ending = next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), None)
    if ending is None:
        raise FormatError(f"{path}: the format cannot be inferred from the name; use {', '.join(ENDINGS)}.")
    return path.with_name(path.name[: -len(ending)] + ".provenance.json")


def export(
    path: Path,
    label_map: LabelMap,
    image: Volume | None,
    provenance: Mapping[str, Any],
    edits: Sequence[Mapping[str, Any]],
    sources: Iterable[Path] = (),
    marks: Marks = Marks(),
) -> Written:
    """Write the mask to `path` (its ending decides the format, an older file is replaced) and its history to
    `history_path(path)`.

    The grid is the image's, header values included, where the mask lies on its lattice; else the mask's own.
    A .dcm is a DICOM SEG of the image and a .rtstruct.dcm an RTSTRUCT; the image has to come from DICOM.
    sources : files and folders that are open; none of them is replaced. marks : of the review, which go into
    the history. Raises FormatError for a name with another ending, one of `sources`, a history file of that
    name that this program did not write, or a place that cannot be written to; then nothing was changed.
    Where only the history could not be written, the answer contains the error.
    """
    side_path = history_path(path)
    opened = tuple(sources)
    for one in (path, side_path):
        refuse_sources(one, opened)
    refuse_foreign_history(side_path)
    placed = on_grid_of(label_map, image)
    fits = image is not None and placed.geometry is image.geometry
    history = history_of(placed, image if fits else None, provenance, edits)
    if marks:
        history["review"] = review_record(placed, marks)
    like = image if fits or path.name.lower().endswith(formats.DICOM_ENDING) else label_map
    remarks = formats.write(path, placed, like=like, overwrite=True)
    try:
        write_bytes(
            side_path, json.dumps(history, indent=2, ensure_ascii=False, default=str).encode(), overwrite=True
        )
    except FormatError as error:
        return Written(path, side_path, str(error), remarks)
    return Written(path, side_path, remarks=remarks)


def refuse_foreign_history(path: Path) -> None:
    """Raise FormatError for a file that is not a history of this program: neither an export's nor a
    prediction's.
    """
    if not path.exists():
        return
    try:
        fields = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or not (
        "bundles" in fields or str(fields.get("program", "")).startswith("napari-ctseg")
    ):
        raise FormatError(
            f"{path}: was not written by this program and would be overwritten; choose another name for the "
            "mask."
        )


def history_of(
    label_map: LabelMap,
    image: Volume | None,
    provenance: Mapping[str, Any],
    edits: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The content of the JSON: the grid, the labels, the image by the hash of its voxels (never by its name),
    the model, every edit.
    """
    voxels = {
        label.value: int(np.count_nonzero(label_map.array == label.value)) for label in label_map.labels
    }
    millilitres = label_map.geometry.voxel_volume_mm3 / 1000
    return {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "program": f"napari-ctseg {_version()}",
        "grid": {"shape_zyx": label_map.geometry.shape, "affine_lps": label_map.geometry.affine_lps.tolist()},
        "image_voxels_sha256": None if image is None else voxel_hash(image.array),
        "labels": [
            {**record, "volume_ml": round(voxels[record["value"]] * millilitres, 4)}
            for record in as_records(label_map.labels)
        ],
        "model": dict(provenance) or None,
        "edits": [dict(edit) for edit in edits],
    }


def voxel_hash(array: np.ndarray[Any, Any]) -> str:
    """SHA-256 of the voxels in C order, slice by slice so nothing large is copied."""
    digest = hashlib.sha256(str(array.dtype.str).encode())
    for plane in array:
        digest.update(np.ascontiguousarray(plane).tobytes())
    return digest.hexdigest()


def _version() -> str:
    try:
        return version("napari-ctseg")
    except PackageNotFoundError:
        return "from source"
