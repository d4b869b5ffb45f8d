"""The worst slices of a case as small pictures, kept after the volumes are freed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.geometry import Triple
from ctseg_imaging.metrics.overlap import JointHistogram

MARGIN_MM = 15.0
MOST_PICTURES = 3


@dataclass(frozen=True, eq=False)
class Picture:
    """A cut-out of one axial slice in radiological orientation (rows to posterior, columns to the patient's
    left).
    """

    slice: int  # its index from 0, as in SliceRow
    wrong_mm2: float  # area labelled differently from the truth
    spacing_mm: tuple[float, float]  # (y, x)
    # truth, prediction: (y, x) the compared labels, others 0
    truth: NDArray[np.integer]
    prediction: NDArray[np.integer]
    image: NDArray[Any] | None = None  # (y, x) or None


def worst_pictures(
    truth: NDArray[np.integer],
    prediction: NDArray[np.integer],
    histogram: JointHistogram,
    spacing_mm: Triple,
    image: NDArray[Any] | None = None,
) -> tuple[Picture, ...]:
    """The slices with the largest wrong area, at most three, some distance apart, cut to the labelled region.

    truth, prediction, image : (z, y, x) in the viewer's order. histogram : their counts along z. spacing_mm :
    (z, y, x).
    """
    wrong_mm2 = histogram.per_slice_wrong() * spacing_mm[1] * spacing_mm[2]
    pictures = []
    for k in _apart(wrong_mm2, max(1, len(wrong_mm2) // 12)):
        counted = [
            np.where(np.isin(labels[k], histogram.values), labels[k], 0) for labels in (truth, prediction)
        ]
        window = _labelled(counted[0], counted[1], (MARGIN_MM / spacing_mm[1], MARGIN_MM / spacing_mm[2]))
        underlay = None if image is None else image[k][window].copy()
        pictures.append(
            Picture(
                k,
                float(wrong_mm2[k]),
                (spacing_mm[1], spacing_mm[2]),
                counted[0][window].copy(),
                counted[1][window].copy(),
                underlay,
            )
        )
    return tuple(pictures)


def _apart(wrong_mm2: NDArray[np.floating[Any]], distance: int) -> list[int]:
    """The indices of the largest positive values that lie at least `distance` from each other."""
    chosen: list[int] = []
    for k in np.argsort(-wrong_mm2, kind="stable"):
        if wrong_mm2[k] <= 0 or len(chosen) == MOST_PICTURES:
            break
        if all(abs(int(k) - other) >= distance for other in chosen):
            chosen.append(int(k))
    return chosen


def _labelled(
    truth: NDArray[np.integer], prediction: NDArray[np.integer], margin: tuple[float, float]
) -> tuple[slice, slice]:
    """The window of a slice around everything labelled, with a margin in pixels."""
    labelled = (truth > 0) | (prediction > 0)
    window = []
    for axis in (0, 1):
        inside = np.flatnonzero(labelled.any(axis=1 - axis))
        window.append(slice(max(0, int(inside[0] - margin[axis])), int(inside[-1] + margin[axis]) + 1))
    return window[0], window[1]
