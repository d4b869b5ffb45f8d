"""One case: a prediction against its truth, label by label and slice by slice, whatever grids the two came
on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.geometry import AxisView, Match
from ctseg_imaging.grid_difference import difference
from ctseg_imaging.metrics.conventions import (
    WMH_LESION,
    Convention,
    overlap_scores,
    surface_scores,
    wmh_masks,
)
from ctseg_imaging.metrics.lesions import count_lesions
from ctseg_imaging.metrics.overlap import JointHistogram, foreground, joint_histogram, occurring
from ctseg_imaging.metrics.reports.pictures import Picture, worst_pictures
from ctseg_imaging.metrics.surfaces import BoolArray
from ctseg_imaging.resampling import reoriented, resample_labels
from ctseg_imaging.volume import LabelMap, Labels, Volume, exact

NAN = float("nan")
NOT_CONTOURED = "not contoured"
EMPTY_IN_BOTH = "empty in both"


@dataclass(frozen=True)
class Row:
    """One label of one case; the fields are the columns of the report. Ratios in [0, 1], distances in mm.

    label None : the case could not be evaluated and `note` says why. lesion_recall and lesion_f1 : for
    wmh2017 only.
    """

    case: str
    label: int | None = None
    name: str = ""
    dice: float = NAN
    iou: float = NAN
    precision: float = NAN
    recall: float = NAN
    volume_truth_ml: float = NAN
    volume_pred_ml: float = NAN
    avd_percent: float = NAN
    hd: float = NAN
    hd95: float = NAN
    assd: float = NAN
    nsd: float = NAN
    resampled: bool = False
    note: str = ""
    lesion_recall: float | None = None
    lesion_f1: float | None = None

    @property
    def contoured(self) -> bool:
        """False for a label that nobody drew in this case."""
        return self.label is not None and self.note != NOT_CONTOURED

    @property
    def empty(self) -> bool:
        """Whether the truth, the prediction or both have no voxel of the label."""
        return self.contoured and (self.volume_truth_ml == 0 or self.volume_pred_ml == 0)

    def shown(self, key: str) -> float | None:
        """The field `key` for a reader. What neither side has is not measured, whatever number a convention
        gives to it.
        """
        value: float | None = getattr(self, key)
        return NAN if self.note == EMPTY_IN_BOTH and not key.startswith("volume") else value


@dataclass(frozen=True)
class SliceRow:
    """One label in one slice where either side has it. slice : from feet to head, as the viewer counts, from
    0. Areas in mm2.
    """

    case: str
    label: int
    slice: int
    dice: float
    fp_mm2: float
    fn_mm2: float


@dataclass(frozen=True, eq=False)
class CaseReport:
    """What came out for one case. warnings : sentences for the user. failed : why there is nothing, else
    "".

    match : how the grids lay to each other. pictures : the worst slices.
    """

    case: str
    rows: tuple[Row, ...]
    slices: tuple[SliceRow, ...] = ()
    convention: Convention = Convention.DEEPMIND
    nsd_tolerance_mm: float = 2.0
    match: Match = Match.SAME
    warnings: tuple[str, ...] = ()
    failed: str = ""
    pictures: tuple[Picture, ...] = field(default=(), repr=False)

    @property
    def resampled(self) -> bool:
        """Whether the prediction was brought onto the truth's grid."""
        return self.match in (Match.SHIFTED, Match.OTHER_GRID)

    @classmethod
    def failure(
        cls,
        case: str,
        reason: str,
        convention: Convention | str = Convention.DEEPMIND,
        nsd_tolerance_mm: float = 2.0,
    ) -> CaseReport:
        """A case that could not be evaluated."""
        return cls(
            case, (Row(case, note=reason),), (), Convention(convention), nsd_tolerance_mm, failed=reason
        )


def evaluate_pair(
    prediction: LabelMap,
    truth: LabelMap,
    *,
    case: str,
    convention: Convention | str = Convention.DEEPMIND,
    nsd_tolerance_mm: float = 2.0,
    image: Volume | None = None,
) -> CaseReport:
    """Compare a prediction with its truth on the truth's grid, by label value.

    A prediction on another grid is resampled to the nearest voxel and the report says so. Labels that the
    truth marks as not contoured get a row without numbers. image : drawn under the worst slices if it lies on
    the truth's grid. Raises GeometryError if the two have no point of the patient in common.
    """
    convention = Convention(convention)
    image = image if image is None else exact(image, "be measured")
    match, warnings = (
        truth.geometry.matches(prediction.geometry),
        _naming_warnings(prediction.labels, truth.labels, case),
    )
    if match is Match.NO_OVERLAP:
        raise GeometryError(
            f"{case}: the prediction and the truth have no point in common in the patient; check that they "
            "belong to "
            "the same scan."
        )
    if resampled := match in (Match.SHIFTED, Match.OTHER_GRID):
        warnings.insert(
            0,
            f"{case}: the prediction lies on another grid "
            f"({difference(prediction.geometry, truth.geometry)}); "
            "it was resampled (nearest voxel) onto the truth's.",
        )
    prediction = reoriented(prediction, truth.geometry) or resample_labels(prediction, truth.geometry)
    view = AxisView.of(truth.geometry)
    geometry = view.geometry(truth.geometry)
    maps = view.apply(truth.array), view.apply(prediction.array)
    values: tuple[int, ...] = (WMH_LESION,)
    if convention is Convention.WMH2017:
        maps = wmh_masks(*maps)
    else:
        found = [occurring(array) for array in maps]
        warnings += _unknown_warnings(found, (truth.labels, prediction.labels), case)
        values = foreground([*truth.labels.values, *found[0], *found[1]])
    left_out = {label.value for label in truth.labels if not label.contoured}
    histogram = joint_histogram(*maps, set(values) - left_out)
    comparison = _Comparison(case, *maps, histogram, geometry.spacing_mm, convention, nsd_tolerance_mm)
    rows = [
        Row(case, value, note=NOT_CONTOURED)
        if value in left_out
        else replace(comparison.row(value), resampled=resampled)
        for value in values
    ]
    names = truth.labels.merged(prediction.labels)
    rows = [replace(row, name=names.name(value)) for row, value in zip(rows, values, strict=True)]
    pictures = worst_pictures(*maps, histogram, geometry.spacing_mm, _underlay(image, truth, view))
    return CaseReport(
        case,
        tuple(rows),
        tuple(comparison.slice_rows()),
        convention,
        nsd_tolerance_mm,
        match,
        tuple(warnings),
        "",
        pictures,
    )


