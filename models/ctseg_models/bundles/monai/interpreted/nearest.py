"""Nearest voxels as MONAI's Invertd finds them, where that needs more than one rounding for each axis.

A voxel of the volume that lies exactly between two of the network's takes the even one (torch's grid_sample);
and the axes of an oblique NIfTI file, at right angles but for the rounding of its header, tip such a voxel to
one side or the other along the plane.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.geometry import Float, Shape
from ctseg_models.contract.axis_order import AxisOrder

if TYPE_CHECKING:
    from torch import Tensor

    from ctseg_models.contract.maps import Maps

HALF = 1e-5  # voxels: closer than this to a half, rounding decides


@dataclass(frozen=True, eq=False)
class Placement:
    """The position of an array's voxels among those it was resampled to: step @ index + start, in the
    network's axes.

    step : 3x3, new voxels per old one. shape, to : (z, y, x) of the view, of the old and of the new array.
    """

    step: Float
    start: Float
    shape: Shape
    to: Shape
    turn: AxisOrder

    @property
    def has_ties(self) -> bool:
        """Whether an old voxel is as near to one new voxel as to another."""
        for axis in range(3):
            place = self.step[axis, axis] * np.arange(self.shape[self.turn.order[axis]]) + self.start[axis]
            if (np.abs(place - np.floor(place) - 0.5) < HALF).any():
                return True
        return False

    def nearest(self, low: int, high: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """For the old voxels of slices [low, high) of the view: the (z, y, x) indices of the nearest new
        ones.

        Each (high - low, y, x).
        """
        own = [np.arange(low, high), np.arange(self.shape[1]), np.arange(self.shape[2])]
        found: list[NDArray[np.int64] | None] = [None, None, None]
        spread = []
        for axis in range(3):
            view_axis = self.turn.order[axis]
            index = (
                own[view_axis] if axis not in self.turn.flips else self.shape[view_axis] - 1 - own[view_axis]
            )
            spread.append(index.reshape([-1 if other == view_axis else 1 for other in range(3)]))
        for axis in range(3):
            view_axis, count = self.turn.order[axis], self.to[self.turn.order[axis]]
            place = sum(self.step[axis, other] * spread[other] for other in range(3)) + self.start[axis]
            index = np.clip(np.rint(place), 0, count - 1).astype(np.int64)
            found[view_axis] = count - 1 - index if axis in self.turn.flips else index
        z, y, x = found
        assert z is not None
        assert y is not None
        assert x is not None
        return z, y, x


class NearestMaps:
    """Maps at the voxels of the volume, each from the nearest voxel of the network's; computed a few slices
    at a time.
    """

    def __init__(self, maps: Maps, placement: Placement) -> None:
        self._maps, self._placement = maps, placement
        self.shape = (maps.shape[0], *placement.shape)
        self._index: (
            tuple[int, int, tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] | None
        ) = None

    @property
    def pending(self) -> bool:
        """Whether some slices have not been computed yet."""
        return self._maps.pending

    def advance(self, high: int) -> Generator[float, None, None]:
        """Compute the slices below `high`."""
        if high > 0:
            yield from self._maps.advance(int(self._nearest(high - 1, high)[0].max()) + 1)

    def forget(self, low: int) -> None:
        """Allow the memory of the slices below `low` to be reused."""
        if low < self.shape[1]:
            self._maps.forget(int(self._nearest(low, low + 1)[0].min()))

    def part(self, k: int, low: int, high: int) -> Tensor:
        """Slices [low, high) of map k: (high - low, y, x) float32."""
        z, y, x = self._nearest(low, high)
        first, last = int(z.min()), int(z.max()) + 1
        return self._maps.part(k, first, last)[z - first, y, x]

    def _nearest(self, low: int, high: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Cached for the next class, which is read in the same slices."""
        if self._index is None or self._index[:2] != (low, high):
            self._index = (low, high, self._placement.nearest(low, high))
        return self._index[2]
