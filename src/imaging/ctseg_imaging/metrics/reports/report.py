"""The public functions of reports: evaluate pairs, summarise, write."""

from ctseg_imaging.metrics.conventions import Convention
from ctseg_imaging.metrics.reports.case_report import NOT_CONTOURED, CaseReport, Row, SliceRow
from ctseg_imaging.metrics.reports.evaluation import evaluate_pair
from ctseg_imaging.metrics.reports.page import write_html
from ctseg_imaging.metrics.reports.tables import (
    COLUMNS,
    SLICE_COLUMNS,
    as_dict,
    write_csv,
    write_json,
    write_per_slice_csv,
)
from ctseg_imaging.metrics.summary import SummaryRow, summary

__all__ = [
    "COLUMNS",
    "NOT_CONTOURED",
    "SLICE_COLUMNS",
    "CaseReport",
    "Convention",
    "Row",
    "SliceRow",
    "SummaryRow",
    "as_dict",
    "evaluate_pair",
    "summary",
    "write_csv",
    "write_html",
    "write_json",
    "write_per_slice_csv",
]
