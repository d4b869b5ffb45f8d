"""The labels that went worst."""

from __future__ import annotations

from collections.abc import Iterable

from ctseg_imaging.metrics.reports.case_report import CaseReport, Row


def worst_rows(reports: Iterable[CaseReport], n: int) -> list[tuple[float, Row]]:
    """(Dice, row) of the `n` rows with the lowest Dice, lowest first; a label that only one side has counts
    as 0, the larger one first.
    """
    rows = [row for report in reports for row in report.rows]
    found = [(dice, row) for row in rows if (dice := row.counted("dice")) == dice]
    return sorted(found, key=lambda one: (one[0], -one[1].volume_truth_ml - one[1].volume_pred_ml))[:n]
