"""The two canvases next to napari's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.qt import QtViewer
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QBoxLayout, QWidget

from napari_ctseg.viewer.mouse import mouse_of
from napari_ctseg.viewer.planes.crosshair import Crosshair
from napari_ctseg.viewer.planes.crosshair_mouse import CrosshairMouse
from napari_ctseg.viewer.planes.layout import Layout
from napari_ctseg.viewer.planes.place import slice_axis
from napari_ctseg.viewer.planes.side_plane import SidePlane

if TYPE_CHECKING:
    import napari

STRETCH = {Layout.LARGE: (2, 1), Layout.EQUAL: (1, 2)}  # napari's own canvas, the two others together
LEAST_PX = 80


class PlanesView(QWidget):  # type: ignore[misc]
    """Two planes with the viewer's canvas until `close_planes`. on_closed : called as the window closes."""

    def __init__(self, viewer: napari.viewer.Viewer, on_closed: Callable[[], None]) -> None:
        super().__init__()
        self._viewer, self._on_closed = viewer, on_closed
        self._window = viewer.window._qt_window
        self._main, self._centre = self._window._qt_viewer, self._window.centralWidget()
        self._layout, self._synchronous = Layout.LARGE, False
        self._row = QBoxLayout(QBoxLayout.Direction.TopToBottom, self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._planes = [SidePlane(viewer, axis) for axis in self._other_axes()]
        self._canvases = [self._canvas(plane) for plane in self._planes]
        models = (viewer, *self.models)
        canvases = [self._main.canvas, *(one.canvas for one in self._canvases)]
        self._crosshairs = [Crosshair(c, m, viewer) for c, m in zip(canvases, models, strict=True)]
        self._mice = [CrosshairMouse(model, viewer, mouse_of(viewer)) for model in models]
        for model in self.models:
            mouse_of(viewer).serve(model)
        viewer.dims.events.point.connect(self._draw)
        viewer.dims.events.order.connect(self._turned)
        viewer.dims.events.ndisplay.connect(self._draw)
        self.pointed: Any = viewer  # the viewer model whose canvas the pointer was on last
        for model in models:
            model.scene.camera.events.zoom.connect(self._zoomed)
            model.mouse_move_callbacks.append(self._pointed_at)
        self._centre.layout().addWidget(self)
        for watched in (self._main, self._window):
            watched.installEventFilter(self)

    @property
    def models(self) -> tuple[Any, ...]:
        """The viewer models of the two canvases."""
        return tuple(plane.model for plane in self._planes)

    @property
    def planes(self) -> tuple[SidePlane, ...]:
        """The two planes."""
        return tuple(self._planes)

    @property
    def canvases(self) -> tuple[QtViewer, ...]:
        """Their widgets."""
        return tuple(self._canvases)

    def arrange(self, layout: Layout) -> None:
        """Divide the window's centre: side by side where it is wide, one below the other where it is
        high.
        """
        self._layout = layout
        self._divide(layout)

    def _divide(self, layout: Layout) -> None:
        wide = self._centre.width() >= self._centre.height()
        across, down = QBoxLayout.Direction.LeftToRight, QBoxLayout.Direction.TopToBottom
        centre = self._centre.layout()
        centre.setDirection(across if wide else down)
        self._row.setDirection(across if wide == (layout is Layout.EQUAL) else down)
        for widget, share in zip((self._main, self), STRETCH[layout], strict=True):
            centre.setStretchFactor(widget, share)

    def set_synchronous_zoom(self, on: bool) -> None:
        """Whether all three canvases have the zoom of the one that is zoomed."""
        self._synchronous = on
        if on:
            self._zoom_all(float(self._viewer.scene.camera.zoom))

    def close_planes(self) -> None:
        """Take the canvases out of the window."""
        for watched in (self._main, self._window):
            watched.removeEventFilter(self)
        self._leave()
        for crosshair in self._crosshairs:
            crosshair.close()
        for plane in self._planes:
            plane.close()
        for canvas in self._canvases:
            canvas.close()
        self._centre.layout().removeWidget(self)
        self._centre.layout().setDirection(QBoxLayout.Direction.LeftToRight)
        self.setParent(None)
        self.deleteLater()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Qt's: the window may be higher than wide now."""
        super().resizeEvent(event)
        self._divide(self._layout)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Qt's: the viewer is closed, or its window is about to be deleted after the user closed it."""
        closes = event.type() == QEvent.Type.Close and watched is self._main
        if closes or (event.type() == QEvent.Type.DeferredDelete and watched is self._window):
            self._on_closed()
        return False

    # ---- inside

    def _other_axes(self) -> list[int]:
        return [axis for axis in (2, 1, 0) if axis != slice_axis(self._viewer)]

    def _canvas(self, plane: SidePlane) -> QtViewer:
        canvas = QtViewer(plane.model)
        canvas.setAcceptDrops(False)
        canvas.dims.hide()
        canvas.setMinimumSize(LEAST_PX, LEAST_PX)
        # Keys go to the window's own canvas, whose layers and tools the plane follows.
        canvas.canvas.native.setFocusProxy(self._main.canvas.native)
        canvas.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        plane.model.canvas.events.size.connect(plane.fit)
        self._row.addWidget(canvas, 1)
        return canvas

    def _draw(self, event: Any = None) -> None:
        for crosshair in self._crosshairs:
            crosshair.draw()

    def _turned(self, event: Any = None) -> None:
        """The viewer's own canvas shows another plane: the two others are shown here."""
        for plane, axis in zip(self._planes, self._other_axes(), strict=True):
            if plane.axis != axis or plane.model.dims.ndim != self._viewer.dims.ndim:
                plane.turn(axis)
        self._draw()

    def _pointed_at(self, model: Any, event: Any) -> None:
        self.pointed = model

    def _zoomed(self, event: Any) -> None:
        if self._synchronous:
            self._zoom_all(float(event.value))

    def _zoom_all(self, zoom: float) -> None:
        self._synchronous = False  # while the others follow
        for model in (self._viewer, *self.models):
            model.scene.camera.zoom = zoom
        self._synchronous = True

    def _leave(self) -> None:
        """Listen to the viewer no longer."""
        dims = self._viewer.dims.events
        dims.point.disconnect(self._draw)
        dims.order.disconnect(self._turned)
        dims.ndisplay.disconnect(self._draw)
        for model in (self._viewer, *self.models):
            model.scene.camera.events.zoom.disconnect(self._zoomed)
            model.mouse_move_callbacks.remove(self._pointed_at)
        for mouse in self._mice:
            mouse.close()
        for model in self.models:
            mouse_of(self._viewer).leave(model)
