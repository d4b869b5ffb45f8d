"""The list of kept edits: by image, time and number of edits, each with a picture; restore, discard, bring back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QImage, QPixmap
from qtpy.QtWidgets import QDialog, QHBoxLayout, QLabel, QListWidget, QListWidgetItem, QPushButton, QVBoxLayout, QWidget

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.volume import Labels
from napari_ctseg.aside import run_aside
from napari_ctseg.desk import fullest_slice
from napari_ctseg.journal import folder
from napari_ctseg.journal.replay import Replayed, replay

if TYPE_CHECKING:
    from napari_ctseg.journal.keeper import Keeper

PICTURE = 96  # pixels


class RestoreDialog(QDialog):  # type: ignore[misc]
    """Kept edits first, then those that were discarded; the buttons act on the chosen line."""

    def __init__(self, parent: QWidget | None, keeper: Keeper) -> None:
        super().__init__(parent)
        self._keeper = keeper
        self._kept: dict[str, folder.Kept] = {}
        self.setWindowTitle("Edits that were not exported")
        self.list = QListWidget()
        self.list.setIconSize(QSize(PICTURE, PICTURE))
        self.message, self.room = QLabel(), QLabel()
        self.restore, self.discard = QPushButton("Restore"), QPushButton("Discard")
        self.back, later = QPushButton("Bring back"), QPushButton("Later")
        self.message.setWordWrap(True)
        for button, action in ((self.restore, self._restore), (self.discard, self._discard), (self.back, self._bring_back),
                               (later, self.close)):
            button.clicked.connect(action)
        column, row = QVBoxLayout(self), QHBoxLayout()
        for widget in (self.restore, self.discard, self.back, later):
            row.addWidget(widget)
        self.heading = QLabel("These edits of the open image were not exported. Restore opens them as a mask of their own, "
                              "with their undo steps.")
        self.heading.setWordWrap(True)
        for widget in (self.heading, self.list, self.message, self.room):
            column.addWidget(widget)
        column.addLayout(row)
        self.list.currentItemChanged.connect(self._chosen)
        self.resize(460, 360)

    def fill(self) -> None:
        """Show what is kept and discarded now."""
        self.list.clear()
        self._kept = {}
        keys = self._keeper.keys
        for kept in self._keeper.waiting:
            self._add(kept, "")
        for kept in folder.discarded(*keys) if keys else ():
            self._add(kept, "discarded: ")
        used = folder.used_bytes() / 1024**2
        self.room.setText(f"The recovery folder takes {used:.0f} MB; discarded edits are deleted after {folder.DAYS_DISCARDED} days or "
                          f"once it takes more than {folder.LIMIT_BYTES / 1024**2:.0f} MB.")
        self.list.setCurrentRow(0)
        self._chosen()

    def _add(self, kept: folder.Kept, state: str) -> None:
        edits = "damaged" if kept.edits is None else "1 edit" if kept.edits == 1 else f"{kept.edits} edits"
        item = QListWidgetItem(f"{state}{kept.when:%d %b %Y, %H:%M}\n{edits}")
        item.setData(Qt.ItemDataRole.UserRole, str(kept.path))
        item.setIcon(QIcon(_blank()))
        self._kept[str(kept.path)] = kept
        self.list.addItem(item)
        if kept.edits is not None:
            run_aside(lambda: picture(replay(kept.path)), lambda pixels: self._show_picture(str(kept.path), pixels), lambda _: None)

    def _show_picture(self, path: str, pixels: NDArray[np.uint8]) -> None:
        if path in self._kept and self.isVisible():
            image = QImage(pixels.tobytes(), pixels.shape[1], pixels.shape[0], 3 * pixels.shape[1], QImage.Format.Format_RGB888)
            icon = QIcon(QPixmap.fromImage(image).scaled(PICTURE, PICTURE, Qt.AspectRatioMode.KeepAspectRatio))
            for k in range(self.list.count()):
                if self.list.item(k).data(Qt.ItemDataRole.UserRole) == path:
                    self.list.item(k).setIcon(icon)

    def _current(self) -> folder.Kept | None:
        item = self.list.currentItem()
        return None if item is None else self._kept.get(item.data(Qt.ItemDataRole.UserRole))

    def _chosen(self, *_: Any) -> None:
        kept = self._current()
        aside = kept is not None and kept.path.parent != folder.folder()
        self.restore.setEnabled(kept is not None and not aside and kept.edits is not None)
        self.discard.setEnabled(kept is not None and not aside)
        self.back.setEnabled(aside)

    def _restore(self) -> None:
        if (kept := self._current()) is None:
            return
        try:
            self._keeper.restore(kept)
        except CtsegError as error:
            self.message.setText(str(error))
            return
        self._done()

    def _discard(self) -> None:
        if (kept := self._current()) is not None:
            self._keeper.discard(kept)
            self.message.setText(f"Discarded. It can be brought back for {folder.DAYS_DISCARDED} days.")
            self.fill()

    def _bring_back(self) -> None:
        if (kept := self._current()) is not None:
            self._keeper.bring_back(kept)
            self.fill()

    def _done(self) -> None:
        if self._keeper.waiting:
            self.fill()
        else:
            self.accept()


def picture(replayed: Replayed) -> NDArray[np.uint8]:
    """(y, x, 3) of the axial slice that shows most, in the labels' colours on black."""
    plane = replayed.shown[fullest_slice(replayed.shown)]
    return coloured(plane, replayed.label_map.labels)


def coloured(plane: NDArray[Any], labels: Labels) -> NDArray[np.uint8]:
    """(y, x, 3) of a plane (y, x) of labels."""
    pixels = np.zeros((*plane.shape, 3), np.uint8)
    for value in np.unique(plane[plane > 0]):
        colour = QColor(labels.colour(int(value)))
        pixels[plane == value] = colour.red(), colour.green(), colour.blue()
    return pixels


def _blank() -> QPixmap:
    made = QPixmap(PICTURE, PICTURE)
    made.fill(QColor("black"))
    return made
