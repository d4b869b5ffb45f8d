"""Boxes around labels against the voxels themselves."""

import numpy as np
import pytest

from ctseg_imaging.metrics.boxes import label_boxes, union_box


def by_hand(inside):
    """First and last index plus one of each axis, from the list of all voxels."""
    at = np.argwhere(inside)
    return tuple(slice(int(low), int(high) + 1) for low, high in zip(at.min(0), at.max(0), strict=True))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint64])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_boxes_hold_just_the_voxels_of_a_label_in_both_maps(dtype, order):
    rng = np.random.default_rng(0)
    a, b = (
        (rng.integers(1, 6, (7, 8, 9)) * (rng.random((7, 8, 9)) > 0.97)).astype(dtype).transpose(order)
        for _ in range(2)
    )
    boxes = label_boxes(a, b, (1, 2, 3, 4, 5))
    assert boxes == {value: by_hand((a == value) | (b == value)) for value in range(1, 6)}
    assert union_box(a, b) == by_hand((a > 0) | (b > 0))


def test_a_margin_ends_at_the_border():
    a, b = np.zeros((2, 7, 8, 9), np.uint8)
    a[0, 3:5, 8], b[1, 4, 7] = 2, 2
    assert label_boxes(a, b, [2], margin=2) == {2: (slice(0, 4), slice(1, 7), slice(5, 9))}


def test_labels_that_neither_map_has_get_no_box():
    a, b = np.zeros((2, 5, 6, 7), np.uint8)
    assert union_box(a, b) is None
    assert label_boxes(a, b, (1, 2)) == {1: None, 2: None}
    a[1, 1, 1] = 2
    assert label_boxes(a, b, (1, 2, 300)) == {1: None, 2: (slice(1, 2),) * 3, 300: None}
