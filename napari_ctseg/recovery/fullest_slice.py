"""The slice of a mask that shows most of it."""

from __future__ import annotations

from typing import Any


def fullest_slice(array: Any) -> int:
    """The slice of a (z, y, x) array of labels that shows most: each label counts by its area as a share of its own largest."""
    import numpy as np

    areas = np.stack([(array == value).sum(axis=(1, 2)) for value in np.unique(array[array > 0])] or [np.zeros(len(array))])
    return int((areas / np.maximum(areas.max(axis=1, keepdims=True), 1)).sum(axis=0).argmax())


