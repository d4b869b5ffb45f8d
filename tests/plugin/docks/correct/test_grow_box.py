"""Grow from seeds within a box: a rectangle that is drawn, and a range of slices."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from ctseg_imaging.editing import INSIDE
from napari_ctseg.docks.correct.controller import CorrectController
from napari_ctseg.docks.correct.grow.box import GrowBox, box_of
from napari_ctseg.docks.correct.grow.box_layers import BOX_NAME, DRAWING_NAME
from napari_ctseg.docks.correct.grow.growing import OUTSIDE_IMAGE
from napari_ctseg.docks.correct.grow.strokes import STROKES_NAME
from napari_ctseg.docks.correct.previews.outline import PREVIEW_NAME
from napari_ctseg.docks.correct.view import CorrectDock
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.layers import go_to_slice
from napari_ctseg.viewer.painting import edits_of
from napari_ctseg.viewer.proxies import unwrapped
from tests.plugin import canvas_events as events
from tests.plugin.docks.correct.test_growing import GROW, FakeView, organ_shown, shown, stroke
from tests.plugin.workers import at_once

HERE = 5


@pytest.fixture
def opened(plugin_model, qtbot):
    layer = shown(plugin_model)
    layer.selected_label = 1
    controller = CorrectController(FakeView(), plugin_model, Preferences(), at_once)
    controller.growing.set_reach(6.0)  # 2 slices of 3 mm
    controller.growing.begin()
    go_to_slice(plugin_model, layer, HERE)
    yield controller, plugin_model, layer
    controller.close()


def rectangle(viewer, qtbot, low, high):
    """Draw one on slice HERE between two voxels (y, x)."""
    (y0, x0), (y1, x1) = low, high
    corners = [[HERE, y0, x0], [HERE, y0, x1], [HERE, y1, x1], [HERE, y1, x0]]
    viewer.layers[DRAWING_NAME].add_rectangles(np.array(corners, float))
    qtbot.waitUntil(lambda: DRAWING_NAME not in viewer.layers)


def block_within(layer, z, y, x):
    """The bright block, cut to [start, stop) of each axis."""
    cut = np.zeros(layer.data.shape, bool)
    cut[slice(*z), slice(*y), slice(*x)] = True
    return organ_shown(layer) & cut


def stays_in(viewer, block):
    """Whether something grew and all of it lies in `block`, where the border of the box is outside."""
    grown = preview(viewer)
    return bool(grown.any() and not (grown & ~block).any())


def preview(viewer):
    return viewer.layers[PREVIEW_NAME].data == 1


def test_the_shape_stays_in_the_rectangle_and_in_the_slices(opened, qtbot):
    """The voxels whose centres lie within: rows 6 to 11, columns 9 to 13, two slices on either side."""
    controller, viewer, layer = opened
    stroke(viewer, layer, INSIDE, inside=True)
    controller.growing.draw_box()
    assert controller.state.grow.drawing and viewer.layers.selection.active.name == DRAWING_NAME
    rectangle(viewer, qtbot, (5.6, 8.9), (11.4, 13.2))
    grow = controller.state.grow
    assert (grow.slices, grow.depth, grow.drawing) == ((3, 7), 11, False)
    assert viewer.layers.selection.active.name == STROKES_NAME
    expected = block_within(layer, (3, 8), (6, 12), (9, 14))
    assert expected.sum() < organ_shown(layer).sum()
    assert stays_in(viewer, expected)
    controller.growing.set_slices(5, 4)
    expected = block_within(layer, (4, 6), (6, 12), (9, 14))
    assert stays_in(viewer, expected) and controller.state.grow.slices == (4, 5)
    grown = preview(viewer).copy()
    controller.growing.accept()
    assert np.array_equal(layer.data == 1, grown & (layer.data != 3))
    assert edits_of(layer)[-1]["box"] == [(4, 6, 9), (6, 12, 14)]
    assert {BOX_NAME, STROKES_NAME, PREVIEW_NAME}.isdisjoint(one.name for one in viewer.layers)


def test_a_box_around_the_structure_gives_all_of_it(opened, qtbot):
    controller, viewer, layer = opened
    controller.growing.set_reach(3.0)  # too little to reach its ends
    stroke(viewer, layer, INSIDE, inside=True)
    block = organ_shown(layer)
    assert preview(viewer).sum() < block.sum()
    controller.growing.draw_box()
    (_, y0, x0), (_, y1, x1) = np.argwhere(block).min(0), np.argwhere(block).max(0)
    rectangle(viewer, qtbot, (y0 - 1, x0 - 1), (y1 + 1, x1 + 1))
    controller.growing.set_slices(1, 9)
    assert np.array_equal(preview(viewer), block)


def test_without_the_box_the_reach_counts_again(opened, qtbot):
    controller, viewer, layer = opened
    controller.growing.set_reach(15.0)
    stroke(viewer, layer, INSIDE, inside=True)
    whole = preview(viewer).copy()
    for remove in (controller.growing.remove_box, lambda: viewer.layers.remove(BOX_NAME)):
        controller.growing.draw_box()
        rectangle(viewer, qtbot, (6, 9), (11, 13))
        assert BOX_NAME in viewer.layers and preview(viewer).sum() < whole.sum()
        remove()
        assert BOX_NAME not in viewer.layers and controller.state.grow.slices is None
        assert np.array_equal(preview(viewer), whole)


def test_strokes_outside_of_the_box_count_for_nothing(opened, qtbot):
    controller, viewer, layer = opened
    _, y, _ = stroke(viewer, layer, INSIDE, inside=True)
    controller.growing.draw_box()
    rectangle(viewer, qtbot, (y + 1, 1), (y + 5, 20))
    assert not preview(viewer).any() and controller.state.grow.volume_ml == 0


def test_a_rectangle_beside_the_mask_changes_nothing_and_a_stroke_ends_drawing(opened, qtbot):
    controller, viewer, _ = opened
    controller.growing.draw_box()
    rectangle(viewer, qtbot, (-9, -9), (-3, -2))
    assert controller.state.message == OUTSIDE_IMAGE and controller.state.grow.slices is None
    controller.growing.draw_box()
    controller.growing.paint(INSIDE)
    assert DRAWING_NAME not in viewer.layers and not controller.state.grow.drawing
    controller.growing.draw_box()
    controller.growing.discard()
    assert {DRAWING_NAME, BOX_NAME, STROKES_NAME}.isdisjoint(one.name for one in viewer.layers)


def test_a_rectangle_in_a_coronal_slice_has_a_range_of_coronal_slices(opened, qtbot):
    controller, viewer, layer = opened
    viewer.dims.order = (1, 0, 2)
    controller.growing.draw_box()
    corners = [[2, 9, 4], [2, 9, 15], [8, 9, 15], [8, 9, 4]]
    viewer.layers[DRAWING_NAME].add_rectangles(np.array(corners, float))
    qtbot.waitUntil(lambda: DRAWING_NAME not in viewer.layers)
    assert controller.state.grow.slices == (5, 13) and controller.state.grow.depth == 20  # 6 mm of 1.5 mm
    stroke(viewer, layer, INSIDE, inside=True)
    assert stays_in(viewer, block_within(layer, (2, 9), (5, 14), (4, 16)))


def test_box_of_a_rectangle():
    corners = np.array([[4, 2.0, 3.5], [4, 2.0, 8.9], [4, 6.2, 8.9], [4, 6.2, 3.5]])
    box = box_of(corners, (6, 9, 8), 0, 3)
    assert box == GrowBox((1, 2, 4), (6, 7, 8), 0) and box.slices == (1, 5)
    assert box.framed((6, 9, 8)) == (slice(0, 6), slice(1, 8), slice(3, 8))
    assert box.within(box.framed((6, 9, 8))) == (slice(1, 6), slice(1, 6), slice(1, 5))
    assert box.between(4, 2).slices == (2, 4)
    assert box_of(corners + np.array([0, 0, 8]), (6, 9, 8), 0, 3) is None
    assert box_of(np.array([[4, 2.1, 3.1], [4, 2.9, 3.9]]), (6, 9, 8), 0, 3) is None


def test_with_the_mouse(make_plugin_viewer, qtbot):
    """B, a drag over the canvas, then the slices in the dock."""
    viewer = make_plugin_viewer(show=True)
    layer = shown(viewer)
    layer.selected_label = 1
    dock = CorrectDock(viewer)
    viewer.window.add_dock_widget(dock)
    canvas = unwrapped(viewer).window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key.Key_G, GROW)
    go_to_slice(viewer, layer, HERE)
    stroke(viewer, layer, INSIDE, inside=True)
    qtbot.keyClick(canvas, Qt.Key.Key_B)
    assert dock.grow.box.isChecked() and not dock.grow.strokes[INSIDE].isChecked()
    assert "draw a rectangle" in dock.grow.told.text()
    QApplication.processEvents()  # the canvas has its size now

    def at(y, x):
        world, camera = layer.data_to_world((HERE, y, x)), unwrapped(viewer).scene.camera
        down, right = (camera.zoom * (a - c) for a, c in zip(world[1:], camera.center[1:], strict=True))
        return round(canvas.width() / 2 + right), round(canvas.height() / 2 + down)

    events.drag(canvas, at(5.5, 8.5), at(11.5, 13.5))
    qtbot.waitUntil(lambda: dock.controller.state.grow.slices is not None)
    assert dock.grow.strokes[INSIDE].isChecked() and not dock.grow.box.isChecked()
    assert dock.grow.in_box.isVisible() and not dock.grow.in_reach.isVisible()
    dock.grow.first.setValue(5)  # slice 4 of the array
    dock.grow.last.setValue(6)
    expected = block_within(layer, (4, 6), (6, 12), (9, 14))
    qtbot.waitUntil(lambda: stays_in(viewer, expected))
    dock.grow.remove.click()
    assert dock.grow.in_reach.isVisible()
    dock.controller.growing.discard()
