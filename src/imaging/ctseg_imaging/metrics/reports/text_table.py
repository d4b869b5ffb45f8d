"""Reports as a table of plain text: the rows of one case, or the means of several."""

from __future__ import annotations

from collections.abc import Sequence

from ctseg_imaging.metrics.reports.case_report import CaseReport, Row
from ctseg_imaging.metrics.summary import SummaryRow, summary

MEASURES = (("dice", 3), ("hd95", 1), ("assd", 2), ("nsd", 3))
CASE_HEAD = ("label", "Dice", "HD95 mm", "ASSD mm", "NSD", "truth ml", "pred ml", "note")
LEFT = ("label", "case", "measure", "note")
MEANS_HEAD = (
    "label",
    "Dice",
    "HD95 mm",
    "ASSD mm",
    "NSD",
    "rows",
    "empty",
    "not contoured",
    "Dice, empty as 0",
)


def text_lines(reports: Sequence[CaseReport]) -> list[str]:
    """The table and the lines that sum it up; none if no case could be evaluated."""
    rows = [row for report in reports for row in report.rows if row.label is not None]
    if not rows:
        return []
    *per_label, total = summary(rows)
    if len(reports) == 1:
        return [*aligned(CASE_HEAD, [_cells(row) for row in rows]), *_totals(total)]
    return [*aligned(MEANS_HEAD, [_means(row) for row in per_label]), *_totals(total)]


def _totals(total: SummaryRow) -> list[str]:
    """The mean Dice with and without empty sides, and the lesion scores if there are any."""
    lines = [
        f"mean Dice {figure(total.mean.get('dice'), 3)} over {total.n} row{'s' * (total.n != 1)} with the "
        "label on both sides"
    ]
    if total.n_empty:
        lines.append(
            f"mean Dice {figure(total.dice_empty_as_0, 3)} when a label that only one side has counts as 0 "
            f"({total.n_empty} row{'s' * (total.n_empty != 1)} with an empty side)"
        )
    if "lesion_f1" in total.mean:
        lines.append(
            f"lesion recall {figure(total.mean['lesion_recall'], 3)}, lesion F1 "
            f"{figure(total.mean['lesion_f1'], 3)}"
        )
    return lines


def _means(row: SummaryRow) -> tuple[str, ...]:
    figures = (figure(row.mean.get(key), digits) for key, digits in MEASURES)
    return (
        row.name,
        *figures,
        str(row.n),
        str(row.n_empty),
        str(row.n_not_contoured),
        figure(row.dice_empty_as_0, 3),
    )


def _cells(row: Row) -> tuple[str, ...]:
    columns = (*MEASURES, ("volume_truth_ml", 2), ("volume_pred_ml", 2))
    figures = (figure(row.shown(key), digits) for key, digits in columns)
    return row.name, *figures, row.note


def figure(value: float | None, digits: int) -> str:
    """A number with `digits` decimals; "-" where there is none."""
    return "-" if value is None or value != value else f"{value:.{digits}f}"


def aligned(head: tuple[str, ...], body: list[tuple[str, ...]]) -> list[str]:
    """Columns as wide as needed, names and notes left-aligned, independent of the terminal."""
    widths = [max(len(line[k]) for line in (head, *body)) for k in range(len(head))]
    lines = []
    for line in (head, *body):
        cells = [
            cell.ljust(width) if title in LEFT else cell.rjust(width)
            for cell, width, title in zip(line, widths, head, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
