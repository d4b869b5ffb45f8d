"""Maps whose softmax is computed on the network's own lattice, before they are resampled."""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor

from ctseg_models.contract.maps import Maps


class SoftenedMaps:
    """The softmax over all K of other maps, a few slices at a time."""

    def __init__(self, logits: Maps) -> None:
        self._logits = logits
        self.shape = logits.shape
        self._total: tuple[int, int, Tensor] | None = None

    @property
    def pending(self) -> bool:
        """Whether some slices have not been computed yet."""
        return self._logits.pending

    def advance(self, high: int) -> Generator[float, None, None]:
        """Compute the slices below `high`."""
        return self._logits.advance(high)

    def forget(self, low: int) -> None:
        """Allow the memory of the slices below `low` to be reused."""
        self._logits.forget(low)

    def part(self, k: int, low: int, high: int) -> Tensor:
        """Slices [low, high) of map k: (high - low, y, x) float32."""
        return (self._logits.part(k, low, high) - self._log_total(low, high)).exp_()

    def _log_total(self, low: int, high: int) -> Tensor:
        """The logarithm of the denominator, cached: the next class is read in the same slices."""
        if self._total is None or self._total[:2] != (low, high):
            total = self._logits.part(0, low, high)
            for k in range(1, self.shape[0]):
                total = torch.logaddexp(total, self._logits.part(k, low, high))
            self._total = (low, high, total)
        return self._total[2]
