"""The highest score so far of any class, at every voxel of a slab, stored in few bytes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ctseg_models.inference.input.axis import Taps

WIDENED = 1 << 25  # bytes of maps that are kept with as many columns as the target
InPlaneWindow = tuple[tuple[int, int], tuple[int, int]]  # [start, stop) along y and x


@dataclass(frozen=True, eq=False)
class Rival:
    """One map between its slices, cut to what a window of the target's plane needs.

    across : for some columns of the window, the columns of the map that they need, and their weights; one
    matrix for all of them would be nearly empty.
    """

    window: InPlaneWindow
    coarse: Tensor
    down: Taps
    across: list[tuple[slice, slice, Tensor]]

    @property
    def width(self) -> int:
        """The number of columns of the window."""
        return self.window[1][1] - self.window[1][0]

    @property
    def widened_bytes(self) -> int:
        """The bytes of one slice."""
        return 4 * self.coarse.shape[1] * self.width

    def widened(self, low: int, high: int) -> Tensor:
        """(high - low, y of the map, x of the window)."""
        some = self.coarse[low:high].flatten(0, 1)
        out = some.new_empty(len(some), self.width)
        for columns, inputs, weights in self.across:
            torch.mm(some[:, inputs], weights, out=out[:, columns])
        return out.view(high - low, -1, self.width)
