"""Connected parts of a mask, by 26 neighbours: the one at a voxel, and all of them by size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.editing.connected_parts import connected_parts
from ctseg_imaging.editing.morphology import Mask, Slices, bounding_box


def component_at(mask: Mask, at: tuple[int, int, int]) -> Mask:
    """The connected part of `mask` that holds voxel `at`; nothing where that is outside of the mask.

    mask : (z, y, x) bool.
    """
    part = np.zeros_like(mask)
    if not mask[at]:
        return part
    box, numbers, _ = _numbered(mask)
    here = tuple(i - span.start for i, span in zip(at, box, strict=True))
    part[box] = numbers == numbers[here]
    return part


def components_by_size(mask: Mask) -> tuple[NDArray[np.integer], int]:
    """The connected parts numbered from 1, the largest first, 0 outside; and how many there are.

    mask : (z, y, x) bool.
    """
    if not mask.any():
        return np.zeros(mask.shape, np.uint16), 0
    box, numbers, count = _numbered(mask)
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)
    order = np.argsort(-sizes[1:], kind="stable") + 1
    rank = np.zeros(count + 1, np.uint32)
    rank[order] = np.arange(1, count + 1)
    found = np.zeros(mask.shape, np.uint32)
    found[box] = rank[numbers]
    return found, count


def _numbered(mask: Mask) -> tuple[Slices, NDArray[np.integer], int]:
    """The box of a mask that is not empty, its parts numbered from 1, and how many there are."""
    box = bounding_box(mask)
    assert box is not None, "the mask has voxels"
    return box, *connected_parts(mask[box])
