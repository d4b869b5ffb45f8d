"""One question on closing: where there are edits that were not exported, napari does not ask its own as well.

napari asks "Close?" after that question where the window's X was pressed, and before it on Ctrl+Q. Whoever discarded the edits and then
thought better of it in the second one had a window full of edits that are kept nowhere.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, QTimer

from napari_ctseg.recovery.autosave import Autosave, autosave_of
from napari_ctseg.viewer.proxies import unwrapped

if TYPE_CHECKING:
    import napari

NAME = "ctseg one question"


class _OneQuestion(QObject):  # type: ignore[misc]
    """Turns every way of closing a window with unexported edits into one that napari does not ask about."""

    def __init__(self, window: Any, keeper: Autosave) -> None:
        super().__init__(window)
        self.setObjectName(NAME)
        self._window, self._keeper = weakref.ref(window), keeper
        window.installEventFilter(self)
        window.close = self._close  # Ctrl+Q and Ctrl+W call it by this name

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Qt's: the window's X, or the system's way to close it, which Qt calls spontaneous."""
        if event.type() != QEvent.Type.Close or not event.spontaneous() or not self._keeper.unsaved:
            return False
        event.ignore()
        QTimer.singleShot(0, self._close)
        return True

    def _close(self, quit_app: bool = False, confirm_need: bool = False) -> Any:
        """napari's `close`. What asks about the edits is the filter of the keeper's questions, which gets the event next."""
        if (window := self._window()) is None:
            return None
        closed = type(window).close(window, quit_app, confirm_need and not self._keeper.unsaved)
        if not closed:
            window._quit_app = False  # the user stays; the next X is to close one window, not the application
        return closed


def ask_once(viewer: napari.viewer.Viewer) -> None:
    """Once a viewer, and only where there is a window."""
    viewer = unwrapped(viewer)
    keeper, window = autosave_of(viewer), getattr(getattr(viewer, "window", None), "_qt_window", None)
    if window is not None and window.findChild(QObject, NAME) is None:
        _OneQuestion(window, keeper)


def attach_current() -> None:
    """For the viewer in front, if there is one: a reader does not know for which viewer it reads."""
    import napari

    if (viewer := napari.current_viewer()) is not None:
        ask_once(viewer)
