"""Open layers as a small data set: images, corrected masks and dataset.json in the Decathlon layout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctseg_imaging import formats
from ctseg_imaging.errors import RecipeError
from ctseg_imaging.formats.disk.atomic import write_bytes
from ctseg_imaging.geometry import Match
from ctseg_imaging.volume import LabelMap, Labels, Volume
from napari_ctseg.docks.finetune.state import CaseRow
from napari_ctseg.export.mask import on_grid_of
from napari_ctseg.viewer.layers import MADE, source_of
from napari_ctseg.viewer.pairs import occurring
from napari_ctseg.viewer.study import Study

if TYPE_CHECKING:
    import napari


def open_cases(viewer: napari.viewer.Viewer, study: Study, before: Sequence[CaseRow]) -> tuple[CaseRow, ...]:
    """Each open image with a mask on its grid: the edited one, else the truth, else another that is not a
    model's untouched answer.

    before : as listed last; its ticks stay.
    """
    unticked = {case.image for case in before if not case.ticked}
    rows = []
    for image in viewer.layers:
        source = source_of(image) if image.ndim == 3 and hasattr(image.data, "shape") else None
        if source is None or source.labels is not None or image.metadata.get(MADE):
            continue
        masks = [
            layer
            for layer in viewer.layers
            if layer.ndim == 3
            and (other := source_of(layer)) is not None
            and other.labels is not None
            and source.shown.matches(other.shown) in (Match.SAME, Match.ROUNDING)
        ]
        if masks:
            rows.append(
                CaseRow(
                    image.name,
                    min(masks, key=lambda layer: _rank(layer, study)).name,
                    image.name not in unticked,
                )
            )
    return tuple(rows)


def _rank(layer: Any, study: Study) -> int:
    if layer.name == study.edited or layer.metadata.get("ctseg_edits"):
        return 0
    if layer.name == study.truth:
        return 1
    source = source_of(layer)
    return 3 if source is not None and source.provenance else 2


def drawn_labels(masks: Iterable[LabelMap]) -> Labels:
    """The classes drawn in any of `masks`, by name, numbered from 1 as they first come: what a network from
    scratch learns.

    Raises RecipeError when nothing is drawn.
    """
    names = dict.fromkeys(mask.labels.name(value) for mask in masks for value in occurring(mask.array))
    if not names:
        raise RecipeError("The masks are empty, so there is nothing to learn; draw in one first.")
    return Labels.from_names(dict(enumerate(names, 1)))


def write_dataset(folder: Path, cases: Iterable[tuple[Volume, LabelMap]], labels: Labels, name: str) -> None:
    """Write `cases` with the values that `labels` (the model's) has for the classes of the same names.

    A class without a voxel in a case counts as not contoured there: a correction contains no information
    about what was never drawn. Raises RecipeError for a drawn class that the model does not know, and for a
    case without any voxel; FormatError when the disk is full.
    """
    training, present = [], {}
    for number, (image, mask) in enumerate(cases):
        case = f"case_{number:03d}"
        placed = on_grid_of(mask, image)
        array, found = _renumbered(placed, labels, case)
        present[case] = [labels.name(value) for value in found]
        for kind in ("imagesTr", "labelsTr"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        plain = replace(image, header=None, source=None)
        formats.write(folder / "imagesTr" / f"{case}.nii.gz", plain, overwrite=True)
        numbered = replace(placed, array=array, labels=labels, header=None)
        formats.write(folder / "labelsTr" / f"{case}.nii.gz", numbered, like=plain, overwrite=True)
        training.append({"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"})
    fields = {
        "name": name,
        "labels": {"0": "background", **{str(label.value): label.name for label in labels}},
        "training": training,
        "labels_present": present,
    }
    write_bytes(
        folder / "dataset.json", json.dumps(fields, indent=2, ensure_ascii=False).encode(), overwrite=True
    )


def _renumbered(mask: LabelMap, labels: Labels, case: str) -> tuple[np.ndarray[Any, Any], list[int]]:
    """The mask with the model's values, and which of them occur."""
    known = {label.name: label.value for label in labels}
    drawn = occurring(mask.array)
    if not drawn:
        raise RecipeError(f"{case}: its mask is empty; correct it first or leave the case out.")
    unknown = [mask.labels.name(value) for value in drawn if mask.labels.name(value) not in known]
    if unknown:
        raise RecipeError(
            f'{case}: its mask has the class "{unknown[0]}", which the model does not know; it knows '
            f"{', '.join(known)}."
        )
    table = np.zeros(max(drawn) + 1, np.uint16 if max(known.values()) > 255 else np.uint8)
    table[list(drawn)] = [known[mask.labels.name(value)] for value in drawn]
    return table[mask.array], sorted({int(table[value]) for value in drawn})
