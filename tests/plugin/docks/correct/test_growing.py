"""Grow from seeds on a real viewer: strokes in, one undo step out, and nothing else changed."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from ctseg_imaging.editing import INSIDE, OUTSIDE
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels, Volume
from napari_ctseg.docks.correct.controller import CorrectController
from napari_ctseg.docks.correct.grow.strokes import STROKES_NAME
from napari_ctseg.docks.correct.previews.outline import PREVIEW_NAME
from napari_ctseg.docks.correct.state import CorrectState
from napari_ctseg.docks.correct.view import CorrectDock
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.layers import is_label_map
from napari_ctseg.viewer.painting import Painting, edits_of
from napari_ctseg.viewer.proxies import unwrapped
from napari_ctseg.viewer.showing import show_labels, show_volume
from napari_ctseg.viewer.study import study_of
from tests.plugin.workers import at_once

SHAPE, SPACING = (11, 20, 24), (3.0, 1.5, 2.0)
C, S = np.cos(np.radians(10)), np.sin(np.radians(10))
OBLIQUE = np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]]) @ np.diag([-1, 1, -1.0])
GRID = Geometry.from_parts(SHAPE, SPACING, (10.0, -20.0, 30.0), OBLIQUE)
GROW = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier  # with G
ORGAN = (slice(3, 8), slice(6, 14), slice(7, 17))


class FakeView:
    def __init__(self):
        self.state = CorrectState()

    def show(self, state):
        self.state = state


class Later:
    """Keeps what a thread would do until `finish`."""

    def __init__(self):
        self.calls = []

    def __call__(self, function, on_done, on_error):
        self.calls.append((function, on_done, on_error))

    def finish(self):
        at_once(*self.calls.pop(0))


def shown(viewer, grid=GRID):
    """A bright block in noise, a mask with a spleen in a corner of the block, and an empty liver."""
    array = np.random.default_rng(0).normal(40, 3, SHAPE).astype(np.int16)
    array[ORGAN] += 200
    show_volume(viewer, Volume(array, GRID, modality="CT"), "ct")
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:5, 6:8, 7:9] = 3
    mask = LabelMap(labels, grid, Labels.from_names({1: "liver", 3: "spleen"}))
    return show_labels(viewer, mask, "mask", role="edited")


def organ_shown(layer):
    """Where the block is in the array of the layer, which has the axes of the patient."""
    block = np.zeros(SHAPE, bool)
    block[ORGAN] = True
    return layer.metadata["ctseg"].view.apply(block)


@pytest.fixture
def opened(plugin_model):
    layer = shown(plugin_model)
    layer.selected_label = 1
    controller = CorrectController(FakeView(), plugin_model, Preferences(), at_once)
    return controller, plugin_model, layer


def stroke(viewer, layer, value, inside):
    """Paint a voxel near the middle of the block, or one outside of it."""
    strokes = viewer.layers[STROKES_NAME]
    block = organ_shown(layer)
    centre = np.argwhere(block).mean(0).round().astype(int)
    where = tuple(centre) if inside else tuple(np.argwhere(~block)[0])
    strokes.selected_label = value
    strokes.data_setitem(tuple(np.array([i]) for i in where), value)
    Painting.of(strokes).flush()
    return where


def test_a_stroke_previews_the_organ_and_accept_is_one_step(opened):
    controller, viewer, layer = opened
    before, block = layer.data.copy(), organ_shown(layer)
    controller.growing.begin()
    assert viewer.layers.selection.active.name == STROKES_NAME
    assert viewer.layers[STROKES_NAME].mode == "paint"
    stroke(viewer, layer, INSIDE, inside=True)
    assert np.array_equal(viewer.layers[PREVIEW_NAME].data == 1, block)
    assert controller.state.grow.volume_ml == pytest.approx(400 * 0.009)
    assert np.array_equal(layer.data, before)  # a preview changes nothing
    controller.growing.accept()
    expected = before.copy()
    expected[block & (before == 0)] = 1
    assert np.array_equal(layer.data, expected)
    assert {STROKES_NAME, PREVIEW_NAME}.isdisjoint(one.name for one in viewer.layers)
    assert edits_of(layer)[-1]["operation"] == "grow from seeds"
    assert viewer.layers.selection.active.name == "mask"
    controller.steps.undo()
    assert np.array_equal(layer.data, before)


def test_undo_of_a_stroke_takes_its_shape_back(opened):
    controller, viewer, layer = opened
    controller.growing.begin()
    stroke(viewer, layer, INSIDE, inside=True)
    strokes = viewer.layers[STROKES_NAME]
    strokes.undo()
    Painting.of(strokes).flush()
    assert not viewer.layers[PREVIEW_NAME].data.any() and controller.state.grow.volume_ml == 0
    controller.growing.accept()
    assert not (layer.data == 1).any()


def test_the_reach_bounds_the_shape(opened):
    controller, viewer, layer = opened
    controller.growing.set_reach(4.0)  # 2 slices, 3 rows, 2 columns, and the faces of that box are outside
    controller.growing.begin()
    z, y, x = stroke(viewer, layer, INSIDE, inside=True)
    found = np.argwhere(viewer.layers[PREVIEW_NAME].data)
    assert (abs(found - (z, y, x)) <= (1, 2, 1)).all() and len(found) > 1


def test_discard_and_a_removed_layer_leave_the_mask_as_it_was(opened):
    controller, viewer, layer = opened
    before = layer.data.copy()
    for leave in (controller.growing.discard, lambda: viewer.layers.remove(STROKES_NAME)):
        controller.growing.begin()
        stroke(viewer, layer, INSIDE, inside=True)
        leave()
        assert {STROKES_NAME, PREVIEW_NAME}.isdisjoint(one.name for one in viewer.layers)
        assert controller.state.grow.stroke is None
    assert np.array_equal(layer.data, before)


def test_strokes_and_preview_are_no_masks_of_the_study(opened):
    controller, viewer, _ = opened
    controller.growing.begin()
    assert controller.state.mask.layers == ("mask",) and study_of(viewer).edited == "mask"
    assert not any(is_label_map(viewer.layers[name]) for name in (STROKES_NAME, PREVIEW_NAME))


def test_a_shape_that_comes_late_is_dropped_or_grown_again(plugin_model):
    layer, later = shown(plugin_model), Later()
    layer.selected_label = 1
    controller = CorrectController(FakeView(), plugin_model, Preferences(), later)
    later.calls.clear()
    controller.growing.begin()
    stroke(plugin_model, layer, INSIDE, inside=True)
    stroke(plugin_model, layer, OUTSIDE, inside=False)
    assert len(later.calls) == 1 and controller.state.grow.computing
    controller.growing.accept()  # nothing to accept yet
    assert STROKES_NAME in plugin_model.layers
    later.finish()
    assert len(later.calls) == 1  # the second stroke
    controller.growing.discard()
    later.finish()
    assert not controller.state.grow.computing and not later.calls and not (layer.data == 1).any()


def test_locked_classes_and_other_grids_are_refused(plugin_model):
    moved = Geometry.from_parts(SHAPE, SPACING, (11.0, -20.0, 30.0), OBLIQUE)
    layer = shown(plugin_model, moved)
    layer.selected_label = 1
    controller = CorrectController(FakeView(), plugin_model, Preferences(), at_once)
    controller.growing.begin()
    assert "different grids" in controller.state.message and STROKES_NAME not in plugin_model.layers
    controller.brush.lock(1, True)
    controller.growing.begin()
    assert "locked" in controller.state.message and STROKES_NAME not in plugin_model.layers


def test_by_keys_alone(make_plugin_viewer, qtbot):
    """Ctrl+Shift+G, a stroke, X, Enter in the window; then Escape."""
    viewer = make_plugin_viewer(show=True)
    layer = shown(viewer)
    layer.selected_label = 1
    dock = CorrectDock(viewer)
    viewer.window.add_dock_widget(dock)
    canvas = unwrapped(viewer).window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key.Key_G, GROW)
    strokes = viewer.layers[STROKES_NAME]
    assert dock.grow.strokes[INSIDE].isChecked() and not dock.grow.accept.isEnabled()
    qtbot.keyClick(canvas, Qt.Key.Key_X)
    assert dock.grow.strokes[OUTSIDE].isChecked() and strokes.selected_label == OUTSIDE
    qtbot.keyClick(canvas, Qt.Key.Key_X)
    stroke(viewer, layer, INSIDE, inside=True)
    qtbot.waitUntil(dock.grow.accept.isEnabled)
    assert "3.6 ml" in dock.grow.told.text()
    qtbot.keyClick(canvas, Qt.Key.Key_Return)
    assert (layer.data == 1).sum() == 400 - 8  # the spleen keeps its 8 voxels
    qtbot.keyClick(canvas, Qt.Key.Key_G, GROW)
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    assert STROKES_NAME not in viewer.layers and dock.grow.begin.isEnabled()
