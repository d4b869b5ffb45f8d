"""The list of saved masks in two places: a dialog for the open image, and the Recovery dock for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QLabel, QSpinBox, QVBoxLayout, QWidget

from ctseg_imaging.errors import CtsegError
from napari_ctseg.journal.limits import FOLDER, UNDO, Limit
from napari_ctseg.parts import Dock
from napari_ctseg.recovery.autosave import Autosave, autosave_of
from napari_ctseg.recovery.widgets.kept_list import KeptList

if TYPE_CHECKING:
    import napari
    from qtpy.QtGui import QShowEvent

OFFERED = (
    "These edits of the open image were not exported. Restore opens them as a new mask, with their undo "
    "steps. All saved masks are in Plugins > CT segmentation > Recovery."
)
ALL = (
    "Masks that were drawn but not exported, including those of images that are not open. A mask is only "
    "deleted after you discard it."
)


class RestoreDialog(QDialog):  # type: ignore[misc]
    """The saved masks of the open images. Return and Escape change nothing."""

    def __init__(self, parent: QWidget | None, autosave: Autosave) -> None:
        super().__init__(parent)
        self._autosave = autosave
        self.setWindowTitle("Edits that were not exported")
        self.kept = KeptList(autosave, everything=False)
        self.kept.restored.connect(self._restored)
        heading = QLabel(OFFERED)
        heading.setWordWrap(True)
        buttons = QDialogButtonBox()
        self.later = buttons.addButton("Later", QDialogButtonBox.ButtonRole.RejectRole)
        self.later.setDefault(True)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        for widget in (heading, self.kept, buttons):
            column.addWidget(widget)
        self.finished.connect(self.kept.stop)
        self.resize(480, 420)

    def fill(self) -> None:
        """Show the saved and the discarded masks."""
        self.kept.fill()

    def _restored(self) -> None:
        if not self._autosave.waiting:
            self.accept()


class RecoveryDock(Dock):
    """All saved masks, including those of images that are not open, and the limits on disk and memory."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._autosave = autosave_of(viewer)
        self.kept = KeptList(self._autosave, everything=True)
        heading, self.fault = QLabel(ALL), QLabel()
        for label in (heading, self.fault):
            label.setWordWrap(True)
        self.undo = _mb(UNDO, "Memory for the undo steps of one mask; the oldest steps are dropped first.")
        self.folder = _mb(
            FOLDER,
            "Disk space for saved and discarded masks. When it is full, discarded masks are deleted; saved "
            "ones never are.",
        )
        self.undo.valueChanged.connect(lambda mb: self._set(UNDO, mb))
        self.folder.valueChanged.connect(lambda mb: self._set(FOLDER, mb))
        form = QFormLayout()
        form.addRow("Undo", self.undo)
        form.addRow("Recovery folder", self.folder)
        column = QVBoxLayout(self)
        column.addWidget(heading)
        column.addWidget(self.kept, 1)
        column.addLayout(form)
        column.addWidget(self.fault)
        self._autosave.listed.connect(self._listed)
        self.kept.fill()

    def closed(self) -> None:
        """Disconnect from the viewer."""
        self._autosave.listed.disconnect(self._listed, missing_ok=True)
        self.kept.stop()

    def showEvent(self, event: QShowEvent) -> None:
        """Qt's: other viewers may have saved something meanwhile."""
        super().showEvent(event)
        self.kept.fill()

    def _listed(self) -> None:
        if self.isVisible():
            self.kept.fill()

    def _set(self, limit: Limit, mb: int) -> None:
        try:
            limit.keep(mb)
        except CtsegError as error:
            self.fault.setText(str(error))
            return
        self.fault.clear()
        self._autosave.limits_changed()
        self.kept.fill()


def _mb(limit: Limit, tip: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(limit.least, limit.most)
    box.setSuffix(" MB")
    box.setSingleStep(64)
    box.setKeyboardTracking(False)
    box.setToolTip(tip)
    with QSignalBlocker(box):
        box.setValue(limit.mb)
    return box
