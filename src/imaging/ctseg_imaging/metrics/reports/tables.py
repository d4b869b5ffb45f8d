"""Reports as CSV and JSON, written atomically."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from ctseg_imaging.formats.disk.atomic import atomic_path
from ctseg_imaging.geometry import Match
from ctseg_imaging.metrics.reports.case_report import CaseReport, Row, SliceRow
from ctseg_imaging.metrics.reports.paired import PairedComparison
from ctseg_imaging.metrics.reports.paired_table import paired_dict
from ctseg_imaging.metrics.summary import summary
from ctseg_imaging.volume import slice_number

LESION_COLUMNS = ("lesion_recall", "lesion_f1")
COLUMNS = tuple(field.name for field in fields(Row) if field.name not in LESION_COLUMNS)
SLICE_COLUMNS = tuple(field.name for field in fields(SliceRow))


def write_csv(path: str | Path, reports: Sequence[CaseReport], overwrite: bool = False) -> None:
    """One line per label and case. nan and inf are written as such; `resampled` is yes or no; a failed case
    has its reason in `note`.
    """
    rows = [row for report in reports for row in report.rows]
    lesions = LESION_COLUMNS if any(row.lesion_f1 is not None for row in rows) else ()
    _write_rows(path, rows, COLUMNS + lesions, overwrite)


def write_per_slice_csv(path: str | Path, reports: Sequence[CaseReport], overwrite: bool = False) -> None:
    """One line per case, label and slice in which either side has the label; `slice` is its number from 1 at
    the feet, as the viewer shows it.
    """
    rows = (row for report in reports for row in report.slices)
    numbered = (replace(row, slice=slice_number(row.slice)) for row in rows)
    _write_rows(path, numbered, SLICE_COLUMNS, overwrite)


def write_json(
    path: str | Path,
    reports: Sequence[CaseReport],
    overwrite: bool = False,
    against: PairedComparison | None = None,
) -> None:
    """Write everything but the pictures and the slices. NaN becomes null, infinity the string "inf".

    against : the comparison with another model, written as `against`.
    """
    content = as_dict(reports) | ({} if against is None else {"against": paired_dict(against)})
    text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_path(path, overwrite) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def as_dict(reports: Sequence[CaseReport]) -> dict[str, Any]:
    """The reports as plain dictionaries: convention, nsd_tolerance_mm, cases, summary."""
    cases = [
        {
            "case": report.case,
            "failed": report.failed or None,
            "grid": str(report.match),
            "resampled": report.resampled,
            "notes": [*report.warnings, *_rounding(report)],
            "rows": [
                {key: value for key, value in asdict(row).items() if key != "case" and value is not None}
                for row in report.rows
                if row.label is not None
            ],
        }
        for report in reports
    ]
    rows = [row for report in reports for row in report.rows]
    return {
        "convention": str(reports[0].convention) if reports else None,
        "nsd_tolerance_mm": reports[0].nsd_tolerance_mm if reports else None,
        "cases": cases,
        "summary": [asdict(row) for row in summary(rows)],
        "n_cases": len(reports),
        "n_failed": sum(bool(report.failed) for report in reports),
    }


def _rounding(report: CaseReport) -> list[str]:
    return (
        ["The grids differ by rounding only (less than 0.001 voxel)."]
        if report.match is Match.ROUNDING
        else []
    )


def _write_rows(
    path: str | Path, rows: Iterable[Row | SliceRow], columns: Sequence[str], overwrite: bool
) -> None:
    with atomic_path(path, overwrite) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_cell(getattr(row, column)) for column in columns] for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return format(value, ".10g")
    return "" if value is None else value


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value
