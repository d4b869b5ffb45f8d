"""The dock in the viewer that napari hands to a plugin, drawn on with the mouse."""

from __future__ import annotations

import time

import numpy as np
import pytest
from matplotlib.path import Path as Outline
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.measurements import Kind
from ctseg_imaging.volume import Volume
from napari_ctseg.docks.measure.shapes.forming import formed
from napari_ctseg.docks.measure.view import MeasureDock
from napari_ctseg.viewer.orientation import show_plane
from napari_ctseg.viewer.showing import show_volume
from tests.pace import at_most
from tests.plugin import canvas_events

SHAPE, SPACING = (12, 60, 80), (5.0, 2.0, 1.5)


def oblique() -> Volume:
    """12 x 60 x 80 voxels of 5 x 2 x 1.5 mm, stored from the left and turned by 10 degrees."""
    c, s = np.cos(np.radians(10)), np.sin(np.radians(10))
    turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag([-1, 1, -1.0])
    values = np.random.default_rng(2).integers(-900, 900, SHAPE, np.int16)
    return Volume(values, Geometry.from_parts(SHAPE, SPACING, (40.0, -60.0, 30.0), turned), modality="CT")


def at(point: QPoint) -> tuple[int, int]:
    return point.x(), point.y()


class Hand:
    """A mouse over the canvas; places are (z, y, x) indices of the layer's data."""

    def __init__(self, viewer, layer):
        self.viewer, self.layer = viewer, layer
        self.canvas = viewer.window._qt_viewer.canvas
        self.native = self.canvas.native

    def pixel(self, index):
        world = np.array(self.layer.data_to_world(index))[list(self.viewer.dims.displayed)]
        scene = self.canvas.view.scene
        at = scene.node_transform(self.canvas._scene_canvas.scene).map([*world[::-1], 0, 1])
        return QPoint(*(round(float(k)) for k in at[:2] / at[3]))

    def index(self, point):
        """Where a pixel lies, by vispy's transform alone."""
        scene = self.canvas.view.scene
        at = scene.node_transform(self.canvas._scene_canvas.scene).imap([point.x(), point.y(), 0, 1])
        return (at[:2] / at[3])[::-1]

    def drag(self, *indices, keys=Qt.KeyboardModifier.NoModifier):
        points = [self.pixel(index) for index in indices]
        canvas_events.move(self.native, at(points[0]))
        QTest.mousePress(self.native, Qt.MouseButton.LeftButton, keys, points[0])
        for point in points[1:]:
            canvas_events.move(self.native, at(point), canvas_events.LEFT, keys)
        QTest.mouseRelease(self.native, Qt.MouseButton.LeftButton, keys, points[-1])
        return points

    def press(self, key, keys=Qt.KeyboardModifier.NoModifier):
        self.native.setFocus()
        QTest.keyClick(self.native, key, keys)

    def click(self, index, double=False):
        point = self.pixel(index)
        canvas_events.move(self.native, at(point))
        if double:
            QTest.mouseDClick(self.native, Qt.MouseButton.LeftButton, pos=point)
        else:
            QTest.mouseClick(self.native, Qt.MouseButton.LeftButton, pos=point)


@pytest.fixture
def dock(make_plugin_viewer, qtbot):
    viewer = make_plugin_viewer(show=True)
    viewer.window._qt_window.resize(1200, 800)
    layer = show_volume(viewer, oblique(), "scan")
    widget = MeasureDock(viewer)
    viewer.window.add_dock_widget(widget, name="Measure")
    viewer.reset_view()
    viewer.dims.set_point(0, layer.translate[0] + 4 * layer.scale[0])
    qtbot.wait(50)
    widget.hand = Hand(viewer, layer)
    yield widget
    widget.closed()


def measured(dock):
    return dock.controller.sheet.drawing.shapes


def test_a_ruler_drawn_with_the_mouse(dock):
    dock.controller.arm(Kind.RULER)
    a, *_, b = dock.hand.drag((4, 20, 20), (4, 30, 30), (4, 45, 62))
    apart = dock.hand.index(b) - dock.hand.index(a)  # world mm: the layer's scale is the spacing
    (row,) = dock.controller.state.rows
    assert float(row.size.removesuffix(" mm")) == pytest.approx(np.hypot(*apart), abs=0.06)
    assert np.hypot(25 * 2, 42 * 1.5) == pytest.approx(np.hypot(*apart), abs=3)
    assert row.slice == "axial 5" and row.mean == ""
    assert dock.controller.state.tool is None and dock.table.item(0, 2).text() == row.size
    layer = dock._viewer.layers["Measurements"]
    assert layer.features["label"].tolist() == [row.size] and len(layer._view_indices) == 1
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3 and layer.axis_labels == ("z", "y", "x")
    dock._viewer.dims.set_point(0, layer.translate[0] + 7 * layer.scale[0])
    assert len(layer._view_indices) == 0  # on its slice only
    dock.table.cellClicked.emit(0, 0)
    assert len(layer._view_indices) == 1


def test_a_circle_drawn_with_the_mouse_is_round_in_mm_and_holds_the_right_voxels(dock):
    dock.controller.set_keep_tool(True)
    dock.controller.arm(Kind.ELLIPSE)
    a, *_, b = dock.hand.drag((4, 30, 40), (4, 30, 45), (4, 38, 48))
    centre, edge = dock.hand.index(a), dock.hand.index(b)
    layer = dock.hand.layer
    y, x = np.mgrid[:60, :80]
    world = np.stack([layer.translate[1] + 2 * y, layer.translate[2] + 1.5 * x])
    inside = np.hypot(*(world - centre[:, None, None])) <= np.hypot(*(edge - centre))
    (shape,), (row,) = measured(dock), dock.controller.state.rows
    assert shape.kind is Kind.ELLIPSE and dock.controller.state.tool is Kind.ELLIPSE  # it is kept
    assert row.mean == (f"{layer.data[4][inside].mean():.0f} ± {layer.data[4][inside].std():.0f} HU").replace(
        "-", "−"
    )
    area = np.pi * np.hypot(*(edge - centre)) ** 2
    assert float(row.size.removesuffix(" mm²")) == pytest.approx(area, rel=0.01)


