"""A network over an array in overlapping windows whose class maps are blended.

Finished slices are passed on before the last window is run.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import combinations, product
from math import prod

import torch
from torch import Tensor

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import scaled
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.stage import NetworkSteps
from ctseg_models.contract.tiling import Tiling
from ctseg_models.inference.maps.stored import FileMaps, MemoryMaps, gathered

LARGE = 1_000_000_000  # bytes of float32 sums; larger ones are float16, as nnU-Net's always are
AHEAD = 4 / 3  # of a row of windows: the slices held from the beginning, as growing needs the sums twice


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """torch.zeros, many times faster with huge pages, which torch uses for empty tensors only."""
    return torch.empty(shape, dtype=dtype, device=device).zero_()


class WindowedMaps:
    """Maps that are computed as `advance` asks for them: only the sums of a few rows of windows are held."""

    def __init__(
        self, steps: NetworkSteps, x: Tensor, tiling: Tiling, classes: int, arithmetic: Arithmetic
    ) -> None:
        """steps : a window (1, C, z, y, x) to (classes, z, y, x) or more maps, of which the first are used. x
        : (1, C, z, y, x).

        Raises ValueError when a window does not fit.
        """
        self.shape = (classes, x.shape[2], x.shape[3], x.shape[4])
        if any(
            start + w > n
            for n, w, axis in zip(self.shape[1:], tiling.window, tiling.starts, strict=True)
            for start in axis
        ):
            raise ValueError(
                f"A window {tiling.window} reaches beyond the array {self.shape[1:]}; pad the array first."
            )
        self._steps, self._x, self._tiling, self._arithmetic = steps, x, tiling, arithmetic
        self._rows = sorted(tiling.starts[0])
        self._run = 0  # rows of windows that have been run
        self._done = 0  # slices below this are finished
        self._base = 0  # the first slice that is held
        self._needed = 0  # slices below this have been forgotten
        large = 4 * classes * min(self.shape[1], 2 * tiling.window[0]) * prod(self.shape[2:]) > LARGE
        held = min(self.shape[1], int(AHEAD * tiling.window[0]))
        self._sums = _zeros(
            (classes, held, *self.shape[2:]), torch.float16 if large else torch.float32, x.device
        )
        self._norm = _zeros((held, *self.shape[2:]), torch.float32, x.device)
        self._weights = (
            torch.ones(tiling.window, device=x.device)
            if tiling.weights is None
            else tiling.weights.to(x.device)
        )

    @property
    def pending(self) -> bool:
        """Whether windows have yet to be run."""
        return self._run < len(self._rows)

    def advance(self, high: int) -> Generator[float, None, None]:
        """Run windows until the slices below `high` are finished; yields shares of all windows.

        Raises BundleError for values that are not finite.
        """
        while self._done < min(high, self.shape[1]):
            z = self._rows[self._run]
            self._make_room(z + self._tiling.window[0])
            for y, x in product(*self._tiling.starts[1:]):
                yield from self._window(z, y, x)
            self._run += 1
            self._finish(self._rows[self._run] if self.pending else self.shape[1])

    def forget(self, low: int) -> None:
        """Allow the memory of the slices below `low` to be reused."""
        self._needed = max(self._needed, low)

    def part(self, k: int, low: int, high: int) -> Tensor:
        """Slices [low, high) of map k: (high - low, y, x) float32.

        Raises ValueError for slices that are not computed yet, or forgotten.
        """
        if low < self._base or high > self._done:
            raise ValueError(
                f"Slices {low} to {high} are not among those at hand, {self._base} to {self._done}; advance "
                "first."
            )
        return self._sums[k, low - self._base : high - self._base].float().cpu()

    def _window(self, z: int, y: int, x: int) -> Generator[float, None, None]:
        """Run one window and add it to the sums."""
        _, height, width = self._tiling.window
        depth = self._tiling.window[0]
        work = self._steps(self._x[:, :, z : z + depth, y : y + height, x : x + width], self._arithmetic)
        maps = yield from scaled(work, 1 / self._tiling.count)
        place = (slice(z - self._base, z - self._base + depth), slice(y, y + height), slice(x, x + width))
        for k, one in enumerate(maps[: self.shape[0]]):
            self._sums[(k, *place)].addcmul_(one, self._weights)
        self._norm[place] += self._weights

    def _make_room(self, high: int) -> None:
        """Hold slices up to `high`: unneeded ones are dropped, and the sums grow when that is not enough."""
        if high <= self._base + self._norm.shape[0]:
            return
        drop = max(0, min(self._needed, self._done) - self._base)
        kept = self._norm.shape[0] - drop
        size = max(self._norm.shape[0], high - self._base - drop)
        if size > self._norm.shape[0]:
            grown = _zeros(
                (self._sums.shape[0], size, *self._sums.shape[2:]), self._sums.dtype, self._sums.device
            )
            grown[:, :kept] = self._sums[:, drop:]
            norm = _zeros((size, *self._norm.shape[1:]), torch.float32, self._norm.device)
            norm[:kept] = self._norm[drop:]
            self._sums, self._norm = grown, norm
        elif drop:
            for one in (*self._sums, self._norm):
                one[:kept] = one[drop:].clone()
                one[kept:] = 0
        self._base += drop

    def _finish(self, high: int) -> None:
        """No later window touches the slices below `high`: divide by the weights."""
        rows = slice(self._done - self._base, high - self._base)
        for one in self._sums:
            one[rows] /= self._norm[rows]
            refuse_not_finite(one[rows])
        self._done = high


def refuse_not_finite(maps: Tensor) -> None:
    """Raise BundleError for infinite values or NaN, which would silently become background."""
    if not torch.isfinite(maps.sum(dtype=torch.float32)):
        raise BundleError(
            "The network gave values that are not finite; choose the precision fp32, or check that the image "
            "is of the kind that the model was made for."
        )


def sliding_window(
    steps: NetworkSteps,
    x: Tensor,
    tiling: Tiling,
    classes: int,
    arithmetic: Arithmetic,
) -> Generator[float, None, MemoryMaps | FileMaps]:
    """Compute all of (classes, z, y, x) into `room`; yields the share of the work since the last yield."""
    return (yield from gathered(WindowedMaps(steps, x, tiling, classes, arithmetic)))


def mirrored(steps: NetworkSteps, axes: Sequence[int]) -> NetworkSteps:
    """The mean of the maps over all subsets of the view's `axes` (0, 1, 2) along which the input is flipped.

    Each map is flipped back before it is added.
    """
    subsets = [subset for size in range(len(axes) + 1) for subset in combinations(axes, size)]

    def run(x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
        total: Tensor | None = None
        for subset in subsets:
            turned = yield from scaled(
                steps(x.flip([2 + axis for axis in subset]), arithmetic), 1 / len(subsets)
            )
            if total is None:
                total = turned.clone()  # which may be the network's input itself
                continue
            for so_far, one in zip(total, turned, strict=True):  # flipped one by one, reusing the memory
                so_far.add_(one.flip(subset))
        assert total is not None
        return total.div_(len(subsets))

    return run
