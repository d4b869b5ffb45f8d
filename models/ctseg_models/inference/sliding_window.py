"""A network over a lattice in overlapping windows, their class maps blended with Gaussian weights."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import product

import torch
from torch import Tensor

from ctseg_models.bundles.bundle import Steps
from ctseg_models.inference.stepwise import Arithmetic

SIGMA = 0.125  # of the window's side, as nnU-Net and MONAI have it
SMALLEST_WEIGHT = 1e-3  # so that a corner seen by one window only is not divided by nothing


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """Starts along one axis: every int(window (1 - overlap)) voxels, the last window moved back to the end (as MONAI)."""
    if window >= length:
        return [0]
    step = max(1, int(window * (1 - overlap)))
    starts = list(range(0, length - window, step))
    return [*starts, length - window]


def gaussian_weights(window: tuple[int, int, int]) -> Tensor:
    """(z, y, x) weights, 1 at the very middle (which lies between voxels of an even side)."""
    weights = torch.ones(())
    for n in window:
        distance = torch.arange(n, dtype=torch.float32) - (n - 1) / 2
        weights = weights[..., None] * torch.exp(-0.5 * (distance / (SIGMA * n)) ** 2)
    return weights.clamp_min(SMALLEST_WEIGHT)


def sliding_window(steps: Steps, x: Tensor, window: tuple[int, int, int], overlap: float, arithmetic: Arithmetic,
                   ) -> Generator[float, None, Tensor]:
    """(1, C, z, y, x) to (K, z, y, x) float32. Yields the share of the work done since the last yield.

    Raises ValueError when a side of `x` is shorter than the window's.
    """
    size = (x.shape[2], x.shape[3], x.shape[4])
    if any(n < w for n, w in zip(size, window, strict=True)):
        raise ValueError(f"The array is {size} and the window {window}; pad the array first.")
    starts = list(_starts(size, window, overlap))
    weights = gaussian_weights(window).to(x.device)
    total: Tensor | None = None
    norm = torch.zeros(size, device=x.device)
    for z, y, w in starts:
        place = (slice(z, z + window[0]), slice(y, y + window[1]), slice(w, w + window[2]))
        work = steps(x[(slice(None), slice(None), *place)], arithmetic)
        while True:
            try:
                yield next(work) / len(starts)
            except StopIteration as end:
                maps: Tensor = end.value
                break
        if total is None:
            total = torch.zeros(maps.shape[0], *size, device=x.device)
        total[(slice(None), *place)] += maps * weights
        norm[place] += weights
    assert total is not None
    return total.div_(norm)


def _starts(size: tuple[int, int, int], window: tuple[int, int, int], overlap: float) -> Iterator[tuple[int, int, int]]:
    axes = [window_starts(n, w, overlap) for n, w in zip(size, window, strict=True)]
    yield from product(*axes)
