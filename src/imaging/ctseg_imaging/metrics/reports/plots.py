"""The distribution of a measure over the cases, as a picture for the page."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from ctseg_imaging.metrics.reports.case_report import Row
from ctseg_imaging.volume import PALETTE

SPREAD = 0.16  # of the points of a label to either side, in rows
POINTS_FROM = 2  # cases; the figure of one case is in the table


def distributions(rows: Sequence[Row], measure: str = "dice") -> dict[str, list[float]]:
    """The values of each label over the cases, labels ascending, by name.

    A label that only the truth or only the prediction has counts as 0; one that neither has does not count.
    """
    found: dict[str, list[float]] = {}
    names = {row.label: row.name for row in reversed(rows)}
    for row in sorted((row for row in rows if row.contoured), key=lambda row: row.label or 0):
        if np.isfinite(value := row.counted(measure)):
            found.setdefault(names[row.label], []).append(value)
    return found


def draw_distributions(values: dict[str, list[float]], title: str) -> bytes:
    """An SVG: per label a box from the first to the third quartile with the median, whiskers to the 5th and
    95th percentile, and a point per case.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 0.9 + 0.42 * len(values)), layout="constrained")
    axes = figure.add_subplot()
    axes.boxplot(
        list(values.values()),
        orientation="horizontal",
        tick_labels=list(values),
        whis=(5, 95),
        showfliers=False,
        widths=0.5,
        medianprops={"color": "black"},
    )
    for k, numbers in enumerate(values.values(), start=1):
        offset = np.linspace(-SPREAD, SPREAD, len(numbers)) if len(numbers) > 1 else [0.0]
        axes.scatter(numbers, k + np.asarray(offset), s=14, color=PALETTE[(k - 1) % len(PALETTE)], alpha=0.7)
    axes.invert_yaxis()
    axes.set_xlabel(title)
    axes.grid(axis="x", alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
