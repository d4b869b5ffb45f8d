"""Pictures of predictions: one slice of a case with the contours of truth and prediction."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.formats.disk.atomic import write_bytes
from ctseg_imaging.geometry import Triple
from ctseg_imaging.volume import Labels

INCHES, DPI = 4.4, 110  # of the longer side
NAMES_A_ROW, ROW_INCHES = 3, 0.22
WINDOW_PERCENT = (1.0, 99.0)
DASHES = (0, (2.5, 1.5))
AIR, BORDER = 0.05, 2  # of the window, what is black; voxels left around the rest


@dataclass(frozen=True, eq=False)
class CaseComparison:
    """A case and its prediction.

    image, truth, found : (Z, Y, X) along the LPS-upright axes (z to superior, y to posterior, x to left).
    spacing_mm : (z, y, x). case : as in dataset.json.
    """

    case: str
    image: NDArray[Any]
    truth: NDArray[Any]
    found: NDArray[Any]
    spacing_mm: Triple = (1.0, 1.0, 1.0)


def save_samples(
    folder: Path, findings: Iterable[CaseComparison], labels: Labels, *, step: int
) -> tuple[Path, ...]:
    """Write CASE-step-000123.png for each finding, an axial slice through most of the truth.

    labels : what the values mean.

    Makes the folder. Raises FormatError when the disk is full, ValueError when the arrays of a finding differ
    in shape.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for finding in findings:
        at = most_truth(finding.truth, finding.found)
        picture = draw_overlay(
            finding.image[at], finding.truth[at], finding.found[at], labels, spacing_mm=finding.spacing_mm[1:]
        )
        path = folder / f"{finding.case}-step-{step:06d}.png"
        write_bytes(path, picture, overwrite=True)
        written.append(path)
    return tuple(written)


def most_truth(truth: NDArray[Any], found: NDArray[Any]) -> int:
    """The slice of (Z, Y, X) arrays with most voxels of truth; without truth, of the prediction; else the
    middle one.
    """
    for labels in (truth, found):
        voxels = np.count_nonzero(labels, axis=(1, 2))
        if voxels.any():
            return int(voxels.argmax())
    return len(truth) // 2


def draw_overlay(
    image: NDArray[Any],
    truth: NDArray[Any],
    found: NDArray[Any],
    labels: Labels,
    *,
    spacing_mm: tuple[float, float] = (1.0, 1.0),
) -> bytes:
    """A PNG of one axial slice: the grey image between its percentiles, the truth's contours solid, the
    prediction's dashed.

    image, truth, found : (Y, X), y to posterior and x to left, so the patient's right is on the left.
    spacing_mm : (y, x). Raises ValueError when the shapes differ.
    """
    if not image.shape == truth.shape == found.shape:
        raise ValueError(
            f"The image is {image.shape}, the truth {truth.shape} and the prediction {found.shape}; they "
            "must agree."
        )
    seen = _inside(image, (truth > 0) | (found > 0))
    image, truth, found = image[seen], truth[seen], found[seen]
    values = [int(value) for value in np.union1d(truth, found) if value]
    height, width = (n * s for n, s in zip(image.shape, spacing_mm, strict=True))
    figure, axes = _figure(height, width, ceil((len(values) + 2) / NAMES_A_ROW))
    _show_image(axes, image, height, width)
    for value in values:
        _contour(axes, truth == value, spacing_mm, labels.colour(value), "solid")
        _contour(axes, found == value, spacing_mm, labels.colour(value), DASHES)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    _legend(figure, labels, values)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="black", metadata={"Software": None})
    return buffer.getvalue()


def _figure(height: float, width: float, rows: int) -> tuple[Any, Any]:
    """A black figure for a picture of `height` by `width` mm above `rows` of names, and its axes."""
    from matplotlib.figure import Figure

    tall, wide = (INCHES * side / max(height, width) for side in (height, width))
    figure = Figure(figsize=(wide, tall + rows * ROW_INCHES), dpi=DPI, facecolor="black")
    axes = figure.add_axes(
        (0, rows * ROW_INCHES / (tall + rows * ROW_INCHES), 1, tall / (tall + rows * ROW_INCHES))
    )
    axes.set_axis_off()
    return figure, axes


def _show_image(axes: Any, image: NDArray[Any], height: float, width: float) -> None:
    """The grey image over `height` by `width` mm, with the patient's sides."""
    low, high = _window(image)
    axes.imshow(
        image,
        cmap="gray",
        vmin=low,
        vmax=high,
        extent=(0, width, height, 0),
        interpolation="bilinear",
        aspect="auto",
    )
    for side, x, align in (("R", 0.02, "left"), ("L", 0.98, "right")):
        axes.text(x, 0.98, side, transform=axes.transAxes, ha=align, va="top", color="white", fontsize=10)


def _legend(figure: Any, labels: Labels, values: list[int]) -> None:
    """The labels' colours and names, and the two kinds of line."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=labels.colour(value), linewidth=3, label=labels.name(value)) for value in values
    ]
    handles += [
        Line2D([], [], color="white", linestyle=style, linewidth=1.5, label=name)
        for style, name in (("solid", "truth"), (DASHES, "found"))
    ]
    figure.legend(
        handles=handles,
        loc="lower center",
        ncols=NAMES_A_ROW,
        fontsize=8,
        frameon=False,
        labelcolor="white",
        borderaxespad=0.1,
        handlelength=1.8,
        columnspacing=1.0,
        labelspacing=0.25,
    )


def _contour(
    axes: Any, mask: NDArray[np.bool_], spacing_mm: tuple[float, float], colour: str, style: Any
) -> None:
    """The outline of a mask, also where it reaches the border; dark beneath, so it shows on bright tissue."""
    if not mask.any():
        return
    padded = np.pad(mask, 1).astype(np.float32)
    y, x = ((np.arange(n) - 0.5) * step for n, step in zip(padded.shape, spacing_mm, strict=True))
    axes.contour(x, y, padded, levels=[0.5], colors=["black"], linewidths=2.6, alpha=0.5)
    axes.contour(x, y, padded, levels=[0.5], colors=[colour], linestyles=[style], linewidths=1.5)


def _inside(image: NDArray[Any], labels: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns that show the patient, without the air around."""
    low, high = _window(image)
    shown = labels | (image > low + AIR * (high - low))
    rows, columns = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return slice(None), slice(None)
    return (
        slice(max(0, rows[0] - BORDER), rows[-1] + 1 + BORDER),
        slice(max(0, columns[0] - BORDER), columns[-1] + 1 + BORDER),
    )


def _window(image: NDArray[Any]) -> tuple[float, float]:
    finite = image[np.isfinite(image)]
    low, high = np.percentile(finite, WINDOW_PERCENT) if finite.size else (0.0, 1.0)
    return float(low), float(high) if high > low else float(low) + 1
