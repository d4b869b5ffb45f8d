"""What each operation does to the mask of one class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging import editing
from napari_ctseg.docks.correct.state import Operation

Mask = NDArray[np.bool_]


def apply_operation(
    operation: Operation,
    mask: Mask,
    spacing_mm: tuple[float, float, float],
    here: int,
    margin_mm: float,
    island_ml: float,
) -> Mask:
    """The mask after `operation`. mask : (z, y, x) bool. here : the slice shown. margin_mm : of grow, shrink
    and smooth.
    """
    match operation:
        case Operation.FILL_HOLES:
            return editing.fill_holes(mask)
        case Operation.DROP_ISLANDS:
            return editing.drop_islands(mask, island_ml, spacing_mm)
        case Operation.GROW:
            return editing.grow(mask, margin_mm, spacing_mm)
        case Operation.SHRINK:
            return editing.shrink(mask, margin_mm, spacing_mm)
        case Operation.SMOOTH:
            return editing.smooth(mask, margin_mm, spacing_mm)
        case Operation.FILL_BETWEEN:
            return editing.fill_between(mask, spacing_mm[1:])
        case Operation.COPY_UP:
            copied = mask.copy()
            if here + 1 < len(mask):
                copied[here + 1] |= mask[here]
            return copied
