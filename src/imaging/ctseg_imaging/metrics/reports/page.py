"""The report as one self-contained HTML page: tables, and pictures of the worst slices."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ctseg_imaging.formats.disk.atomic import atomic_path
from ctseg_imaging.metrics.reports.case_report import CaseReport, Row
from ctseg_imaging.metrics.reports.pictures import Picture
from ctseg_imaging.metrics.summary import SummaryRow, summary
from ctseg_imaging.volume import PALETTE

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 78em; padding: 0 1em }
body { color: #1b1b1b; background: #fff }
table { border-collapse: collapse; margin: 0.6em 0 1.8em }
th, td { padding: 0.2em 0.7em; text-align: right; border-bottom: 1px solid #ddd }
th { border-bottom: 2px solid #888 }
td:first-child, th:first-child, td.t, th.t { text-align: left }
tr.none { color: #888 }
p.warning { background: #fff3d6; padding: 0.4em 0.8em }
figure { display: inline-block; margin: 0 1em 1em 0 }
figcaption { font-size: 13px }
"""
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


def write_html(path: str | Path, reports: Sequence[CaseReport], overwrite: bool = False) -> None:
    """Write the page for `reports`.

    It names cases by their file names and contains no other data of a patient.
    """
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Segmentation report</title>",
        f"<style>{_STYLE}</style></head><body><h1>Segmentation report</h1>",
        _intro(reports),
        "<h2>By label</h2>",
        _summary_table(summary(row for report in reports for row in report.rows)),
    ]
    for report in reports:
        parts.append(f"<h2>{escape(report.case)}</h2>")
        parts += [
            f"<p class='warning'>{escape(text)}</p>"
            for text in ([report.failed] if report.failed else report.warnings)
        ]
        if not report.failed:
            parts += [_case_table(report.rows), *(_figure(picture) for picture in report.pictures)]
    parts.append("</body></html>")
    with atomic_path(path, overwrite) as temporary:
        temporary.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _intro(reports: Sequence[CaseReport]) -> str:
    if not reports:
        return "<p>No cases.</p>"
    failed = sum(bool(report.failed) for report in reports)
    return (
        f"<p>{len(reports)} case{'s' * (len(reports) != 1)}, {failed} failed. Convention "
        f"{escape(str(reports[0].convention))}; NSD within {reports[0].nsd_tolerance_mm:g} mm. Means leave "
        "out rows where one side is empty (counted under Empty); the column “Dice, empty as 0” counts "
        "labels that only one side has as 0.</p>"
    )


def _summary_table(rows: Iterable[SummaryRow]) -> str:
    head = [
        "Label",
        "Rows",
        "Empty",
        "Not contoured",
        "Dice, empty as 0",
        *(title for _, title, _ in _NUMBERS),
    ]
    body = [
        [
            row.name,
            str(row.n),
            str(row.n_empty),
            str(row.n_not_contoured),
            _number(row.dice_empty_as_0, 3),
            *(_mean(row, key, digits) for key, _, digits in _NUMBERS),
        ]
        for row in rows
    ]
    return _table(head, body, ["" for _ in body])


def _case_table(rows: Sequence[Row]) -> str:
    head = ["Label", *(title for _, title, _ in _NUMBERS), "Note"]
    body = [
        [row.name, *(_number(row.shown(key), digits) for key, _, digits in _NUMBERS), row.note]
        for row in rows
    ]
    return _table(head, body, ["" if row.contoured else "none" for row in rows])


def _table(head: Sequence[str], body: Sequence[Sequence[str]], classes: Sequence[str]) -> str:
    lines = ["<table><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    lines += [
        f"<tr class='{kind}'>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row, kind in zip(body, classes, strict=True)
    ]
    return "\n".join(lines) + "</table>"


def _mean(row: SummaryRow, key: str, digits: int) -> str:
    return f"{row.mean[key]:.{digits}f} ± {row.std[key]:.{digits}f}" if key in row.mean else "–"


def _number(value: float | None, digits: int) -> str:
    if value is None or math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:.{digits}f}"


def _figure(picture: Picture) -> str:
    caption = f"Slice {picture.slice}: {picture.wrong_mm2:.0f} mm² wrong. Solid: prediction, dashed: truth."
    data = base64.b64encode(draw(picture)).decode("ascii")
    return (
        f"<figure><img alt='{escape(caption)}' "
        f"src='data:image/png;base64,{data}'><figcaption>{escape(caption)}</figcaption></figure>"
    )


def draw(picture: Picture) -> bytes:
    """A PNG of a picture: the image in an abdominal window if there is one, the truth dashed, the prediction
    solid, errors tinted.
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
    wrong = np.where((picture.truth != picture.prediction)[..., None], (1.0, 0.35, 0.2, 0.35), 0.0)
    axes.imshow(wrong, extent=extent, interpolation="nearest")
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


def _range(image: Any) -> tuple[float, float]:
    """An abdominal window for HU, else the middle 98 % of the values."""
    if float(image.min()) < -200:
        return -150.0, 250.0
    low, high = np.percentile(image, (1, 99))
    return float(low), float(high) if high > low else float(low) + 1
