"""Joint histograms against counting voxel by voxel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctseg_imaging.metrics.overlap import joint_histogram

SHAPE = (7, 8, 9)
DTYPES = (np.uint8, np.int8, np.uint16, np.int16, np.int32, np.int64, np.uint32)


def random_pair(seed, dtype=np.uint8, shape=SHAPE, top=6):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, top, shape)
    prediction = np.where(rng.random(shape) < 0.6, truth, rng.integers(0, top, shape))
    return truth.astype(dtype), prediction.astype(dtype)


def as_sets(array, value):
    return {index for index in np.ndindex(array.shape) if array[index] == value}


@given(seed=st.integers(0, 10_000), dtype=st.sampled_from(DTYPES), axis=st.integers(0, 2))
def test_every_measure_is_what_sets_of_voxels_say(seed, dtype, axis):
    truth, prediction = random_pair(seed, dtype)
    histogram = joint_histogram(truth, prediction, (5, 1, 3, 0), axis=axis)
    assert histogram.values == (1, 3, 5)
    assert histogram.counts.sum() == truth.size
    for value in (1, 3, 5):
        t, p = as_sets(truth, value), as_sets(prediction, value)
        assert histogram.dice(value) == pytest.approx(2 * len(t & p) / (len(t) + len(p)), abs=1e-12)
        assert histogram.iou(value) == pytest.approx(len(t & p) / len(t | p), abs=1e-12)
        assert histogram.precision(value) == pytest.approx(len(t & p) / len(p), abs=1e-12)
        assert histogram.recall(value) == pytest.approx(len(t & p) / len(t), abs=1e-12)
        assert histogram.absolute_volume_difference_percent(value) == pytest.approx(
            100 * abs(len(t) - len(p)) / len(t)
        )
        for k in range(SHAPE[axis]):
            tk, pk = ({index for index in s if index[axis] == k} for s in (t, p))
            expected = 2 * len(tk & pk) / (len(tk) + len(pk)) if tk or pk else np.nan
            assert histogram.per_slice_dice(value)[k] == pytest.approx(expected, abs=1e-12, nan_ok=True)
            assert histogram.per_slice_false(value)[0][k] == len(pk - tk)
            assert histogram.per_slice_false(value)[1][k] == len(tk - pk)


def test_off_diagonal_counts_say_which_label_took_which():
    truth = np.array([[[1, 1, 2, 0, 9]]], np.uint8)
    prediction = np.array([[[1, 2, 2, 2, 1]]], np.uint8)
    histogram = joint_histogram(truth, prediction, (1, 2))
    assert histogram.counts[0].tolist() == [[0, 1, 1], [0, 1, 1], [0, 0, 1]]


def test_dtypes_may_differ_and_views_need_no_copy():
    truth, prediction = random_pair(3)
    plain = joint_histogram(truth, prediction, (1, 2))
    turned = joint_histogram(
        truth.astype(np.int32)[::-1].transpose(1, 2, 0), prediction[::-1].transpose(1, 2, 0), (1, 2), axis=2
    )
    assert np.array_equal(plain.counts[::-1], turned.counts)


def test_large_and_negative_values_do_not_alias():
    truth = np.array([[[-1, 255, 256, 65535, 1]]], np.int32)
    far = np.array([[[70_000, 255, 256, 65535, -9]]], np.int32)
    for array in (truth, truth.astype(np.int64), far, far.astype(np.uint32) % 100_000):
        histogram = joint_histogram(array, array, (255, 65535, 70_000))
        assert histogram.totals(255) == histogram.totals(65535) == (1, 1, 1)
        assert histogram.totals(70_000)[0] == (array == 70_000).sum()
    small = np.array([[[-1, 1]]], np.int8)
    assert joint_histogram(small, small, (255, 1)).totals(255) == (0, 0, 0)


def test_empty_sides_have_the_values_that_are_documented():
    none, some = np.zeros((2, 3, 4), np.uint8), np.ones((2, 3, 4), np.uint8)
    both = joint_histogram(none, none, (1,))
    assert np.isnan(
        [
            both.dice(1),
            both.iou(1),
            both.precision(1),
            both.recall(1),
            both.absolute_volume_difference_percent(1),
        ]
    ).all()
    assert both.dice(1, empty=1.0) == 1.0
    missed, invented = joint_histogram(some, none, (1,)), joint_histogram(none, some, (1,))
    assert missed.dice(1) == invented.dice(1) == missed.recall(1) == invented.precision(1) == 0
    assert np.isnan(missed.precision(1))
    assert np.isnan(invented.recall(1))
    assert missed.absolute_volume_difference_percent(1) == 100
    assert invented.absolute_volume_difference_percent(1) == np.inf
    assert missed.volumes_ml(1, 500.0) == (12.0, 0.0)


def test_bool_masks_count_as_label_one():
    mask = np.random.default_rng(0).random(SHAPE) > 0.5
    assert joint_histogram(mask, mask, (1,)).dice(1) == 1


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="one grid"):
        joint_histogram(np.zeros((2, 3, 4), int), np.zeros((2, 4, 3), int), (1,))
    with pytest.raises(ValueError, match="integers"):
        joint_histogram(np.zeros((2, 3, 4)), np.zeros((2, 3, 4), int), (1,))
    with pytest.raises(KeyError, match="7"):
        joint_histogram(np.zeros((2, 3, 4), int), np.zeros((2, 3, 4), int), (1,)).dice(7)
