"""Live metrics after strokes equal a count from scratch, and keep up with a brush."""

import time

import numpy as np
import pytest

from ctseg_imaging.geometry import AxisView, Geometry
from ctseg_imaging.metrics.live import LiveMetrics
from ctseg_imaging.metrics.overlap import joint_histogram
from tests.pace import at_most

SPACING = (2.5, 0.8, 0.9)


def random_maps(shape=(9, 10, 11), top=4, seed=1):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, top, shape).astype(np.uint8)
    return truth, np.where(rng.random(shape) < 0.7, truth, 0).astype(np.uint8)


def test_strokes_are_followed_slice_by_slice():
    truth, prediction = random_maps()
    live = LiveMetrics(truth, prediction, (1, 2, 3), SPACING)
    rng = np.random.default_rng(5)
    for _ in range(20):
        k = int(rng.integers(9))
        prediction[k, 2:7, 3:9] = rng.integers(0, 4)
        live.update([k])
        assert np.array_equal(live.histogram.counts, joint_histogram(truth, prediction, (1, 2, 3)).counts)


def test_every_number_after_every_stroke_is_that_of_sets_of_voxels():
    truth, prediction = random_maps()
    live = LiveMetrics(truth, prediction, (1, 2, 3), SPACING)
    rng = np.random.default_rng(6)
    for _ in range(20):
        k, side = int(rng.integers(9)), (truth, prediction)[int(rng.integers(2))]
        side[k, rng.integers(10) :, : rng.integers(1, 12)] = rng.integers(0, 4)
        live.update([k])
        for row in live.table():
            t, p = (set(np.flatnonzero(one == row.value).tolist()) for one in (truth, prediction))
            assert row.dice == pytest.approx(2 * len(t & p) / (len(t) + len(p)))
            assert row.precision == pytest.approx(len(t & p) / len(p))
            assert row.recall == pytest.approx(len(t & p) / len(t))
            assert row.volume_pred_ml == pytest.approx(len(p) * 2.5 * 0.8 * 0.9 / 1000)
            for z, dice in enumerate(live.per_slice(row.value)):
                here = [{v for v in one if v // 110 == z} for one in (t, p)]
                both = sum(map(len, here))
                assert dice == pytest.approx(
                    2 * len(here[0] & here[1]) / both if both else np.nan, nan_ok=True
                )


def test_only_curves_whose_numbers_changed_are_new_objects():
    truth, prediction = random_maps()
    prediction[3, :, :] = 1
    live = LiveMetrics(truth, prediction, (1, 2, 3), SPACING)
    before = [live.per_slice(value) for value in (1, 2, 3)]
    prediction[3, 5:, 2] = 2
    live.update([3])
    same = [live.per_slice(value) is old for value, old in zip((1, 2, 3), before, strict=True)]
    assert same == [False, False, True]
    with pytest.raises(ValueError, match="read-only"):
        live.per_slice(1)[0] = 0


def test_update_returns_which_slices_changed_and_ignores_those_outside():
    truth, prediction = random_maps()
    live = LiveMetrics(truth, prediction, (1, 2, 3), SPACING)
    prediction[4] = 0
    assert live.update([3, 4, 4, -1, 9]) == (4,)
    assert live.update() == ()


def test_a_slice_that_was_not_named_is_not_counted():
    truth, prediction = random_maps()
    live = LiveMetrics(truth, prediction, (1,), SPACING)
    before = live.per_slice(1)
    prediction[:] = 0
    live.update([2])
    assert live.per_slice(1)[2] == 0
    assert np.array_equal(np.delete(live.per_slice(1), 2), np.delete(before, 2))


def test_views_of_a_turned_grid_are_followed_in_place():
    geometry = Geometry.from_parts((9, 10, 11), SPACING, direction=[[0, 0, -1], [1, 0, 0], [0, -1, 0]])
    view = AxisView.of(geometry)
    truth, prediction = random_maps()
    live = LiveMetrics(view.apply(truth), view.apply(prediction), (1, 2), SPACING)
    view.apply(prediction)[1] = 2
    assert live.update([1]) == (1,)
    assert np.array_equal(
        live.histogram.counts.sum(0), joint_histogram(truth, prediction, (1, 2)).counts.sum(0)
    )


def test_the_table_is_in_ml_and_by_label():
    truth, prediction = np.zeros((2, 3, 4), np.uint8), np.zeros((2, 3, 4), np.uint8)
    truth[0, 0, :4], prediction[0, 0, :2] = 7, 7
    (row,) = LiveMetrics(truth, prediction, (7,), (10.0, 10.0, 5.0)).table()
    assert (row.value, row.volume_truth_ml, row.volume_pred_ml, row.difference_ml) == (7, 2.0, 1.0, -1.0)
    assert row.dice == pytest.approx(2 / 3)
    assert row.precision == 1
    assert row.recall == 0.5


def test_worst_and_missed_slices():
    truth, prediction = np.zeros((2, 4, 3, 4), np.uint8)
    truth[1], truth[2], truth[3] = 1, 1, 1
    prediction[1], prediction[2, 0] = 1, 1
    live = LiveMetrics(truth, prediction, (1, 2), SPACING)
    assert live.worst_slices() == [3, 2, 1]
    assert live.missed_slices(1) == [3]
    assert live.missed_slices(2) == []
    assert live.mean_dice() == pytest.approx(live.table()[0].dice)


def test_a_new_class_is_followed_on_request():
    truth, prediction = random_maps()
    live = LiveMetrics(truth, prediction, (1,), SPACING)
    assert not live.follow((0, 1))
    assert live.follow((1, 3))
    assert live.values == (1, 3)
    prediction[0] = 3
    live.update([0])
    assert np.array_equal(live.histogram.counts, joint_histogram(truth, prediction, (1, 3)).counts)


def test_nothing_to_follow_is_no_error():
    truth, prediction = random_maps()
    live = LiveMetrics(truth, prediction, (), SPACING)
    assert live.table() == []
    assert live.worst_slices() == []
    assert np.isnan(live.mean_dice())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_one_slice_of_512_x_512_with_eight_labels_takes_less_than_a_frame(dtype):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 9, (3, 512, 512)).astype(dtype)
    prediction = rng.integers(0, 9, (3, 512, 512)).astype(dtype)
    live = LiveMetrics(truth, prediction, range(1, 9), SPACING)
    with at_most(15 * 0.010, time.thread_time):
        for k in range(15):
            prediction[1, 0, 0] = k % 9
            live.update([1])
    both = (truth[1] == prediction[1]) & (truth[1] > 0)
    assert sum(live.histogram.voxels(value)[2][1] for value in range(1, 9)) == both.sum()
