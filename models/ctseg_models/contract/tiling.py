"""Windows over a lattice and the weights of their values."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from ctseg_imaging.geometry import Shape

SIGMA = 0.125  # of the window's side, as in nnU-Net and MONAI
SMALLEST_WEIGHT = 1e-3  # so the sums in a corner, which one window covers, are not divided by 0


def window_starts(length: int, window: int, overlap: float) -> tuple[int, ...]:
    """Starts of windows along one axis, as in MONAI.

    Every int(window (1 - overlap)) voxels; the last window ends with the axis.
    """
    if window >= length:
        return (0,)
    step = max(1, int(window * (1 - overlap)))
    return (*range(0, length - window, step), length - window)


def gaussian_weights(window: Shape) -> Tensor:
    """Gaussian weights (z, y, x): 1 at the centre, which lies between the middle voxels of an even side."""
    weights = torch.ones(())
    for n in window:
        distance = torch.arange(n, dtype=torch.float32) - (n - 1) / 2
        weights = weights[..., None] * torch.exp(-0.5 * (distance / (SIGMA * n)) ** 2)
    return weights.clamp_min(SMALLEST_WEIGHT)


@dataclass(frozen=True, eq=False)
class Tiling:
    """Overlapping windows over an array, along the view's axes (z, y, x)."""

    window: Shape
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    weights: Tensor | None = None  # (z, y, x) float32 of one window; None: all 1

    @classmethod
    def spread(cls, size: Shape, window: Shape, overlap: float) -> Tiling:
        """Windows as MONAI places them, with Gaussian weights.

        Raises ValueError when a side of `size` is shorter than the window's.
        """
        if any(n < w for n, w in zip(size, window, strict=True)):
            raise ValueError(f"The array is {size} and the window {window}; pad the array first.")
        z, y, x = (window_starts(n, w, overlap) for n, w in zip(size, window, strict=True))
        return cls(window, (z, y, x), gaussian_weights(window))

    @property
    def count(self) -> int:
        """The number of windows."""
        return prod(len(axis) for axis in self.starts)
