"""Means over cases, with the number of excluded cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ctseg_imaging.metrics.reports.case_report import Row

MEASURES = (
    "dice",
    "iou",
    "precision",
    "recall",
    "volume_truth_ml",
    "volume_pred_ml",
    "avd_percent",
    "hd",
    "hd95",
    "assd",
    "nsd",
    "lesion_recall",
    "lesion_f1",
)
QUARTILES = (25, 50, 75)


@dataclass(frozen=True)
class SummaryRow:
    """One label over all cases, or all labels (label None).

    n : rows that the means are taken over, those where both sides have the label. n_empty : rows left out
    because one side or both are empty. n_not_contoured : rows of labels that were not contoured, which never
    count. mean, std : by measure (population std); only measures that are defined. quartiles : the first, the
    median and the third, by measure. dice_empty_as_0 : the mean
    Dice when a label that only one side has counts as 0 instead of being left out, so a missed organ cannot
    improve the figure; NaN if neither side ever has it.
    """

    label: int | None
    name: str
    n: int
    n_empty: int
    n_not_contoured: int
    mean: dict[str, float]
    std: dict[str, float]
    dice_empty_as_0: float
    quartiles: dict[str, tuple[float, float, float]] = field(default_factory=dict)


def summary(rows: Iterable[Row]) -> list[SummaryRow]:
    """One row per label, ascending, and a last one over all rows (all labels of all cases weigh alike).

    Failed cases do not count.
    """
    known = [row for row in rows if row.label is not None]
    labels = sorted({row.label for row in known if row.label is not None})
    names = {row.label: row.name for row in reversed(known)}
    per_label = [
        _summarise([row for row in known if row.label == label], label, names[label]) for label in labels
    ]
    return [*per_label, _summarise(known, None, "all labels")]


def _summarise(rows: Sequence[Row], label: int | None, name: str) -> SummaryRow:
    contoured = [row for row in rows if row.contoured]
    full = [row for row in contoured if not row.empty]
    mean, std, quartiles = {}, {}, {}
    for measure in MEASURES:
        values = [
            float(value)
            for row in full
            if (value := getattr(row, measure)) is not None and np.isfinite(value)
        ]
        if values:
            mean[measure], std[measure] = float(np.mean(values)), float(np.std(values))
            first, median, third = map(float, np.percentile(values, QUARTILES))
            quartiles[measure] = first, median, third
    either = [value for row in rows if (value := row.counted("dice")) == value]
    return SummaryRow(
        label,
        name,
        len(full),
        len(contoured) - len(full),
        len(rows) - len(contoured),
        mean,
        std,
        float(np.mean(either)) if either else float("nan"),
        quartiles,
    )
