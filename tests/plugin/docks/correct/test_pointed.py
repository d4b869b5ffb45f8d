"""Keys over the canvas: what is under the pointer is accepted, relabelled, merged, split, deleted."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels, Volume
from napari_ctseg.docks.correct.controller import CorrectController
from napari_ctseg.docks.correct.pointed.pointer import pointed
from napari_ctseg.docks.correct.state import CorrectState
from napari_ctseg.docks.correct.view import CorrectDock
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.layers import go_to_slice, source_of
from napari_ctseg.viewer.painting import edits_of
from napari_ctseg.viewer.planes import Layout, planes_of
from napari_ctseg.viewer.proxies import unwrapped
from napari_ctseg.viewer.showing import show_labels, show_volume
from tests.plugin import canvas_events as events
from tests.plugin.workers import at_once

SHAPE, SPACING = (9, 20, 26), (3.0, 1.5, 2.0)
C, S = np.cos(np.radians(10)), np.sin(np.radians(10))
OBLIQUE = np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]])
GRID = Geometry.from_parts(SHAPE, SPACING, (10.0, -20.0, 30.0), OBLIQUE)
SHIFT = Qt.KeyboardModifier.ShiftModifier
BOTH = Qt.KeyboardModifier.ControlModifier | SHIFT
HERE = 4
LARGE = (slice(2, 7), slice(3, 9), slice(3, 11))  # the mask's liver, and a second piece
SMALL = (slice(3, 5), slice(14, 17), slice(4, 8))
SPLEEN = (slice(4, 8), slice(4, 8), slice(17, 22))
THEIRS = (slice(1, 6), slice(4, 11), slice(2, 10))  # what the model calls liver, its value 5


class FakeView:
    def __init__(self):
        self.state = CorrectState()

    def show(self, state):
        self.state = state


def own():
    array = np.zeros(SHAPE, np.uint8)
    array[LARGE] = array[SMALL] = 1
    array[SPLEEN] = 3
    return array


def model_s():
    """The liver elsewhere, and a kidney that the mask has not."""
    array = np.zeros(SHAPE, np.uint8)
    array[THEIRS] = 5
    array[3:6, 12:16, 18:24] = 2
    return array


def shown(viewer):
    show_volume(viewer, Volume(np.zeros(SHAPE, np.int16), GRID, modality="CT"), "ct")
    theirs = LabelMap(model_s(), GRID, Labels.from_names({2: "kidney", 5: "Liver"}))
    show_labels(viewer, theirs, "net", {"bundles": ["net"]})
    mask = LabelMap(own(), GRID, Labels.from_names({1: "liver", 3: "spleen"}))
    layer = show_labels(viewer, mask, "mask", role="edited")
    go_to_slice(viewer, layer, HERE)
    return layer


class Pointer:
    """The mouse on a canvas, and the keyboard."""

    def __init__(self, viewer, layer, qtbot):
        self.viewer, self.layer, self.qtbot = viewer, layer, qtbot
        self.dock = CorrectDock(viewer)
        viewer.window.add_dock_widget(self.dock)
        self.canvas = unwrapped(viewer).window._qt_viewer.canvas.native
        self.controller = self.dock.controller

    def over(self, *voxel, native=None, model=None):
        """Move the mouse to a voxel of the mask, again if the canvas had not its size yet."""
        native, model = native or self.canvas, model or unwrapped(self.viewer)
        world, axes = np.array(self.layer.data_to_world(voxel)), list(model.dims.displayed)

        def arrived():
            camera = model.scene.camera
            y, x = camera.zoom * (world[axes] - camera.center[1:])
            events.move(native, (round(native.width() / 2 + x), round(native.height() / 2 + y)))
            return np.allclose(np.array(model.cursor.position)[axes], world[axes], atol=0.5)  # mm

        self.qtbot.waitUntil(arrived)

    def key(self, key, held=Qt.KeyboardModifier.NoModifier):
        self.qtbot.keyClick(self.canvas, key, held)
        self.qtbot.waitUntil(lambda: not self.controller.state.working)


@pytest.fixture
def pointer(make_plugin_viewer, qtbot):
    viewer = make_plugin_viewer(show=True)
    return Pointer(viewer, shown(viewer), qtbot)


def test_a_component_a_slice_and_a_class_are_accepted_by_key(pointer):
    """The class is the same by name: the model's Liver 5 is the mask's liver 1."""
    layer, before, liver = pointer.layer, own(), model_s() == 5
    assert pointer.controller.state.accept.source == "net"
    pointer.over(HERE, 6, 6)
    pointer.key(Qt.Key.Key_U, SHIFT)
    expected = before.copy()
    expected[HERE][expected[HERE] == 1] = 0
    expected[HERE][liver[HERE]] = 1
    assert np.array_equal(layer.data, expected)
    pointer.controller.steps.undo()
    assert np.array_equal(layer.data, before)
    pointer.key(Qt.Key.Key_U)  # the small piece touches no part of the model's
    expected = before.copy()
    expected[LARGE] = 0
    expected[liver] = 1
    assert np.array_equal(layer.data, expected)
    pointer.controller.steps.undo()
    pointer.key(Qt.Key.Key_U, BOTH)
    expected[SMALL] = 0
    assert np.array_equal(layer.data, expected)
    pointer.controller.steps.undo()
    assert np.array_equal(layer.data, before)
    done = [one["operation"] for one in edits_of(layer)]
    assert [one for one in done if one != "undo"] == ["accept slice", "accept component", "accept class"]


def test_a_part_that_the_model_has_not_is_taken_away_and_a_new_class_is_added(pointer):
    layer = pointer.layer
    pointer.over(HERE, 15, 5)  # the small piece
    pointer.key(Qt.Key.Key_U)
    expected = own()
    expected[SMALL] = 0
    assert np.array_equal(layer.data, expected)
    pointer.over(HERE, 14, 20)  # the model's kidney, whose value 2 is free, but the next one is taken
    pointer.key(Qt.Key.Key_U)
    kidney = next(label for label in source_of(layer).labels if label.name == "kidney")
    assert kidney.value == 4 and np.array_equal(layer.data == 4, model_s() == 2)
    pointer.over(HERE, 6, 18)  # the spleen
    pointer.key(Qt.Key.Key_U)
    assert "no class “spleen”" in pointer.controller.state.message and (layer.data[SPLEEN] == 3).all()
    pointer.over(HERE, 1, 1)
    pointer.key(Qt.Key.Key_U)
    assert "Neither" in pointer.controller.state.message


def test_components_are_relabelled_deleted_merged_and_split_by_key(pointer):
    layer, before = pointer.layer, own()
    layer.selected_label = 3
    pointer.over(HERE, 15, 5)
    pointer.key(Qt.Key.Key_T, SHIFT)
    expected = before.copy()
    expected[SMALL] = 3
    assert np.array_equal(layer.data, expected)
    pointer.key(Qt.Key.Key_X, SHIFT)
    expected[SMALL] = 0
    assert np.array_equal(layer.data, expected)
    pointer.controller.steps.undo()
    pointer.controller.steps.undo()
    assert np.array_equal(layer.data, before)
    pointer.key(Qt.Key.Key_M, SHIFT)
    assert np.array_equal(layer.data, np.where(before == 1, 3, before))
    pointer.controller.steps.undo()
    pointer.key(Qt.Key.Key_S, SHIFT)
    expected = before.copy()
    expected[SMALL] = 4
    assert np.array_equal(layer.data, expected)
    assert source_of(layer).labels.name(4) == "liver 2" and layer.data.dtype == np.uint8
    assert [row.name for row in pointer.controller.state.classes.rows] == ["liver", "spleen", "liver 2"]
    pointer.controller.steps.undo()
    assert np.array_equal(layer.data, before)


def test_the_pointer_counts_in_a_side_plane(pointer):
    """The coronal canvas: its own slice is accepted."""
    viewer, layer = unwrapped(pointer.viewer), pointer.layer
    planes_of(viewer).show(Layout.EQUAL)
    view = planes_of(viewer).view
    number = next(k for k, plane in enumerate(view.planes) if plane.axis == 1)
    row = 7
    go_to_slice(viewer, layer, row, axis=1)
    pointer.qtbot.waitUntil(lambda: view.canvases[number].canvas.native.width() > 100)
    native, model = view.canvases[number].canvas.native, view.models[number]
    model.reset_view()
    pointer.over(HERE, row, 5, native=native, model=model)
    assert pointed(viewer, layer).axis == 1 and pointed(viewer, layer).voxel == (HERE, row, 5)
    pointer.key(Qt.Key.Key_U, SHIFT)
    expected = own()
    expected[:, row][expected[:, row] == 1] = 0
    expected[:, row][model_s()[:, row] == 5] = 1
    assert np.array_equal(layer.data, expected)
    pointer.over(HERE, row + 1, 6)
    assert pointed(viewer, layer).axis == 0


def test_the_slider_moves_under_a_pointer_that_rests(pointer):
    pointer.over(HERE, 6, 6)
    go_to_slice(pointer.viewer, pointer.layer, 1)
    assert pointed(unwrapped(pointer.viewer), pointer.layer).voxel == (1, 6, 6)


@pytest.fixture
def opened(plugin_model):
    layer = shown(plugin_model)
    return CorrectController(FakeView(), plugin_model, Preferences(), at_once), plugin_model, layer


def put(viewer, layer, *voxel):
    viewer = unwrapped(viewer)
    viewer.cursor.position = tuple(layer.data_to_world(voxel))


def test_locked_classes_and_what_cannot_be_done_say_so(opened):
    controller, viewer, layer = opened
    controller.brush.lock(1, True)
    layer.selected_label = 3
    put(viewer, layer, HERE, 6, 6)
    for act in ("accept_component", "relabel", "merge", "delete", "split"):
        controller.update(message="")
        getattr(controller.pointing, act)()
        assert controller.state.message == "liver is locked; unlock it first.", act
    controller.brush.lock(1, False)
    layer.selected_label = 1
    controller.pointing.relabel()
    assert controller.state.message == "This is liver already."
    put(viewer, layer, HERE, 6, 18)
    controller.pointing.split()
    assert controller.state.message == "spleen is one component; there is nothing to split."
    put(viewer, layer, HERE, 1, 1)
    controller.pointing.delete()
    assert "no class under" in controller.state.message
    put(viewer, layer, HERE, 6, SHAPE[2] + 4)
    controller.pointing.delete()
    assert "Point at" in controller.state.message
    assert np.array_equal(layer.data, own())


def test_a_locked_neighbour_keeps_its_voxels_and_strokes_made_meanwhile_stay(opened):
    _, viewer, layer = opened
    calls = []
    controller = CorrectController(FakeView(), viewer, Preferences(), lambda *call: calls.append(call))
    calls.clear()
    layer.data[HERE, 9, 3:6] = 3  # inside of what the model calls liver
    controller.brush.lock(3, True)
    put(viewer, layer, HERE, 6, 6)
    controller.pointing.accept_component()
    layer.data_setitem(tuple(np.array([i]) for i in (HERE, 10, 9)), 7)
    at_once(*calls[-1])
    liver = model_s() == 5
    assert (layer.data[HERE, 9, 3:6] == 3).all() and layer.data[HERE, 10, 9] == 7
    rest = liver.copy()
    rest[HERE, 9, 3:6] = rest[HERE, 10, 9] = False
    assert (layer.data[rest] == 1).all()


def test_a_split_takes_255_values_and_not_one_more(plugin_model):
    show_volume(plugin_model, Volume(np.zeros((3, 40, 52), np.int16), wide()), "ct")
    array = np.zeros((3, 40, 52), np.uint8)
    array[1, ::2, ::2][:10] = 1  # 260 single voxels
    array[1, 18, ::2][13:] = 0  # 247 of them
    names = {1: "vessel", **{value: f"class {value}" for value in range(2, 11)}}  # 246 values are free
    layer = show_labels(plugin_model, LabelMap(array, wide(), Labels.from_names(names)), "m", role="edited")
    controller = CorrectController(FakeView(), plugin_model, Preferences(), at_once)
    go_to_slice(plugin_model, layer, 1)
    put(plugin_model, layer, 1, 0, 0)
    layer.data[1, 0, 0:5] = 1  # three of them are one now: 245
    controller.pointing.split()
    assert layer.data.dtype == np.uint8 and len(np.unique(layer.data)) == 246
    assert (layer.data[1, 0, 0:5] == 1).all()  # the largest keeps its value
    controller.steps.undo()
    layer.data[1, 30, 0:4:2] = layer.data[1, 30, 8] = 1  # 248
    controller.pointing.split()
    assert "drop islands" in controller.state.message and set(np.unique(layer.data)) == {0, 1}


def wide():
    return Geometry.from_parts((3, 40, 52), SPACING, (0.0, 0.0, 0.0))
