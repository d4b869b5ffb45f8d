"""The boxes that hold a label in two maps: everything that is measured of it lies inside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Box = tuple[slice, slice, slice]


def union_box(a: NDArray[Any], b: NDArray[Any]) -> Box | None:
    """The smallest (z, y, x) box that holds all voxels other than 0 of two arrays; None if there are none."""
    z = _extent(a.any(axis=(1, 2)) | b.any(axis=(1, 2)))
    if z is None:
        return None
    plane: NDArray[Any] = np.any(a[z], axis=0) | np.any(b[z], axis=0)
    y, x = _extent(plane.any(axis=1)), _extent(plane.any(axis=0))
    assert y is not None and x is not None
    return z, y, x


def label_boxes(
    a: NDArray[np.integer], b: NDArray[np.integer], values: Iterable[int], margin: int = 0
) -> dict[int, Box | None]:
    """For each of `values` (1 or more) the smallest box that holds it in both label maps; None where neither
    has it.

    a, b : (z, y, x) integers of one shape, looked through once for all labels. margin : voxels added on each
    side, as far as the array reaches.
    """
    outer = union_box(a, b)
    if outer is None:
        return dict.fromkeys(values)
    found = [ndimage.find_objects(labels[outer]) for labels in (a, b)]
    boxes: dict[int, Box | None] = {}
    for value in values:
        inner = [box for each in found if value <= len(each) and (box := each[value - 1]) is not None]
        boxes[value] = _around(inner, outer, a.shape, margin) if inner else None
    return boxes


def _around(inner: list[Any], outer: Box, shape: tuple[int, ...], margin: int) -> Box:
    z, y, x = (
        slice(
            max(0, whole.start + min(side.start for side in sides) - margin),
            min(size, whole.start + max(side.stop for side in sides) + margin),
        )
        for whole, size, *sides in zip(outer, shape, *inner, strict=True)
    )
    return z, y, x


def _extent(inside: Any) -> slice | None:
    at = np.flatnonzero(inside)
    return slice(int(at[0]), int(at[-1]) + 1) if len(at) else None
