"""The curves of a training report, as SVG."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.volume import PALETTE
from ctseg_training.record.history import RunHistory

POINTS = 300  # of a line; more would only enlarge the file
WINDOW_SHARE = 25  # a smoothed value is the mean over a 25th of the points
GREY, BLACK = "#999999", "#1b1b1b"
Values = NDArray[np.float64]


def loss_plot(history: RunHistory) -> bytes:
    """The smoothed loss, thick and black over its raw values, and each of its terms."""
    steps = _column(history, "step")
    terms = {
        name: np.array([_number(step.get("terms", {}).get(name)) for step in history.steps])
        for name in history.terms
    }

    def draw(axes: Any) -> None:
        loss = _column(history, "loss")
        axes.plot(*_thinned(steps, loss), color=GREY, linewidth=0.6, alpha=0.6)
        if len(terms) > 1:
            for (name, values), colour in zip(
                terms.items(), PALETTE * (1 + len(terms) // len(PALETTE)), strict=False
            ):
                axes.plot(*_thinned(steps, smoothed(values)), color=colour, linewidth=1.4, label=name)
        axes.plot(
            *_thinned(steps, smoothed(loss)),
            color=BLACK,
            linewidth=2.2,
            label="loss" if len(terms) != 1 else next(iter(terms)),
        )
        axes.set_ylabel("loss, smoothed")
        _fit_height(axes, [smoothed(loss), *map(smoothed, terms.values())])

    return _svg(draw, wide=True)


def dice_plot(history: RunHistory) -> bytes:
    """The validation's Dice per label and their mean, thick."""
    steps = sorted(history.curve)
    names = list(dict.fromkeys(name for step in steps for name in history.curve[step] if name != "mean"))

    def draw(axes: Any) -> None:
        for name, colour in zip(names, PALETTE * (1 + len(names) // len(PALETTE)), strict=False):
            axes.plot(
                steps,
                [_number(history.curve[step].get(name)) for step in steps],
                color=colour,
                linewidth=1.3,
                marker="o",
                markersize=2.5,
                label=name,
            )
        if len(names) > 1:
            axes.plot(
                steps,
                [_number(history.curve[step].get("mean")) for step in steps],
                color=BLACK,
                linewidth=2.2,
                label="mean",
            )
        axes.set_ylabel("Dice on held-out cases")
        axes.set_ylim(0, 1)

    return _svg(draw, wide=True)


def rate_plot(history: RunHistory) -> bytes:
    """The learning rate."""

    def draw(axes: Any) -> None:
        axes.plot(
            *_thinned(_column(history, "step"), _column(history, "learning_rate")),
            color=PALETTE[6],
            linewidth=1.6,
        )
        axes.set_ylabel("learning rate")
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))

    return _svg(draw, wide=False)


def time_plot(history: RunHistory) -> bytes:
    """Seconds of a step, and the part of them spent waiting for data, if recorded."""
    steps, seconds, waits = _column(history, "step"), _column(history, "seconds_per_step"), waiting(history)

    def draw(axes: Any) -> None:
        axes.plot(*_thinned(steps, smoothed(seconds)), color=PALETTE[6], linewidth=1.6, label="a step")
        if np.isfinite(waits).any():
            axes.plot(
                *_thinned(steps, smoothed(waits)),
                color=PALETTE[4],
                linewidth=1.6,
                label="waiting for data",
            )
        axes.set_ylabel("seconds, smoothed")
        _fit_height(axes, [smoothed(seconds), smoothed(waits)])
        axes.set_ylim(bottom=0)

    return _svg(draw, wide=False, legend_inside=True)


def waiting(history: RunHistory) -> Values:
    """Seconds a step waited for data, one value per step event: `waited` is cumulative, and some steps are
    not reported.
    """
    waited, steps = _column(history, "waited"), _column(history, "step")
    each = np.diff(waited, prepend=np.nan) / np.maximum(np.diff(steps, prepend=np.nan), 1)
    each[each < 0] = np.nan  # counted from the start again
    return each


def smoothed(values: Values) -> Values:
    """The mean over a window around each value, cut at the ends; values that are missing do not count."""
    half = len(values) // (2 * WINDOW_SHARE)
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    low = np.maximum(np.arange(len(values)) - half, 0)
    high = np.minimum(np.arange(len(values)) + half + 1, len(values))
    many = counts[high] - counts[low]
    return np.where(many > 0, (sums[high] - sums[low]) / np.maximum(many, 1), np.nan)


def _thinned(steps: Values, values: Values) -> tuple[Values, Values]:
    keep = (
        np.unique(np.linspace(0, len(steps) - 1, min(POINTS, len(steps))).round().astype(int))
        if len(steps)
        else np.arange(0)
    )
    return steps[keep], values[keep]


def _fit_height(axes: Any, lines: Sequence[Values]) -> None:
    """Limits from the smoothed values: the first steps and single outliers would flatten the rest."""
    values = np.concatenate([line[np.isfinite(line)] for line in lines])
    if values.size:
        low, high = min(0.0, float(values.min())), float(np.percentile(values, 99.5))
        axes.set_ylim(low, low + 1.1 * max(high - low, 1e-12))


def _column(history: RunHistory, name: str) -> Values:
    return np.array([_number(step.get(name)) for step in history.steps], np.float64)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _svg(draw: Callable[[Any], None], *, wide: bool, legend_inside: bool = False) -> bytes:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "ctseg", "font.family": "sans-serif", "font.size": 10}
    ):
        figure = Figure(figsize=(9.6 if wide else 4.7, 3.1 if wide else 2.6), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            place = {"loc": "best"} if legend_inside else {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
            axes.legend(frameon=False, fontsize=9, **place)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        return buffer.getvalue()
