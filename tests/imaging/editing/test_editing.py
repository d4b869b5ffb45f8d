"""Editing against definitions by brute force: distances of all pairs of voxel centres, floods by hand."""

from itertools import product

import numpy as np
import pytest

from ctseg_imaging.editing import drop_islands, fill_between, fill_holes, grow, shrink, smooth

SHAPE, SPACING = (7, 8, 9), (3.0, 1.5, 0.8)


def blob(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(SHAPE) > 0.93


def by_pairs(mask: np.ndarray, margin_mm: float) -> np.ndarray:
    """Every voxel within margin_mm of a voxel of the mask, from all pairs."""
    everywhere = np.array(list(product(*map(range, mask.shape)))) * SPACING
    inside = np.argwhere(mask) * SPACING
    gaps = np.linalg.norm(everywhere[:, None] - inside[None], axis=2)
    return (gaps.min(1) <= margin_mm + 1e-6).reshape(mask.shape)


@pytest.mark.parametrize("margin_mm", [0.5, 0.8, 1.5, 3.0, 4.2])
@pytest.mark.parametrize("seed", [1, 2])
def test_grow_is_every_voxel_within_the_margin(seed, margin_mm):
    assert np.array_equal(grow(blob(seed), margin_mm, SPACING), by_pairs(blob(seed), margin_mm))


@pytest.mark.parametrize("margin_mm", [0.8, 1.5, 3.0])
def test_shrink_is_the_complement_of_growing_the_complement(margin_mm):
    mask = ~blob(3)
    shrunk = shrink(mask, margin_mm, SPACING)
    assert np.array_equal(shrunk, ~by_pairs(~mask, margin_mm))
    assert 0 < shrunk.sum() < mask.sum()


def test_an_organ_cut_by_the_field_of_view_does_not_recede_from_its_edge():
    mask = np.zeros(SHAPE, bool)
    mask[:, 2:6, :] = True
    assert np.array_equal(np.flatnonzero(shrink(mask, 1.5, SPACING).any(axis=(0, 2))), [3, 4])
    assert shrink(mask, 1.5, SPACING)[0].any() and shrink(mask, 1.5, SPACING)[:, :, -1].any()


def test_holes_are_filled_in_their_slice_and_open_bays_are_not():
    mask = np.zeros(SHAPE, bool)
    mask[3, 1:6, 1:7] = True
    mask[3, 3, 3] = False  # a hole
    mask[3, 1, 4] = False  # a bay, open to the outside
    mask[4, 2:5, 2:5] = True
    mask[4, 3, 3] = False  # open along z, closed in its slice
    expected = mask.copy()
    expected[3, 3, 3] = expected[4, 3, 3] = True
    before = mask.copy()
    assert np.array_equal(fill_holes(mask), expected)
    assert np.array_equal(mask, before)


def test_islands_below_the_volume_go_and_the_largest_stays():
    mask = np.zeros(SHAPE, bool)
    mask[0, 0, 0:3] = True  # 3 voxels of 3.6 mm3: 0.0108 ml
    mask[3:5, 3:6, 3:6] = True  # 18 voxels: 0.0648 ml
    mask[5, 6, 6] = True  # touches the block by a corner: the same part
    kept = drop_islands(mask, 0.011, SPACING)
    assert kept.sum() == 19 and not kept[0].any()
    assert drop_islands(mask, 0.0108, SPACING).sum() == 22
    assert drop_islands(mask, 99.0, SPACING).sum() == 19
    assert not drop_islands(np.zeros(SHAPE, bool), 1.0, SPACING).any()


def test_slices_between_two_boxes_change_size_linearly():
    mask = np.zeros((9, 21, 23), bool)
    mask[1, 8:13, 8:15] = True  # half height 2.5 voxels
    mask[7, 4:17, 4:19] = True  # half height 6.5 voxels
    filled = fill_between(mask, (1.0, 1.0))
    heights = filled.any(axis=2).sum(axis=1)
    assert heights[0] == 0 and heights[8] == 0
    assert list(heights[1:8]) == sorted(heights[1:8]) and heights[4] == 9
    assert np.array_equal(filled[[1, 7]], mask[[1, 7]])
    assert np.array_equal(
        fill_between(mask, (1.0, 1.0), first=0, last=5), mask
    )  # one drawn slice in reach: nothing to fill


def test_between_two_apart_discs_the_shape_moves_with_the_slice_position():
    yy, xx = np.mgrid[:41, :41]
    mask = np.zeros((5, 41, 41), bool)
    mask[0] = (yy - 18) ** 2 + (xx - 20) ** 2 <= 100
    mask[4] = (yy - 26) ** 2 + (xx - 20) ** 2 <= 100
    centres = [np.argwhere(plane).mean(0)[0] for plane in fill_between(mask, (0.7, 0.7))]
    assert centres == pytest.approx([18, 20, 22, 24, 26], abs=0.6)


def test_smoothing_takes_a_spike_off_and_leaves_a_flat_surface():
    mask = np.zeros((12, 20, 24), bool)
    mask[:, :10] = True
    flat = mask.copy()
    mask[6, 10:14, 12] = True
    assert np.array_equal(smooth(mask, 1.0, (1.0, 1.0, 1.0)), flat)


@pytest.mark.parametrize(
    "operation",
    [
        lambda m: grow(m, 0, SPACING),
        lambda m: shrink(m, -1, SPACING),
        lambda m: smooth(m, 0, SPACING),
        lambda m: drop_islands(m, 0, SPACING),
    ],
)
def test_a_distance_or_volume_that_is_not_positive_is_refused(operation):
    with pytest.raises(ValueError, match="above 0"):
        operation(blob(1))


@pytest.mark.parametrize(
    "operation",
    [
        lambda m: grow(m, 2, SPACING),
        lambda m: shrink(m, 2, SPACING),
        fill_holes,
        lambda m: fill_between(m, (1.0, 1.0)),
        lambda m: smooth(m, 1, SPACING),
    ],
)
def test_an_empty_mask_stays_empty(operation):
    assert not operation(np.zeros(SHAPE, bool)).any()
