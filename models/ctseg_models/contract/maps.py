"""A network's maps over a lattice, read slice by slice."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

from torch import Tensor


class Maps(Protocol):
    """K maps (z, y, x) along the view's axes, computed as they are read."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(K, z, y, x)."""

    @property
    def pending(self) -> bool:
        """Whether some slices have not been computed yet."""

    def advance(self, high: int) -> Generator[float, None, None]:
        """Compute the slices below `high`; yields shares of the whole work, which add up to 1."""

    def forget(self, low: int) -> None:
        """Allow the memory of the slices below `low` to be reused: they are not read again."""

    def part(self, k: int, low: int, high: int) -> Tensor:
        """Slices [low, high) of map k: (high - low, y, x), float32 on the processor."""
