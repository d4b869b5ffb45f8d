"""The autosave's dialogs and notices: the offer to restore, the question on closing, other viewers, a full
disk.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, QTimer, Signal
from qtpy.QtWidgets import QMessageBox

from ctseg_imaging.errors import CtsegError
from napari_ctseg import notices
from napari_ctseg.export.mask import export, export_message
from napari_ctseg.export.view import ask_where
from napari_ctseg.journal import folder
from napari_ctseg.journal.words import steps
from napari_ctseg.journal.writer import WRITER
from napari_ctseg.recovery.answers import Answer, settle
from napari_ctseg.recovery.autosave import Autosave
from napari_ctseg.recovery.recording import Recording
from napari_ctseg.recovery.view import RestoreDialog
from napari_ctseg.recovery.widgets.one_question import OneQuestion
from napari_ctseg.viewer.layers import label_map_of, source_of, volume_of
from napari_ctseg.viewer.painting import edits_of
from napari_ctseg.viewer.review import marks_of
from napari_ctseg.viewer.study import open_sources, study_of

if TYPE_CHECKING:
    import napari

    from ctseg_imaging.volume import Volume

LOOK_MS = 1000  # how often another viewer is looked for
Ask = Callable[[Sequence[Recording], bool], Answer]


class Questions(QObject):  # type: ignore[misc]
    """The dialogs of one viewer.

    ask : the question on leaving, (recordings, whether one may stay) to an Answer. where : asks for the path
    of an export, None to stay. Both can be replaced, as tests do. dialog : the offer to restore that is open,
    or None.
    """

    _message = Signal(str)  # Qt takes it from the writer's thread to this one

    def __init__(self, viewer: napari.Viewer, autosave: Autosave) -> None:
        super().__init__()
        self._viewer, self._autosave = weakref.ref(viewer), autosave
        self.ask: Ask = self._ask
        self.where: Callable[[Recording], Path | None] = self._where
        self.dialog: RestoreDialog | None = None
        self._left: list[Recording] = []
        self._closing = False
        self._window = weakref.ref(viewer.window._qt_window)
        viewer.window._qt_window.installEventFilter(self)
        OneQuestion(viewer.window._qt_window, autosave)
        self._message.connect(lambda sentence: notices.warning(sentence))
        autosave.message.connect(self._show_message)
        autosave.offers.connect(self._offer)
        autosave.listed.connect(self._listed)
        autosave.in_use.connect(self._in_use)
        autosave.leaving.connect(self._leave)
        autosave.dock_left.connect(self._dock_closed)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look)
        self._timer.start()

    # ---- leaving

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Qt's: the window is asked to close."""
        if event.type() != QEvent.Type.Close or self._closing:
            return False
        unsaved = self._autosave.unsaved
        for recording in unsaved:
            recording.flush()
        if unsaved and not settle(unsaved, self.ask(unsaved, True), self._export):
            event.ignore()
            return True
        self._closing = not self._asks_napari(event)
        return False

    def _asks_napari(self, event: QEvent) -> bool:
        """Whether napari will ask its own question, after which the window may stay."""
        return bool(event.spontaneous())

    def _leave(self, recording: Recording) -> None:
        """A layer was removed; several at once are one question, none while a program closes the viewer."""
        self._left.append(recording)
        if len(self._left) == 1:
            QTimer.singleShot(0, self._ask_about_left)

    def _ask_about_left(self) -> None:
        left, self._left = self._left, []
        unsaved = [recording for recording in left if recording.unsaved]
        if unsaved and self._is_open():
            while not settle(unsaved, self.ask(unsaved, False), self._export):
                # a file dialog was cancelled or the file cannot be written: the layer is gone, so ask again
                pass
        self._autosave.answered(left)
        if self._is_open():
            self._autosave.list_waiting()

    def _dock_closed(self, recording: Recording) -> None:
        """The dock that edits a layer was closed; the layer stays, and so do its saved edits unless they are
        discarded.
        """

        def ask() -> None:
            if recording.unsaved and self._is_open():
                recording.flush()
                settle([recording], self.ask([recording], False), self._export)
                WRITER.flush()
                self._autosave.list_waiting()

        QTimer.singleShot(0, ask)

    def _is_open(self) -> bool:
        window = self._window()
        return window is not None and not self._closing and bool(window.isVisible())

    def _ask(self, recordings: Sequence[Recording], may_stay: bool) -> Answer:
        box = QMessageBox(self._window())
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("Unexported edits")
        names = ", ".join(one.layer.name for one in recordings)
        box.setText(f"{names}: not exported, {steps(sum(one.unsaved for one in recordings))}.")
        box.setInformativeText(
            "A saved mask is offered when the image is opened again. A discarded one can be brought back "
            f"for {folder.DAYS_DISCARDED} days. Both are in Plugins > CT segmentation > Recovery."
        )
        role = QMessageBox.ButtonRole
        keep = box.addButton("Save for next time", role.AcceptRole)
        answers: dict[Any, Answer] = {
            box.addButton("Export…", role.AcceptRole): Answer.EXPORT,
            keep: Answer.KEEP,
            box.addButton("Discard", role.DestructiveRole): Answer.DISCARD,
        }
        box.setDefaultButton(keep)
        if may_stay:
            answers[box.addButton(QMessageBox.StandardButton.Cancel)] = Answer.CANCEL
        else:
            box.setEscapeButton(keep)  # Escape and the X of the question too
        box.exec()
        return answers.get(box.clickedButton(), Answer.CANCEL if may_stay else Answer.KEEP)

    def _where(self, recording: Recording) -> Path | None:
        return ask_where(self._window(), f"Export {recording.layer.name}", self._image())

    def _image(self) -> Volume | None:
        viewer = self._viewer()
        image = study_of(viewer).image if viewer is not None else None
        return volume_of(viewer.layers[image]) if viewer is not None and image in viewer.layers else None

    def _export(self, recording: Recording) -> bool:
        path = self.where(recording)
        if path is None:
            return False
        volume = self._image()
        source = source_of(recording.layer)
        try:
            written = export(
                path,
                label_map_of(recording.layer),
                volume,
                {} if source is None else source.provenance,
                edits_of(recording.layer),
                open_sources(),
                marks_of(recording.layer),
            )
        except CtsegError as error:
            QMessageBox.warning(self._window(), "Not exported", str(error))
            return False
        notices.info(export_message(written))
        return True

    def _show_message(self, sentence: str) -> None:
        self._message.emit(sentence)

    # ---- earlier edits and other viewers

    def _offer(self) -> None:
        QTimer.singleShot(0, self.show_offer)

    def show_offer(self) -> None:
        """Show what can be restored, in a window that does not block the viewer."""
        window, viewer = self._window(), self._viewer()
        if window is None or viewer is None or not window.isVisible():
            return
        if self.dialog is None:
            self.dialog = RestoreDialog(window, self._autosave)
            self.dialog.finished.connect(self._offer_closed)
        self.dialog.fill()
        self.dialog.show()

    def _listed(self) -> None:
        if self.dialog is not None and self._is_open():
            self.dialog.fill()

    def _offer_closed(self) -> None:
        if self.dialog is not None:
            self.dialog.deleteLater()
            self.dialog = None

    def _in_use(self, why: str) -> None:
        def ask() -> None:
            if not self._is_open():
                return
            box = QMessageBox(QMessageBox.Icon.Warning, "Open in another viewer", why, parent=self._window())
            take = box.addButton("Take over", QMessageBox.ButtonRole.DestructiveRole)
            box.setDefaultButton(box.addButton("View only", QMessageBox.ButtonRole.RejectRole))
            take.clicked.connect(self._autosave.take_over)
            box.open()

        QTimer.singleShot(0, ask)

    def _look(self) -> None:
        if self._viewer() is None or self._window() is None:
            self._timer.stop()
            self._autosave.close()
        elif self._autosave.recordings:
            self._autosave.check_use()
