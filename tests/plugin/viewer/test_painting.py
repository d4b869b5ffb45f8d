"""Locks, HU window and undo on a real Labels layer, against what the array must be."""

import numpy as np
import pytest
from napari.layers import Labels

from napari_ctseg.viewer.painting import BrushRules, Painting, set_mask
from tests.pace import PATIENCE_MS

SHAPE = (7, 18, 20)


@pytest.fixture
def layer(qapp):
    data = np.zeros(SHAPE, np.uint8)
    data[3, 4:10, 4:10] = 1
    data[3, 4:10, 10:16] = 2
    # A flipped view, as a layer shows it that is stored the other way round.
    layer = Labels(data[::-1, :, ::-1], scale=(3.0, 1.0, 1.0))
    layer.brush_size = 9
    layer._slice_dims(_input(layer))
    return layer


def _input(layer):
    from napari.components import Dims

    dims = Dims(ndim=3)
    dims.set_range(0, (0, 18, 3))
    dims.set_point(0, 9)
    return dims


def stroke(layer, *points, value):
    with layer.block_history():
        for point in points:
            layer.paint(point, value)


def test_a_locked_class_survives_brush_fill_and_eraser_and_undo_gives_back_the_rest(layer):
    painting = Painting.of(layer)
    painting.rules = BrushRules(locked=frozenset({2}))
    before = layer.data.copy()
    stroke(layer, (3, 7, 6), (3, 7, 10), (3, 7, 14), value=3)
    assert (layer.data == 3).sum() > 40
    assert np.array_equal(layer.data == 2, before == 2)
    after = layer.data.copy()
    layer.undo()
    assert np.array_equal(layer.data, before)
    layer.redo()
    assert np.array_equal(layer.data, after)
    layer.undo()
    layer.fill((3, 7, 6), 0)  # the view is flipped: column 6 is class 2
    assert np.array_equal(layer.data, before)
    layer.paint((3, 7, 6), 0)
    assert np.array_equal(layer.data == 2, before == 2)


def test_a_locked_class_does_not_grow_either(layer):
    painting = Painting.of(layer)
    painting.rules = BrushRules(locked=frozenset({1}))
    messages, before = [], layer.data.copy()
    painting.refused.connect(messages.append)
    layer.paint((3, 7, 8), 1)
    assert np.array_equal(layer.data, before)
    assert "locked" in messages[0] and not painting.steps.history.done


def test_undo_leaves_a_class_alone_that_was_locked_after_the_stroke(layer):
    painting = Painting.of(layer)
    before = layer.data.copy()
    stroke(layer, (3, 7, 8), value=3)  # over 1, 2 and nothing
    painted = layer.data == 3
    painting.rules = BrushRules(locked=frozenset({3}))
    layer.undo()
    assert np.array_equal(layer.data == 3, painted)
    painting.rules = BrushRules(locked=frozenset({1}))
    layer.redo()
    layer.undo()
    assert np.array_equal(layer.data, np.where(painted & (before == 1), 3, before))
    painting.rules = BrushRules()
    layer.redo()
    layer.undo()
    assert np.array_equal(layer.data, before)


def test_the_brush_stays_within_the_window_and_operations_do_not_care(layer):
    image = np.zeros(SHAPE, np.int16)
    image[:, :, 10:] = 100
    painting = Painting.of(layer)
    painting.rules = BrushRules(limits_hu=(50, 150), image=image)
    layer.paint((3, 13, 10), 3)
    changed = layer.data == 3
    assert changed.any() and not changed[:, :, :10].any()
    target = np.zeros(SHAPE, bool)
    target[5, 2:4, 2:4] = True
    assert set_mask(layer, 5, target) == 4


def test_an_operation_is_one_undo_step_that_takes_background_only(layer):
    Painting.of(layer).rules = BrushRules(locked=frozenset({1}))
    before = layer.data.copy()
    target = np.zeros(SHAPE, bool)
    target[2:5, 6:14, 2:18] = True  # over background, class 1 (locked) and class 2
    assert set_mask(layer, 2, target) == np.count_nonzero(target & (before == 0)) + np.count_nonzero(
        ~target & (before == 2)
    )
    assert np.array_equal(layer.data == 1, before == 1)
    assert len(Painting.of(layer).steps.history.done) == 1
    layer.undo()
    assert np.array_equal(layer.data, before)
    assert set_mask(layer, 1, target) == 0 and np.array_equal(layer.data, before)


def test_the_touched_slices_come_once_a_frame(layer, qtbot):
    painting, seen = Painting.of(layer), []
    painting.touched.connect(seen.append)
    stroke(layer, (3, 7, 6), (3, 8, 6), (3, 9, 6), value=3)
    qtbot.waitUntil(lambda: bool(seen), timeout=PATIENCE_MS)
    assert seen == [(3,)]
    layer.n_edit_dimensions = 3
    layer.paint((3, 7, 12), 4)  # 9 mm across, 3 mm slices: one slice to each side
    painting.flush()
    assert seen[1:] == [(2, 3, 4)]
    layer.undo()
    painting.flush()
    assert seen[2:] == [(2, 3, 4)]
    assert Painting.of(layer) is painting
