"""The viewer's window: docks in their places, a size that fits the screen, and a picture of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari

SIZE = 1640, 1000  # of the window, logical pixels
DOCK_WIDTH = 430
PATIENCE_S, SETTLE_S = 60.0, 1.0  # for numbers that a dock still counts; for what is drawn after them
PLUGIN = "napari-ctseg"
DOCKS = ("Window", "Run model", "Compare", "Measure", "Correct & export", "Fine-tune")


def open_docks(viewer: napari.viewer.Viewer, front: str = "Window") -> dict[str, Any]:
    """Put the six docks on the right, one behind the other, `front` before the others. Returns name ->
    widget.
    """
    from qtpy.QtCore import Qt

    docks: list[Any] = []
    widgets: dict[str, Any] = {}
    for name in DOCKS:
        dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name)
        dock.setWindowTitle(name.replace("&", "&&"))  # short enough for six tabs
        if docks:
            viewer.window._qt_window.tabifyDockWidget(docks[0], dock)
        docks.append(dock)
        widgets[name] = widget
    raised = docks[DOCKS.index(front)]
    raised.show()
    raised.raise_()
    viewer.window._qt_window.resizeDocks([raised], [DOCK_WIDTH], Qt.Orientation.Horizontal)
    _show_names_whole(viewer.window._qt_window, docks)
    return widgets


def _show_names_whole(window: Any, docks: list[Any]) -> None:
    """Keep the docks wide enough for the names of all tabs."""
    from qtpy.QtCore import Qt, QTimer
    from qtpy.QtWidgets import QTabBar

    def widen() -> None:
        for bar in window.findChildren(QTabBar):
            if bar.count() == len(docks):
                bar.setElideMode(Qt.TextElideMode.ElideNone)
                docks[0].setMinimumWidth(bar.sizeHint().width())

    timer = QTimer(window)  # Qt makes the tabs when it lays the window out
    timer.setSingleShot(True)
    timer.timeout.connect(widen)
    timer.start(0)


def fit_screen(viewer: napari.Viewer) -> None:
    """Shrink a window that is larger than the screen; napari remembers its size from another screen."""
    from qtpy.QtCore import QSize
    from qtpy.QtWidgets import QStyle

    window = viewer.window._qt_window
    room = window.screen().availableGeometry()
    title = QSize(
        0, window.style().pixelMetric(QStyle.PixelMetric.PM_TitleBarHeight)
    )  # not there yet where the window is new
    border = (window.frameGeometry().size() - window.size()).expandedTo(title)
    fitting = window.size().boundedTo(room.size() - border)
    if fitting != window.size():
        window.resize(fitting)
        window.move(room.topLeft())


def picture(viewer: napari.viewer.Viewer, path: Path, done: Callable[[], bool]) -> None:
    """Save the window with its docks as PNG, once `done` returns true or after a minute.

    The view is zoomed to the boxes that a model segmented, if there are any. Raises FormatError if the file
    cannot be written.
    """
    from imageio.v3 import imwrite

    from ctseg_imaging.formats.disk.atomic import atomic_path
    from napari_ctseg.viewer.layers import BOXES

    until(done, PATIENCE_S)
    boxes = [layer for layer in viewer.layers if BOXES in layer.metadata]
    viewer.reset_view(
        layers=boxes or None, margin=0.15 if boxes else 0.05
    )  # the docks have taken their room by now
    until(lambda: False, SETTLE_S)
    pixels = viewer.window.screenshot(canvas_only=False, flash=False)
    with atomic_path(path, overwrite=True) as temporary:
        imwrite(temporary, pixels, extension=".png")


def until(done: Callable[[], bool], seconds: float) -> None:
    """Let Qt work until `done`, `seconds` at most."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        QApplication.processEvents()
