"""Waiting for a file in the GUI thread: the event loop runs, and a dialog with progress and Cancel appears
after a moment.

napari calls a reader once and uses its return value, so the reader cannot return before the file is read.
"""

from __future__ import annotations

from collections.abc import Generator
from threading import Event
from typing import Any, TypeVar

from ctseg_imaging.progress import Progress, finish
from napari_ctseg.background.queue import Outcome, driven

T = TypeVar("T")
PATIENCE_MS = 400  # a file that is read faster shows no dialog


class WaitingCancelled(Exception):
    """The user cancelled."""


def waited(work: Generator[Progress, None, T], title: str) -> T:
    """The value of `work`, which runs in a thread while the event loop runs.

    title : what is read, for the dialog. Raises WaitingCancelled after Cancel or Esc, and what the work
    raises. Outside the GUI thread, `work` runs directly.
    """
    if not _in_gui_thread():
        return finish(work)
    outcome = _Wait(work, title).outcome()
    if outcome.error is not None:
        raise outcome.error
    if outcome.cancelled:
        raise WaitingCancelled
    value: T = outcome.value
    return value


def _in_gui_thread() -> bool:
    from qtpy.QtCore import QThread
    from qtpy.QtWidgets import QApplication

    application = QApplication.instance()
    return isinstance(application, QApplication) and QThread.currentThread() is application.thread()


class _Wait:
    """One piece of work that the GUI waits for."""

    def __init__(self, work: Generator[Progress, None, Any], title: str) -> None:
        from napari.qt.threading import create_worker
        from qtpy.QtCore import QEventLoop, QTimer

        self._loop = QEventLoop()
        self._cancelled = Event()
        self._outcome = Outcome(cancelled=True)
        self._dialog = _dialog(title)
        self._ways_out = (
            self._dialog.canceled,
            self._dialog.rejected,
        )  # Esc emits one or the other, depending on the focus
        for way_out in self._ways_out:
            way_out.connect(self._cancel)
        self._patience = QTimer()
        self._patience.setSingleShot(True)
        self._patience.timeout.connect(self._dialog.show)
        self._worker = create_worker(driven, lambda: work, self._cancelled.is_set, _start_thread=False)
        self._worker.yielded.connect(self._progressed)
        self._worker.returned.connect(self._ended)

    def outcome(self) -> Outcome:
        """Run the event loop until the work has ended or the user cancels."""
        self._worker.start()
        self._patience.start(PATIENCE_MS)
        self._loop.exec()
        self._patience.stop()
        for way_out in self._ways_out:  # closing counts as cancelling to Qt
            way_out.disconnect(self._cancel)
        self._dialog.close()
        self._dialog.deleteLater()
        return self._outcome

    def _progressed(self, step: Progress) -> None:
        self._dialog.setLabelText(step.message or step.stage)
        if step.total:
            self._dialog.setMaximum(step.total)
            self._dialog.setValue(min(step.done, step.total - 1))  # at the maximum Qt would hide it

    def _ended(self, outcome: Outcome) -> None:
        if not self._cancelled.is_set():
            self._outcome = outcome
        self._loop.quit()

    def _cancel(self) -> None:
        self._cancelled.set()
        self._loop.quit()


def front_window() -> Any:
    """The Qt window of the current viewer, which gives a child dialog its theme; None if there is none."""
    import napari

    return getattr(getattr(napari.current_viewer(), "window", None), "_qt_window", None)


def _dialog(title: str) -> Any:
    """Modal, so no second file is opened while the first one is being read."""
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QProgressDialog

    dialog = QProgressDialog(title, "Cancel", 0, 0, front_window())
    dialog.setWindowTitle("Opening")
    dialog.setWindowModality(Qt.WindowModality.ApplicationModal)
    dialog.setMinimumDuration(2**31 - 1)  # shown by our own timer
    dialog.setAutoClose(False)
    dialog.setAutoReset(False)
    return dialog
