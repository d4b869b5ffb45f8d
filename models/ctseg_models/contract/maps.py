"""A network's maps over a lattice, read slice by slice."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

from torch import Tensor


class Maps(Protocol):
    """K maps (z, y, x) along the view's axes."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(K, z, y, x)."""

    @property
    def pending(self) -> bool:
        """Whether `advance` still has work to do."""

    def advance(self, high: int) -> Generator[float, None, None]:
        """Make the slices below `high` readable; yields shares of the whole work."""

    def forget(self, low: int) -> None:
        """The slices below `low` will not be read any more."""

    def part(self, k: int, low: int, high: int) -> Tensor:
        """(high - low, y, x) float32 on the processor: slices [low, high) of map k."""
