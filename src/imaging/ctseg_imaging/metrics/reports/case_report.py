"""The result of one case: a row for each label, a row for each label and slice, and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctseg_imaging.geometry import Match
from ctseg_imaging.metrics.conventions import Convention
from ctseg_imaging.metrics.reports.pictures import Picture

NAN = float("nan")
NOT_CONTOURED = "not contoured"
EMPTY_IN_BOTH = "empty in both"
HIGHER_IS_BETTER = frozenset({"dice", "iou", "precision", "recall", "nsd", "lesion_recall", "lesion_f1"})


@dataclass(frozen=True)
class Row:
    """One label of one case; the fields are the columns of the report. Ratios in [0, 1], distances in mm.

    label None : the case could not be evaluated and `note` is the reason. lesion_recall and lesion_f1 : for
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
        """The field `key` as reports show it: NaN for a label that is empty on both sides, even if the
        convention defines a number.
        """
        value: float | None = getattr(self, key)
        return NAN if self.note == EMPTY_IN_BOTH and not key.startswith("volume") else value

    def counted(self, key: str) -> float:
        """The field `key` where a label that only one side has counts as the worst value: 0, or an infinite
        distance. NaN for a label that is not contoured or on neither side.
        """
        if not self.contoured or self.volume_truth_ml == self.volume_pred_ml == 0:
            return NAN
        if self.empty:
            return 0.0 if key in HIGHER_IS_BETTER else float("inf")
        return float(getattr(self, key))


@dataclass(frozen=True)
class SliceRow:
    """One label in a slice where either side has it.

    slice : the index from feet to head along the view that the viewer shows, from 0; the CSV file has the
    number from 1, as the viewer. Areas in mm2.
    """

    case: str
    label: int
    slice: int
    dice: float
    fp_mm2: float
    fn_mm2: float


@dataclass(frozen=True, eq=False)
class CaseReport:
    """The result of one case. warnings : sentences for the user. failed : why there is no result, else "".

    match : the relation of the grids. pictures : the worst slices.
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
        """Whether the prediction was resampled onto the truth's grid."""
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
