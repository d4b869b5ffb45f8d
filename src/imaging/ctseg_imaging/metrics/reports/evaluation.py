"""A prediction compared with its truth, label by label and slice by slice, also on different grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.geometry import AxisView, Match
from ctseg_imaging.grid_difference import difference
from ctseg_imaging.metrics.boxes import Box, label_boxes
from ctseg_imaging.metrics.conventions import (
    WMH_LESION,
    Convention,
    overlap_scores,
    surface_scores,
    wmh_masks,
)
from ctseg_imaging.metrics.lesions import count_lesions
from ctseg_imaging.metrics.overlap import JointHistogram, foreground, joint_histogram, occurring
from ctseg_imaging.metrics.reports.case_report import NOT_CONTOURED, CaseReport, Row, SliceRow, empty_note
from ctseg_imaging.metrics.reports.pictures import worst_pictures
from ctseg_imaging.metrics.surfaces import BoolArray
from ctseg_imaging.resampling import reoriented, resample_labels
from ctseg_imaging.volume import LabelMap, Labels, Volume, exact


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

    A prediction on another grid is resampled to the nearest voxel, with a warning. Labels that the truth
    marks as not contoured get a row without numbers. image : drawn under the worst slices if it lies on the
    truth's grid. Raises GeometryError if the two do not overlap in the patient.
    """
    convention = Convention(convention)
    image = image if image is None else exact(image, "be measured")
    match, warnings = (
        truth.geometry.matches(prediction.geometry),
        _naming_warnings(prediction.labels, truth.labels, case),
    )
    if match is Match.NO_OVERLAP:
        raise GeometryError(
            f"{case}: the prediction and the truth do not overlap in the patient; check that they belong to "
            "the same scan."
        )
    if resampled := match in (Match.SHIFTED, Match.OTHER_GRID):
        warnings.insert(
            0,
            f"{case}: the prediction lies on another grid "
            f"({difference(prediction.geometry, truth.geometry)}); it was resampled (nearest voxel) onto the "
            "truth's.",
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
    boxes = label_boxes(*maps, histogram.values, margin=1)
    comparison = _Comparison(case, *maps, histogram, boxes, geometry.spacing_mm, convention, nsd_tolerance_mm)
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
    boxes: dict[int, Box | None]
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
        """Both masks of a label in its box, with a margin that tells its surface from the volume's border."""
        box = self.boxes[value] or (slice(0),) * 3
        return self.truth[box] == value, self.prediction[box] == value

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
                f"{case}: the {sides[this]} has {listed}, which the {sides[other]} does not have."
            )
    return warnings
