"""Propagate on a real viewer: a stroke in one slice changes its neighbours too, as one undo step."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels
from napari_ctseg.docks.correct.controller import CorrectController
from napari_ctseg.docks.correct.previews.outline import PREVIEW_NAME
from napari_ctseg.docks.correct.state import CorrectState
from napari_ctseg.docks.correct.view import CorrectDock
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.layers import go_to_slice
from napari_ctseg.viewer.painting import Painting, edits_of
from napari_ctseg.viewer.proxies import unwrapped
from napari_ctseg.viewer.showing import show_labels
from tests.plugin.workers import at_once

SHAPE, SPACING = (9, 20, 40), (3.0, 1.5, 1.0)
C, S = np.cos(np.radians(10)), np.sin(np.radians(10))
OBLIQUE = np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]])
GRID = Geometry.from_parts(SHAPE, SPACING, (10.0, -20.0, 30.0), OBLIQUE)
HERE, WIDTH, MORE = 4, 12, 8  # the block is 12 columns wide; the stroke makes it 8 mm wider in one slice


class FakeView:
    def __init__(self):
        self.state = CorrectState()

    def show(self, state):
        self.state = state


def shown(viewer):
    """A block through all slices, in the axes of the patient."""
    array = np.zeros(SHAPE, np.uint8)
    array[:, 4:16, 6 : 6 + WIDTH] = 1
    array[HERE + 1, 8, 18] = 3
    mask = LabelMap(array, GRID, Labels.from_names({1: "liver", 3: "spleen"}))
    layer = show_labels(viewer, mask, "mask", role="edited")
    layer.selected_label = 1
    return layer


def stroke(layer, k, more=MORE):
    """The block becomes wider in slice k."""
    rows, columns = (index.ravel() for index in np.mgrid[4:16, 18 : 18 + more])
    layer.data_setitem((np.full(len(rows), k), rows, columns), 1)
    Painting.of(layer).flush()


@pytest.fixture
def opened(plugin_model):
    layer = shown(plugin_model)
    controller = CorrectController(FakeView(), plugin_model, Preferences(), at_once)
    go_to_slice(plugin_model, layer, HERE)
    return controller, plugin_model, layer


def widths(array):
    """Columns of each slice in a row in the middle of the block."""
    return (np.asarray(array)[:, 10] == 1).sum(axis=1)


def test_neighbours_follow_less_and_less_and_apply_is_one_step(opened):
    controller, viewer, layer = opened
    stroke(layer, HERE)
    before = layer.data.copy()
    controller.propagating.set_slices(3)
    controller.propagating.begin()
    # The edge moved by 8 mm; with 3 slices the weights are 3/4, 1/2 and 1/4.
    found = widths(viewer.layers[PREVIEW_NAME].data)
    assert found[HERE] == WIDTH + MORE and list(found[:1]) == [0]
    assert found[3] == found[5] and WIDTH + MORE > found[3] > found[2] > found[1] >= WIDTH
    assert abs(found[3] - (WIDTH + 6)) <= 1 and abs(found[1] - (WIDTH + 2)) <= 1
    assert np.array_equal(layer.data, before)  # a preview changes nothing
    controller.propagating.apply()
    assert list(widths(layer.data)[[0, 8]]) == [WIDTH, WIDTH]
    assert list(widths(layer.data)[1:8]) == list(found[1:8])
    assert layer.data[HERE + 1, 8, 18] == 3  # another class keeps its voxel
    assert edits_of(layer)[-1]["operation"] == "propagate" and edits_of(layer)[-1]["slices"] == 3
    controller.steps.undo()
    assert np.array_equal(layer.data, before)


def test_slices_that_were_drawn_stay(opened):
    controller, viewer, layer = opened
    stroke(layer, HERE + 1, more=1)
    stroke(layer, HERE)
    controller.propagating.begin()
    found = widths(viewer.layers[PREVIEW_NAME].data)
    assert found[HERE + 1] == WIDTH + 1 and found[HERE - 1] > WIDTH


def test_what_an_operation_did_is_not_carried(opened):
    """After Propagate only newer strokes of the slice are carried on."""
    controller, viewer, layer = opened
    stroke(layer, HERE)
    controller.propagating.begin()
    controller.propagating.apply()
    go_to_slice(viewer, layer, HERE + 1)
    controller.propagating.begin()
    assert "not changed by hand in slice 6" in controller.state.message
    assert controller.state.preview.tool == "" and PREVIEW_NAME not in viewer.layers


def test_cancel_leaves_all_as_it_was(opened):
    controller, viewer, layer = opened
    stroke(layer, HERE)
    before, steps = layer.data.copy(), len(Painting.of(layer).steps.history.done)
    controller.propagating.begin()
    controller.propagating.set_slices(2)
    controller.propagating.cancel()
    assert np.array_equal(layer.data, before) and PREVIEW_NAME not in viewer.layers
    assert len(Painting.of(layer).steps.history.done) == steps


def test_an_erased_slice_tapers_off(opened):
    controller, viewer, layer = opened
    rows, columns = np.nonzero(layer.data[HERE])
    layer.data_setitem((np.full(len(rows), HERE), rows, columns), 0)
    Painting.of(layer).flush()
    controller.propagating.begin()
    sizes = (viewer.layers[PREVIEW_NAME].data == 1).sum(axis=(1, 2))
    assert sizes[HERE] == 0 and sizes[HERE - 1] <= sizes[HERE - 2] < sizes[HERE - 3] < 12 * WIDTH


def test_by_keys(make_plugin_viewer, qtbot):
    viewer = make_plugin_viewer(show=True)
    layer = shown(viewer)
    dock = CorrectDock(viewer)
    viewer.window.add_dock_widget(dock)
    go_to_slice(viewer, layer, HERE)
    stroke(layer, HERE)
    canvas = unwrapped(viewer).window._qt_viewer.canvas.native
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    for leave, wider in ((Qt.Key.Key_Escape, False), (Qt.Key.Key_Return, True)):
        qtbot.keyClick(canvas, Qt.Key.Key_K, both)
        qtbot.waitUntil(lambda: dock.controller.state.preview.ready)
        qtbot.keyClick(canvas, leave)
        assert (widths(layer.data)[HERE - 1] > WIDTH) == wider
        assert dock.propagate.begin.isEnabled()
