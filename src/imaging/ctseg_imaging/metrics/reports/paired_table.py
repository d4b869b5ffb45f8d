"""The comparison of two models as plain text, cells of a page, and plain dictionaries."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ctseg_imaging.metrics.reports.paired import CaseDifference, PairedComparison, PairedRow
from ctseg_imaging.metrics.reports.text_table import aligned, figure

HEAD = (
    "label",
    "measure",
    "first",
    "second",
    "gain of the first",
    "95 % interval",
    "wins",
    "ties",
    "losses",
    "p",
    "p, Holm",
    "same order",
)
CASE_HEAD = ("case", "measure", "first", "second", "gain of the first")
TITLES = {"dice": "Dice", "nsd": "NSD", "hd95": "HD95 mm"}
DIGITS = {"dice": 3, "nsd": 3, "hd95": 1}


def paired_lines(comparison: PairedComparison) -> list[str]:
    """A table for the terminal, one line per label and measure."""
    if not comparison.rows:
        return ["The two have no evaluated case and label in common."]
    return aligned(HEAD, [paired_cells(row) for row in comparison.rows])


def paired_cells(row: PairedRow) -> tuple[str, ...]:
    """The cells below HEAD."""
    digits = DIGITS[row.measure]
    return (
        row.name,
        TITLES[row.measure],
        figure(row.first, digits),
        figure(row.second, digits),
        _signed(row.gain, digits),
        f"{_signed(row.low, digits)} to {_signed(row.high, digits)}" if row.low == row.low else "-",
        str(row.wins),
        str(row.ties),
        str(row.losses),
        figure(row.p, 4),
        figure(row.p_corrected, 4),
        f"{row.stability:.0%}" if row.stability == row.stability else "-",
    )


def case_cells(one: CaseDifference) -> tuple[str, ...]:
    """The cells below CASE_HEAD."""
    digits = DIGITS[one.measure]
    values = (figure(value, digits) for value in (one.first, one.second))
    return one.case, TITLES[one.measure], *values, _signed(one.gain, digits)


def by_case(comparison: PairedComparison, measure: str = "dice") -> list[CaseDifference]:
    """The mean of each case, the one where the first model loses most first."""
    found = [one for one in comparison.differences if one.label is None and one.measure == measure]
    return sorted(found, key=lambda one: one.gain)


def paired_dict(comparison: PairedComparison) -> dict[str, Any]:
    """As plain dictionaries: rows, differences, only_first, only_second."""
    return {
        **asdict(comparison),
        "differences": [{**asdict(one), "gain": one.gain} for one in comparison.differences],
    }


def _signed(value: float, digits: int) -> str:
    return "-" if value != value else f"{value:+.{digits}f}"
