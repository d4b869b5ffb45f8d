"""Shapes between drawn slices."""

from __future__ import annotations

from itertools import pairwise

import edt
import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.editing.morphology import Mask, bounding_box

Float = NDArray[np.float32]


def fill_between(
    mask: Mask, spacing_mm: tuple[float, float], *, first: int | None = None, last: int | None = None
) -> Mask:
    """Fill the empty slices between drawn ones along axis 0.

    mask : (z, y, x) bool. spacing_mm : (y, x). first, last : only between these slices (both included);
    default the whole mask. Each empty slice between two drawn neighbours gets the zero set of their signed
    in-plane distances, interpolated linearly with the slice's position. Drawn slices stay as they are;
    nothing is added beyond the outermost drawn slices. Source: shape-based interpolation, Raya & Udupa, IEEE
    TMI 1990.
    """
    filled = mask.copy()
    box = bounding_box(mask)
    if box is None:
        return filled
    low, high = box[0].start if first is None else first, box[0].stop - 1 if last is None else last
    drawn = [int(k) for k in np.flatnonzero(mask.any(axis=(1, 2))) if low <= k <= high]
    for below, above in pairwise(drawn):
        if above - below < 2:
            continue
        start, stop = (signed_distance(mask[k, box[1], box[2]], spacing_mm) for k in (below, above))
        for k in range(below + 1, above):
            share = np.float32((k - below) / (above - below))
            filled[k, box[1], box[2]] = (1 - share) * start + share * stop > 0
    return filled


def signed_distance(plane: Mask, spacing_mm: tuple[float, float]) -> Float:
    """(y, x) distance in mm to the outline of a drawn plane, positive inside; the plane's edge counts as
    outside.
    """
    ring = np.ascontiguousarray(np.pad(plane, 1))
    inside = edt.edt(ring, anisotropy=spacing_mm, black_border=True, parallel=1)
    outside = edt.edt(~ring, anisotropy=spacing_mm, black_border=False, parallel=1)
    signed: Float = (inside - outside)[1:-1, 1:-1]
    return signed
