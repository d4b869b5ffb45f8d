"""The precision of losses: never less than float32, and float64 if the maps have it."""

from __future__ import annotations

from torch import Tensor


def widened(maps: Tensor) -> Tensor:
    """Half-precision maps as float32, others as they are, so the sums over a volume keep their digits."""
    return maps.float() if maps.dtype.itemsize < 4 else maps
