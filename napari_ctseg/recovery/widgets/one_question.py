"""One question on closing: if there are edits that were not exported, napari does not ask its own question
too.

napari asks "Close?" after that question if the window's X was pressed, and before it on Ctrl+Q. A user who
discarded the edits and then chose Cancel in the second question was left with a window full of edits that
were saved nowhere.
"""

from __future__ import annotations

import weakref
from typing import Any

from qtpy.QtCore import QEvent, QObject, QTimer

from napari_ctseg.recovery.autosave import Autosave

NAME = "ctseg one question"


class OneQuestion(QObject):  # type: ignore[misc]
    """Turns every way of closing a window with unexported edits into one that napari does not ask about.

    Created after the filter that asks about the edits, because Qt passes an event to the newest filter first.
    """

    def __init__(self, window: Any, autosave: Autosave) -> None:
        super().__init__(window)
        self.setObjectName(NAME)
        self._window, self._autosave = weakref.ref(window), autosave
        window.installEventFilter(self)
        window.close = self._close  # Ctrl+Q and Ctrl+W call it by this name

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Qt's: the window's X, or the system's way to close it, which Qt calls spontaneous."""
        if event.type() != QEvent.Type.Close or not event.spontaneous() or not self._autosave.unsaved:
            return False
        event.ignore()
        QTimer.singleShot(0, self._close)
        return True

    def _close(self, quit_app: bool = False, confirm_need: bool = False) -> Any:
        """napari's `close`. The filter of the autosave's questions, which gets the event next, asks about the
        edits.
        """
        if (window := self._window()) is None:
            return None
        closed = type(window).close(window, quit_app, confirm_need and not self._autosave.unsaved)
        if not closed:
            window._quit_app = False  # the user stays; the next X is to close one window, not the application
        return closed
