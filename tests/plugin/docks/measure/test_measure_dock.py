"""The dock in the viewer that napari hands to a plugin, drawn on with the mouse."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.measurements import Kind
from ctseg_imaging.volume import Volume
from napari_ctseg.docks.measure.view import MeasureDock
from napari_ctseg.viewer.showing import show_volume

PAUSE_MS = 15  # vispy drops a move within 10 ms of the one before
SHAPE, SPACING = (12, 60, 80), (5.0, 2.0, 1.5)


def oblique() -> Volume:
    """12 x 60 x 80 voxels of 5 x 2 x 1.5 mm, stored from the left and turned by 10 degrees."""
    c, s = np.cos(np.radians(10)), np.sin(np.radians(10))
    turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag([-1, 1, -1.0])
    values = np.random.default_rng(2).integers(-900, 900, SHAPE, np.int16)
    return Volume(values, Geometry.from_parts(SHAPE, SPACING, (40.0, -60.0, 30.0), turned), modality="CT")


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
        QTest.mouseMove(self.native, points[0])
        QTest.mousePress(self.native, Qt.MouseButton.LeftButton, keys, points[0])
        for point in points[1:]:
            self._move(point, keys)
        QTest.mouseRelease(self.native, Qt.MouseButton.LeftButton, keys, points[-1])
        return points

    def _move(self, point, keys):
        from qtpy.QtCore import QEvent, QPointF
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtWidgets import QApplication

        QTest.qWait(PAUSE_MS)
        spot = QPointF(point)
        event = QMouseEvent(
            QEvent.Type.MouseMove,
            spot,
            self.native.mapToGlobal(spot),
            Qt.MouseButton.NoButton,
            Qt.MouseButton.LeftButton,
            keys,
        )
        QApplication.sendEvent(self.native, event)

    def click(self, index, double=False):
        point = self.pixel(index)
        QTest.mouseMove(self.native, point)
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
