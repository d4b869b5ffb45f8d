"""The report as one self-contained HTML page: tables, and pictures of the worst slices."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ctseg_imaging.formats.disk.atomic import atomic_path
from ctseg_imaging.html_pages import data_url, rendered
from ctseg_imaging.metrics.differences import ERROR_COLOURS, ERROR_WORDS, error_codes
from ctseg_imaging.metrics.reports.case_report import CaseReport, Row
from ctseg_imaging.metrics.reports.paired import PairedComparison
from ctseg_imaging.metrics.reports.paired_table import CASE_HEAD, HEAD, by_case, case_cells, paired_cells
from ctseg_imaging.metrics.reports.pictures import Picture
from ctseg_imaging.metrics.reports.plots import POINTS_FROM, distributions, draw_distributions
from ctseg_imaging.metrics.reports.worst import worst_rows
from ctseg_imaging.metrics.summary import SummaryRow, summary
from ctseg_imaging.volume import PALETTE, slice_number

_TEMPLATE = Path(__file__).with_name("page.html.jinja")
ERROR_OPACITY = 0.5
WORST = 10  # rows of the list of the worst labels
_NUMBERS = (
    ("dice", "Dice", 3),
    ("iou", "IoU", 3),
    ("precision", "Precision", 3),
    ("recall", "Recall", 3),
    ("volume_truth_ml", "Truth ml", 1),
    ("volume_pred_ml", "Predicted ml", 1),
    ("avd_percent", "AVD %", 1),
    ("hd", "HD mm", 1),
    ("hd95", "HD95 mm", 1),
    ("assd", "ASSD mm", 2),
    ("nsd", "NSD", 3),
)


def write_html(
    path: str | Path,
    reports: Sequence[CaseReport],
    overwrite: bool = False,
    against: PairedComparison | None = None,
) -> None:
    """Write the page for `reports`, and the comparison with another model if there is one.

    It names cases by their file names and contains no other data of a patient.
    """
    titles = [title for _, title, _ in _NUMBERS]
    rows = [row for report in reports for row in report.rows]
    text = rendered(
        _TEMPLATE,
        reports=reports,
        failed=sum(bool(report.failed) for report in reports),
        summary_head=["Label", "Rows", "Empty", "Not contoured", "Dice, empty as 0", *titles],
        summary_rows=_with_total(_summary_cells(row) for row in summary(rows)),
        median_rows=_with_total(_median_cells(row) for row in summary(rows)),
        median_head=["Label", *titles],
        distribution=_distribution(rows) if len(reports) >= POINTS_FROM else None,
        worst=_worst(reports) if len(reports) > 1 else [],
        against=None if against is None else _against(against),
        case_head=["Label", *titles, "Note"],
        case_rows=lambda report: [("" if row.contoured else "none", _cells(row)) for row in report.rows],
        legend=[(colour, ERROR_WORDS[code]) for code, colour in ERROR_COLOURS.items()],
        caption=_caption,
        source=lambda picture: data_url(draw(picture), "image/png"),
    )
    with atomic_path(path, overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _distribution(rows: Sequence[Row]) -> str | None:
    values = distributions(rows)
    return data_url(draw_distributions(values, "Dice"), "image/svg+xml") if values else None


def _worst(reports: Sequence[CaseReport]) -> list[tuple[int, list[str]]]:
    """(position of the report, cells) of the labels with the lowest Dice."""
    places = {report.case: k for k, report in enumerate(reports)}
    return [
        (places[row.case], [row.case, row.name, _number(dice, 3), row.note])
        for dice, row in worst_rows(reports, WORST)
    ]


def _against(comparison: PairedComparison) -> dict[str, Any]:
    return {
        "head": HEAD,
        "rows": [("total" if row.label is None else "", paired_cells(row)) for row in comparison.rows],
        "case_head": CASE_HEAD,
        "case_rows": [("", case_cells(one)) for one in by_case(comparison)],
        "missing": [*comparison.only_first, *comparison.only_second],
    }


def _with_total(cells: Iterable[list[str]]) -> list[tuple[str, list[str]]]:
    """(class, cells) of rows whose last one is over all labels."""
    *labels, total = cells
    return [*(("", row) for row in labels), ("total", total)]


def _median_cells(row: SummaryRow) -> list[str]:
    return [row.name, *(_median(row, key, digits) for key, _, digits in _NUMBERS)]


def _summary_cells(row: SummaryRow) -> list[str]:
    counts = (row.n, row.n_empty, row.n_not_contoured)
    means = [_mean(row, key, digits) for key, _, digits in _NUMBERS]
    return [row.name, *map(str, counts), _number(row.dice_empty_as_0, 3), *means]


def _cells(row: Row) -> list[str]:
    return [row.name, *(_number(row.shown(key), digits) for key, _, digits in _NUMBERS), row.note]


def _mean(row: SummaryRow, key: str, digits: int) -> str:
    return f"{row.mean[key]:.{digits}f} ± {row.std[key]:.{digits}f}" if key in row.mean else "–"


def _median(row: SummaryRow, key: str, digits: int) -> str:
    if key not in row.quartiles:
        return "–"
    first, median, third = (f"{value:.{digits}f}" for value in row.quartiles[key])
    return f"{median} ({first} to {third})"


def _number(value: float | None, digits: int) -> str:
    if value is None or math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:.{digits}f}"


def _caption(picture: Picture) -> str:
    number, wrong_mm2 = slice_number(picture.slice), picture.wrong_mm2
    return f"Slice {number}: {wrong_mm2:.0f} mm² wrong"


def draw(picture: Picture) -> bytes:
    """A PNG of a picture: the image in an abdominal window if there is one, the truth dashed, the prediction
    solid, errors in their colours.
    """
    from matplotlib.figure import Figure

    height, width = np.array(picture.truth.shape) * picture.spacing_mm
    inches = 3.4
    figure = Figure(figsize=(inches * min(2.0, max(0.5, width / height)), inches), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    extent = (0, width, height, 0)
    background: Any = np.zeros(picture.truth.shape) if picture.image is None else picture.image
    low, high = _range(background)
    axes.imshow(background, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="nearest")
    axes.imshow(_wrong(picture), extent=extent, interpolation="nearest")
    y, x = (
        (np.arange(n) + 0.5) * step for n, step in zip(picture.truth.shape, picture.spacing_mm, strict=True)
    )
    for labels, style in ((picture.truth, "dashed"), (picture.prediction, "solid")):
        for value in np.unique(labels[labels > 0]):
            colour = PALETTE[(int(value) - 1) % len(PALETTE)]
            if min(labels.shape) > 1:
                axes.contour(
                    x, y, labels == value, levels=[0.5], colors=[colour], linestyles=style, linewidths=1.2
                )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _wrong(picture: Picture) -> Any:
    """(y, x, RGBA) the errors in their colours, the image shining through."""
    from matplotlib.colors import to_rgba

    table = np.zeros((max(ERROR_COLOURS) + 1, 4))
    for code, colour in ERROR_COLOURS.items():
        table[code] = to_rgba(colour, ERROR_OPACITY)
    return table[error_codes(picture.prediction, picture.truth)]


def _range(image: Any) -> tuple[float, float]:
    """An abdominal window for HU, else the middle 98 % of the values."""
    if float(image.min()) < -200:
        return -150.0, 250.0
    low, high = np.percentile(image, (1, 99))
    return float(low), float(high) if high > low else float(low) + 1
