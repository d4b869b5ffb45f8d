"""Masks of a chosen volume, counted by hand."""

import numpy as np
import pytest

from ctseg_imaging.editing import VolumeThreshold, around_mask

SPACING = (4.0, 5.0, 2.0)  # a voxel is 0.04 ml
MAP = np.array([[[0.9, 0.8, 0.1]], [[0.3, 0.3, 0.0]]], np.float32)  # (2, 1, 3)


@pytest.mark.parametrize(
    ("volume_ml", "voxels"), [(0, 0), (0.04, 1), (0.05, 1), (0.08, 2), (0.16, 4), (0.2, 5), (9.0, 5)]
)
def test_the_mask_has_the_volume_that_was_asked_for(volume_ml, voxels):
    levels = VolumeThreshold(MAP, SPACING)
    threshold = levels.threshold(volume_ml)
    assert levels.mask(threshold).sum() == voxels
    assert levels.volume_ml(threshold) == pytest.approx(0.04 * voxels)


def test_equal_probabilities_are_taken_together():
    levels = VolumeThreshold(MAP, SPACING)
    assert levels.mask(levels.threshold(0.12)).sum() in (2, 4)


def test_the_largest_volume_holds_every_voxel_above_zero():
    assert VolumeThreshold(MAP, SPACING).most_ml == pytest.approx(0.2)


def test_half_precision_keeps_the_count():
    half = np.random.default_rng(0).random((7, 8, 9)).astype(np.float16)
    levels = VolumeThreshold(half, SPACING)
    wanted = np.sort(half, axis=None)[-100]
    assert levels.mask(levels.threshold(4.0)).sum() == (half >= wanted).sum()


def test_a_volume_below_zero_is_refused():
    with pytest.raises(ValueError, match="0 or more"):
        VolumeThreshold(MAP, SPACING).threshold(-1)


def test_around_a_corrected_mask_only_the_corrections_change():
    probability = np.array([[[0.9, 0.8, 0.7, 0.3, 0.2, 0.1]]], np.float32)
    mask = np.array([[[True, False, True, False, True, False]]])  # 0.8 was erased, 0.2 was painted
    around = around_mask(probability, mask, (1, 1, 1))
    assert around.tolist() == [[[np.float32(0.9), 0, np.float32(0.7), np.float32(0.3), 1, np.float32(0.1)]]]
    levels = VolumeThreshold(around, (1, 1, 1))
    assert np.array_equal(levels.mask(levels.threshold(0.003)), mask)
    assert levels.mask(levels.threshold(0.002)).ravel().tolist() == [True, False, False, False, True, False]
    assert levels.mask(levels.threshold(0.004)).ravel().tolist() == [True, False, True, True, True, False]
    assert around_mask(probability, np.zeros_like(mask), (1, 1, 1)) is probability