def _underlay(image: Volume | None, truth: LabelMap, view: AxisView) -> NDArray[Any] | None:
    """The image in the viewer's order, if it has one channel and lies on the truth's grid."""
    if (
        image is None
        or image.channels > 1
        or truth.geometry.matches(image.geometry) not in (Match.SAME, Match.ROUNDING)
    ):
        return None
    return view.apply(image.array.reshape(truth.geometry.shape))


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Two maps in the viewer's order on one grid, and their counts."""

    case: str
    truth: NDArray[np.integer]
    prediction: NDArray[np.integer]
    histogram: JointHistogram
    spacing_mm: tuple[float, float, float]
    convention: Convention
    nsd_tolerance_mm: float

    def row(self, value: int) -> Row:
        """The numbers of one label."""
        overlap = overlap_scores(self.histogram, value, self.convention)
        truth, prediction = self._masks(value)
        surface = surface_scores(truth, prediction, self.spacing_mm, self.convention, self.nsd_tolerance_mm)
        truth_ml, prediction_ml = self.histogram.volumes_ml(value, float(np.prod(self.spacing_mm)))
        row = Row(
            self.case,
            value,
            "",
            overlap.dice,
            overlap.iou,
            overlap.precision,
            overlap.recall,
            truth_ml,
            prediction_ml,
            overlap.avd_percent,
            surface.hd,
            surface.hd95,
            surface.assd,
            surface.nsd,
            note=empty_note(truth_ml, prediction_ml),
        )
        if self.convention is Convention.WMH2017:
            lesions = count_lesions(truth, prediction)
            row = replace(row, lesion_recall=lesions.recall, lesion_f1=lesions.f1)
        return row

    def _masks(self, value: int) -> tuple[BoolArray, BoolArray]:
        """Both masks of a label, cut to the slices that have it: no measure looks beyond them."""
        truth, prediction, _ = self.histogram.voxels(value)
        present = np.flatnonzero(truth + prediction)
        along_z = slice(int(present[0]), int(present[-1]) + 1) if len(present) else slice(0)
        return self.truth[along_z] == value, self.prediction[along_z] == value

    def slice_rows(self) -> list[SliceRow]:
        """The slices of every label, where either side has it."""
        pixel_mm2 = self.spacing_mm[1] * self.spacing_mm[2]
        rows = []
        for value in self.histogram.values:
            dice, (extra, missed) = (
                self.histogram.per_slice_dice(value),
                self.histogram.per_slice_false(value),
            )
            rows += [
                SliceRow(
                    self.case,
                    value,
                    int(k),
                    float(dice[k]),
                    float(extra[k] * pixel_mm2),
                    float(missed[k] * pixel_mm2),
                )
                for k in np.flatnonzero(~np.isnan(dice))
            ]
        return rows


def empty_note(truth_ml: float, prediction_ml: float) -> str:
    """Which of the two has no voxel of a label; "" where both have some."""
    if truth_ml and prediction_ml:
        return ""
    return (
        EMPTY_IN_BOTH
        if truth_ml == prediction_ml
        else "empty in the truth"
        if truth_ml == 0
        else "empty in the prediction"
    )


def _naming_warnings(prediction: Labels, truth: Labels, case: str) -> list[str]:
    """Values that both sides name, but differently."""
    theirs = {label.value: label for label in truth if label.named}
    differing = [
        f"{label.value} is {theirs[label.value].name} in the truth and {label.name} in the prediction"
        for label in prediction
        if label.named and label.value in theirs and theirs[label.value].name != label.name
    ]
    return [f"{case}: labels are compared by value, though {'; '.join(differing)}."] if differing else []


def _unknown_warnings(found: Sequence[tuple[int, ...]], declared: Sequence[Labels], case: str) -> list[str]:
    """Values that occur on one side and that the other side neither has nor lists."""
    sides = ("truth", "prediction")
    warnings = []
    for this, other in ((0, 1), (1, 0)):
        unknown = sorted(set(found[this]) - set(found[other]) - set(declared[other].values))
        if unknown and not found[other]:
            warnings.append(f"{case}: the {sides[other]} is empty.")
        elif unknown:
            listed = f"label{'s' * (len(unknown) > 1)} {', '.join(str(value) for value in unknown)}"
            warnings.append(
                f"{case}: the {sides[this]} has {listed}, which the {sides[other]} does not know."
            )
    return warnings
