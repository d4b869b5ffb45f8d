"""The viewer's window: docks in their places, a size that fits the screen, and a picture of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari

SIZE = 1640, 1000  # of the window, logical pixels
PATIENCE_S, SETTLE_S = 60.0, 1.0  # for numbers that a dock still counts; for what is drawn after them
PLUGIN = "napari-ctseg"
DOCKS = ("Window", "Run model", "Compare", "Measure", "Correct & export", "Fine-tune")


def open_docks(viewer: napari.viewer.Viewer, front: str = "Window") -> dict[str, Any]:
    """Put the six docks on the right, one behind the other, `front` before the others. Returns name ->
    widget.
    """
    from napari_ctseg.dock_frame import view as frames

    docks: dict[str, Any] = {}
    for name in DOCKS:
        docks[name] = viewer.window.add_plugin_dock_widget(PLUGIN, name)
        frames.join_tabs(docks[name][0])
    raised = docks[front][0]
    raised.show()
    raised.raise_()
    frames.make_room(viewer.window._qt_window, raised)
    return {name: widget for name, (_, widget) in docks.items()}


def fit_screen(viewer: napari.Viewer) -> None:
    """Shrink a window that is larger than the screen; napari remembers its size from another screen."""
    from napari_ctseg.dock_frame import view as frames

    window = viewer.window._qt_window
    frames.fit_screen(window, window.size())


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
