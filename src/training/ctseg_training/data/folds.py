"""Folds of a cross-validation that keep similar cases together, and the table over all held-out cases.

Cases sorted by number of slices and then by thickness are the worst case for generalisation: a fold's
networks have seen no volume like those that they are scored on. The standard deviation over cases is as
informative as the mean. Source: paper 3, "Results".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from ctseg_imaging import formats
from ctseg_imaging.errors import RecipeError
from ctseg_imaging.geometry import AxisView, Geometry
from ctseg_training.data.decathlon import Decathlon

MEAN = "mean"


class CaseSlices(NamedTuple):
    """The slices of a case.

    slices : their number along the axis nearest to the patient's, feet to head. thickness_mm : the distance
    of neighbours.
    """

    name: str
    slices: int
    thickness_mm: float


@dataclass(frozen=True)
class MeanAndDeviation:
    """Mean and deviation over the cases with a value.

    deviation : the sample's (n - 1), None for fewer than two cases.
    """

    mean: float | None
    deviation: float | None
    cases: int


def slice_counts(dataset: Decathlon) -> list[CaseSlices]:
    """Of the training cases, from the images' headers; no voxel is read unless a header needs it.

    Raises FormatError, GeometryError.
    """
    found = []
    for entry in dataset.training:
        geometry = _geometry(entry.image)
        upright = AxisView.of(geometry).geometry(geometry)
        found.append(CaseSlices(entry.name, upright.shape[0], upright.spacing_mm[0]))
    return found


def sorted_folds(cases: Sequence[tuple[str, int, float]], folds: int) -> tuple[tuple[str, ...], ...]:
    """The cases' names in `folds` contiguous runs of the order by (slices, thickness_mm, name), sizes equal
    to within one.

    cases : (name, slices, thickness_mm). Raises RecipeError for fewer than two folds, more folds than cases,
    or a name that occurs twice.
    """
    if len({name for name, _, _ in cases}) != len(cases):
        raise RecipeError("Two cases have one name, so folds cannot name them; rename one image.")
    if not 2 <= folds <= len(cases):
        raise RecipeError(f"{len(cases)} cases cannot be cut into {folds} folds; take 2 to {len(cases)}.")
    order = sorted(cases, key=lambda case: (case[1], case[2], case[0]))
    edges = [len(order) * fold // folds for fold in range(folds + 1)]
    return tuple(tuple(name for name, _, _ in order[a:b]) for a, b in pairwise(edges))


def spread(values: Sequence[float | None]) -> MeanAndDeviation:
    """Mean and standard deviation of those that are not None."""
    counted = [value for value in values if value is not None]
    return MeanAndDeviation(
        float(np.mean(counted)) if counted else None,
        float(np.std(counted, ddof=1)) if len(counted) > 1 else None,
        len(counted),
    )


def spread_table(rows: Sequence[Mapping[str, float | None]]) -> dict[str, MeanAndDeviation]:
    """Per label over the cases, and as "mean" that of each case's mean over its labels.

    rows : per case {label: Dice or None}.
    """
    labels = list(dict.fromkeys(label for row in rows for label in row))
    table = {label: spread([row.get(label) for row in rows]) for label in labels}
    return table | {MEAN: spread([spread(list(row.values())).mean for row in rows])}


def _geometry(path: Path) -> Geometry:
    """From the header where ITK reads it; what it refuses, and DICOM, is read whole."""
    if path.name.lower().endswith(formats.ENDINGS):
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        try:
            reader.ReadImageInformation()
        except RuntimeError:
            return formats.read(path).geometry
        if reader.GetDimension() == 3:
            return Geometry.from_parts(
                reader.GetSize()[::-1], reader.GetSpacing()[::-1], reader.GetOrigin(), reader.GetDirection()
            )
    return formats.read(path).geometry
