"""Which voxels a brush may change: locked classes and a range of HU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class BrushRules:
    """locked : classes whose voxels no tool, operation or undo adds or removes. limits_hu :
    (low, high), both included: the brush changes only voxels of `image` within. image : (z, y, x), on the
    layer's own grid.
    """

    locked: frozenset[int] = frozenset()
    limits_hu: tuple[float, float] | None = None
    image: NDArray[Any] | None = None

    def is_locked(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Which of `values` are locked classes."""
        if not self.locked:
            return np.zeros(values.shape, bool)
        return np.isin(values, list(self.locked))

    def allowed(
        self, data: NDArray[Any], mask: NDArray[np.bool_], value: int, where: Index, *, only_locks: bool
    ) -> tuple[NDArray[np.bool_], str]:
        """The part of `mask` that may become `value`, and why it is empty ("" where it is not).

        data, mask : of one shape, the part `where` of the layer. only_locks : the HU range does not count.
        """
        if value in self.locked:
            return np.zeros_like(mask), "This class is locked; unlock it to change it."
        allowed = mask & ~self.is_locked(data) if self.locked else mask
        if mask.any() and not allowed.any():
            return allowed, "Everything under the brush is locked."
        if self.limits_hu is None or self.image is None or only_locks:
            return allowed, ""
        low, high = self.limits_hu
        image = self.image[where]
        inside = allowed & (image >= low) & (image <= high)
        if allowed.any() and not inside.any():
            return inside, f"Nothing under the brush lies between {low:g} and {high:g} HU."
        return inside, ""