def test_a_recist_pair_and_a_polygon_in_other_planes_by_keys_and_mouse(dock, qtbot):
    viewer, hand = dock._viewer, dock.hand
    show_plane(viewer, "sagittal")
    viewer.dims.set_point(2, hand.layer.translate[2] + 40 * hand.layer.scale[2])
    qtbot.wait(50)
    hand.press(Qt.Key.Key_D, Qt.KeyboardModifier.ShiftModifier)
    assert dock.controller.state.tool is Kind.RECIST and dock.drawing.tools.buttons[Kind.RECIST].isChecked()
    hand.drag((3, 10, 40), (5, 20, 40), (8, 45, 40))
    short = measured(dock)[0].array[2:]
    assert [row.slice for row in dock.controller.state.rows] == ["sagittal 41"]
    before = dock.controller.state.rows[0].size
    hand.drag(tuple(short[0]), tuple(short[0] + 0.2 * (short[0] - short[1])))  # its own arm grows
    after = dock.controller.state.rows[0].size
    assert before.split(" × ")[0] == after.split(" × ")[0]
    assert float(after.split()[2]) > float(before.split()[2]) + 2
    show_plane(viewer, "coronal")
    viewer.dims.set_point(1, hand.layer.translate[1] + 30 * hand.layer.scale[1])
    qtbot.wait(50)
    zoom = viewer.scene.camera.zoom
    hand.press(Qt.Key.Key_O, Qt.KeyboardModifier.ShiftModifier)
    for corner in ((2, 30, 10), (2, 30, 60), (9, 30, 60)):
        hand.click(corner)
    hand.click((9, 30, 10))  # Qt sends a click before the double click
    hand.click((9, 30, 10), double=True)
    row, shape = dock.controller.state.rows[1], measured(dock)[1]
    assert row.slice == "coronal 31" and viewer.scene.camera.zoom == zoom
    assert dock.controller.state.tool is None
    assert float(row.size.removesuffix(" mm²")) == pytest.approx(7 * 5 * 50 * 1.5, rel=0.03)
    corners = shape.array[:, [0, 2]]
    z, x = np.mgrid[:12, :80]
    grid = np.stack([z, x], axis=-1).reshape(-1, 2)
    inside = Outline(corners).contains_points(grid).reshape(z.shape)
    assert row.mean.startswith(f"{hand.layer.data[:, 30][inside].mean():.0f} ±".replace("-", "−"))


def test_delete_and_undo_by_key_on_the_canvas_and_in_the_table(dock):
    viewer, hand = dock._viewer, dock.hand
    for k in (0, 12):
        hand.press(Qt.Key.Key_R, Qt.KeyboardModifier.ShiftModifier)
        hand.drag((4, 20 + k, 20), (4, 20 + k, 30), (4, 20 + k, 60))
    first, second = measured(dock)
    hand.press(Qt.Key.Key_Delete)  # the one drawn last is selected
    assert measured(dock) == (first,)
    hand.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert measured(dock) == (first, second)
    dock.table.cellClicked.emit(0, 0)
    QTest.keyClick(dock.table, Qt.Key.Key_Delete)
    assert measured(dock) == (second,) and viewer.layers["Measurements"].nshapes == 1
    QTest.mouseClick(dock.drawing.undo, Qt.MouseButton.LeftButton)
    assert measured(dock) == (first, second)
    hand.press(Qt.Key.Key_R, Qt.KeyboardModifier.ShiftModifier)
    hand.press(Qt.Key.Key_Escape)
    assert dock.controller.state.tool is None
    camera = tuple(viewer.scene.camera.center)
    hand.drag((4, 45, 20), (4, 40, 30), (4, 38, 40))
    assert tuple(viewer.scene.camera.center) != camera and len(measured(dock)) == 2  # napari pans again


def test_a_closed_dock_gives_mouse_and_keys_back(dock):
    hand = dock.hand
    hand.press(Qt.Key.Key_R, Qt.KeyboardModifier.ShiftModifier)
    hand.drag((4, 20, 20), (4, 20, 30), (4, 20, 60))
    dock.closed()
    hand.press(Qt.Key.Key_R, Qt.KeyboardModifier.ShiftModifier)
    hand.drag((4, 30, 20), (4, 30, 30), (4, 30, 60))
    layer = dock._viewer.layers["Measurements"]
    assert layer.nshapes == 1 and dock._viewer.scene.camera.mouse_pan


def test_a_drag_is_measured_in_a_few_milliseconds_among_many_shapes(dock):
    """Forty shapes on the slice, one more being dragged."""
    sheet = dock.controller.sheet
    dock.controller.arm(Kind.ELLIPSE)
    plane = sheet.plane()
    sheet.add([formed(Kind.RULER, plane, np.array([[10.0, 2 * k], [60, 2 * k]])) for k in range(40)])
    ends = np.array([[60.0, 60.0], [60.0, 65.0]])
    sheet.begin(formed(Kind.ELLIPSE, plane, ends))
    moves = 30
    with at_most(0.016 * moves, time.process_time):
        for k in range(moves):
            sheet.change(formed(Kind.ELLIPSE, plane, ends + np.array([[0, 0], [0, k]])))
    sheet.finish()
    assert len(measured(dock)) == 41
