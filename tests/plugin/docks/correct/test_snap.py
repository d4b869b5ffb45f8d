"""Snap on a real viewer: a few clicks on a border, one filled slice, one undo step."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels, Volume
from ctseg_models.contract.prediction import Prediction
from napari_ctseg.docks.correct.controller import CorrectController
from napari_ctseg.docks.correct.previews.outline import PREVIEW_NAME
from napari_ctseg.docks.correct.state import CorrectState
from napari_ctseg.docks.correct.view import CorrectDock
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.layers import go_to_slice
from napari_ctseg.viewer.painting import edits_of
from napari_ctseg.viewer.proxies import unwrapped
from napari_ctseg.viewer.showing import add_prediction, show_labels, show_volume
from tests.plugin import canvas_events as events
from tests.plugin.workers import at_once

SHAPE, SPACING = (7, 32, 50), (3.0, 1.5, 1.0)
C, S = np.cos(np.radians(10)), np.sin(np.radians(10))
OBLIQUE = np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]])
GRID = Geometry.from_parts(SHAPE, SPACING, (10.0, -20.0, 30.0), OBLIQUE)
HERE = 3
BORDER = ((8, 24), (16, 36), (24, 24), (16, 12))  # of the disc


class FakeView:
    def __init__(self):
        self.state = CorrectState()

    def show(self, state):
        self.state = state


def disc():
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    return np.hypot((y - 16) * SPACING[1], (x - 24) * SPACING[2]) <= 12


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def shown(viewer, grid=GRID):
    array = np.random.default_rng(0).normal(0, 2, SHAPE).astype(np.int16)
    array[:, disc()] += 100
    show_volume(viewer, Volume(array, GRID, modality="CT"), "ct")
    labels = np.zeros(SHAPE, np.uint8)
    labels[HERE, 16, 24] = 3
    mask = LabelMap(labels, grid, Labels.from_names({1: "liver", 3: "spleen"}))
    layer = show_labels(viewer, mask, "mask", role="edited")
    layer.selected_label = 1
    go_to_slice(viewer, layer, HERE)
    return layer


@pytest.fixture
def opened(plugin_model):
    layer = shown(plugin_model)
    return CorrectController(FakeView(), plugin_model, Preferences(), at_once), plugin_model, layer


def test_four_clicks_fill_the_disc_as_one_step(opened):
    controller, viewer, layer = opened
    before = layer.data.copy()
    controller.snapping.begin()
    assert layer.mode == "pan_zoom" and controller.state.snap.along == ""
    for pixel in BORDER:
        controller.snapping.set_point(0, HERE, pixel)
    line = viewer.layers[PREVIEW_NAME].data
    assert line[HERE].any() and not line[HERE, 16, 24] and not np.delete(line, HERE, axis=0).any()
    assert np.array_equal(layer.data, before)  # a preview changes nothing
    controller.snapping.apply()
    assert dice(layer.data[HERE] == 1, disc()) > 0.93 and layer.data[HERE, 16, 24] == 3
    assert not np.delete(layer.data, HERE, axis=0).any()
    assert edits_of(layer)[-1]["operation"] == "snap" and controller.state.preview.tool == ""
    controller.steps.undo()
    assert np.array_equal(layer.data, before)


def test_a_sagittal_slice_is_filled_in_its_own_plane(opened):
    controller, _, layer = opened
    controller.snapping.begin()
    for pixel in ((1, 8), (5, 8), (5, 24), (1, 24)):
        controller.snapping.set_point(2, 24, pixel)
    controller.snapping.apply()
    found = layer.data == 1
    assert found[:, :, 24].sum() > 4 * 14 and not np.delete(found, 24, axis=2).any()


def test_points_in_another_slice_begin_anew_and_one_is_not_enough(opened):
    controller, viewer, layer = opened
    controller.snapping.begin()
    controller.snapping.set_point(0, HERE, BORDER[0])
    controller.snapping.set_point(0, HERE + 1, BORDER[1])
    assert controller.state.snap.points == 1
    controller.snapping.apply()
    assert "two points" in controller.state.message and not (layer.data == 1).any()
    controller.snapping.cancel()
    assert PREVIEW_NAME not in viewer.layers and not (layer.data == 1).any()


def test_the_edge_map_of_a_network_is_followed(opened):
    controller, viewer, _ = opened
    edges = np.zeros(SHAPE, np.float32)
    edges[HERE, 4, 4:40] = edges[HERE, 4:20, 39] = 1.0
    empty = LabelMap(np.zeros(SHAPE, np.uint8), GRID, Labels.from_names({1: "liver"}))
    add_prediction(viewer, Prediction(empty, edge_map=Volume(edges, GRID), provenance={"bundles": []}), "net")
    controller.choose("mask")
    controller.snapping.begin()
    assert controller.state.snap.along == "net edges"
    controller.snapping.set_point(0, HERE, (4, 4))
    controller.snapping.set_point(0, HERE, (19, 39))
    line = viewer.layers[PREVIEW_NAME].data[HERE] == 1
    assert (line & (edges[HERE] == 1)).sum() >= line.sum() - 1


def test_other_grids_are_refused(plugin_model):
    shown(plugin_model, Geometry.from_parts(SHAPE, SPACING, (11.0, -20.0, 30.0), OBLIQUE))
    controller = CorrectController(FakeView(), plugin_model, Preferences(), at_once)
    controller.snapping.begin()
    assert "different grids" in controller.state.message and PREVIEW_NAME not in plugin_model.layers


def pixel_of(viewer, native, world):
    """Where a point of the shown plane lies on the canvas, which the camera looks at the centre of."""
    camera = viewer.scene.camera
    y, x = (camera.zoom * (at - centre) for at, centre in zip(world[1:], camera.center[1:], strict=True))
    return round(native.width() / 2 + x), round(native.height() / 2 + y)


def test_with_mouse_and_keys(make_plugin_viewer, qtbot):
    """Ctrl+Shift+L, clicks on the canvas, Enter; napari's double click is its own again."""
    viewer = make_plugin_viewer(show=True)
    layer = shown(viewer)
    dock = CorrectDock(viewer)
    viewer.window.add_dock_widget(dock)
    canvas = unwrapped(viewer).window._qt_viewer.canvas
    double_clicks = list(unwrapped(viewer).mouse_double_click_callbacks)
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    qtbot.keyClick(canvas.native, Qt.Key.Key_L, both)
    assert dock.controller.state.preview.tool == "snap"
    for row, column in BORDER:
        events.click(canvas.native, pixel_of(viewer, canvas.native, layer.data_to_world((HERE, row, column))))
    assert dock.controller.state.snap.points == 4
    qtbot.keyClick(canvas.native, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: dock.controller.state.preview.tool == "")
    assert dice(layer.data[HERE] == 1, disc()) > 0.9
    assert unwrapped(viewer).mouse_double_click_callbacks == double_clicks
