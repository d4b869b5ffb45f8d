"""The box in which a structure may grow: from a rectangle that is drawn and a range of slices."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.editing.morphology import Slices

Voxel = tuple[int, int, int]
ROUNDING = 1e-6  # voxels


@dataclass(frozen=True)
class GrowBox:
    """[start, stop) of the mask's array, (z, y, x). axis : across the rectangle, 0 z, 1 y, 2 x."""

    start: Voxel
    stop: Voxel
    axis: int

    @property
    def slices(self) -> tuple[int, int]:
        """The first and the last slice along the axis."""
        return self.start[self.axis], self.stop[self.axis] - 1

    def between(self, first: int, last: int) -> GrowBox:
        """The same from one slice to another, in either order."""
        low, high = sorted((first, last))
        return replace(
            self, start=_put(self.start, self.axis, low), stop=_put(self.stop, self.axis, high + 1)
        )

    def framed(self, shape: Voxel) -> Slices:
        """With a voxel around it, within an array of `shape`: for `grow_from_seeds` the faces are outside."""
        spans = zip(self.start, self.stop, shape, strict=True)
        z, y, x = (slice(max(0, a - 1), min(n, b + 1)) for a, b, n in spans)
        return z, y, x

    def within(self, outer: Slices) -> Slices:
        """The box as indices of an array that covers `outer`."""
        spans = zip(self.start, self.stop, outer, strict=True)
        z, y, x = (slice(a - one.start, b - one.start) for a, b, one in spans)
        return z, y, x


def box_of(corners: NDArray[np.floating], shape: Voxel, axis: int, reach: int) -> GrowBox | None:
    """The voxels whose centres lie in a rectangle, in its slice and `reach` slices on either side.

    corners : (n, 3) of the rectangle, voxels of the mask's array, (z, y, x). shape : of that array. axis :
    across the rectangle. None if it contains no voxel.
    """
    low = np.ceil(corners.min(0) - ROUNDING).astype(int)
    high = np.floor(corners.max(0) + ROUNDING).astype(int) + 1
    here = round(float(corners[:, axis].mean()))
    low[axis], high[axis] = here - reach, here + reach + 1
    low, high = np.clip(low, 0, shape), np.clip(high, 0, shape)
    if (low >= high).any():
        return None
    (a, b, c), (d, e, f) = low.tolist(), high.tolist()
    return GrowBox((a, b, c), (d, e, f), axis)


def _put(voxel: Voxel, axis: int, index: int) -> Voxel:
    values = list(voxel)
    values[axis] = index
    return values[0], values[1], values[2]
