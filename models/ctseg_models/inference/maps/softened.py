"""Maps whose softmax is taken where the network worked, before they are brought onto another grid."""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor

from ctseg_models.contract.maps import Maps


class SoftenedMaps:
    """The softmax over all K of other maps, a few slices at a time: probabilities, never held for all
    slices.
    """

    def __init__(self, logits: Maps) -> None:
        self._logits = logits
        self.shape = logits.shape
        self._total: tuple[int, int, Tensor] | None = None

    @property
    def pending(self) -> bool:
        """Whether `advance` still has work to do."""
        return self._logits.pending

    def advance(self, high: int) -> Generator[float, None, None]:
        """Make the slices below `high` readable."""
        return self._logits.advance(high)

    def forget(self, low: int) -> None:
        """The slices below `low` will not be read any more."""
        self._logits.forget(low)

    def part(self, k: int, low: int, high: int) -> Tensor:
        """(high - low, y, x) float32."""
        return (self._logits.part(k, low, high) - self._log_total(low, high)).exp_()

    def _log_total(self, low: int, high: int) -> Tensor:
        """The logarithm of the denominator; kept, as the next class is asked for in the same slices."""
        if self._total is None or self._total[:2] != (low, high):
            total = self._logits.part(0, low, high)
            for k in range(1, self.shape[0]):
                total = torch.logaddexp(total, self._logits.part(k, low, high))
            self._total = (low, high, total)
        return self._total[2]
