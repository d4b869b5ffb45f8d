"""The list of saved masks with previews; restore, export, discard, bring back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPainter, QPixmap
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ctseg_imaging.errors import CtsegError
from napari_ctseg.background.threads import run_in_thread
from napari_ctseg.export.mask import Written, export, export_message
from napari_ctseg.export.view import ask_where
from napari_ctseg.journal import folder, words
from napari_ctseg.journal.limits import FOLDER
from napari_ctseg.journal.replay import Replayed, replay
from napari_ctseg.recovery.pictures import picture
from napari_ctseg.viewer.review import Marks
from napari_ctseg.viewer.study import open_sources

if TYPE_CHECKING:
    from napari_ctseg.recovery.autosave import Autosave

PICTURE = 96  # pixels
WORKING = "Working…"
T = TypeVar("T")


class KeptList(QWidget):  # type: ignore[misc]
    """Kept masks first, then discarded ones; the buttons act on the selected line.

    everything : of all images, also of those that are not open; otherwise of the open ones. restored : one
    was opened. where : asks for the path of an export, None to cancel; can be replaced, as tests do.
    """

    restored = Signal()

    def __init__(self, autosave: Autosave, everything: bool) -> None:
        super().__init__()
        self._autosave, self._everything = autosave, everything
        self._kept: dict[str, folder.Kept] = {}
        self._icons: dict[tuple[str, int], QIcon] = {}
        self._to_draw: list[folder.Kept] = []
        self._drawing = self._working = self._stopped = False
        self.where: Callable[[], Path | None] = lambda: ask_where(self, "Export mask", None)
        self.list = QListWidget()
        self.list.setIconSize(QSize(PICTURE, PICTURE))
        self.list.setWordWrap(True)
        self.message, self.room = QLabel(), QLabel()
        self.restore, self.export = QPushButton("Restore"), QPushButton("Export…")
        self.discard, self.back = QPushButton("Discard"), QPushButton("Bring back")
        self.export.setToolTip("Exports the mask on its own grid. It stays in this list.")
        self.discard.setToolTip(
            f"Discards the mask; it can be brought back for {folder.DAYS_DISCARDED} days."
        )
        row = QHBoxLayout()
        for button, action in (
            (self.restore, self._restore),
            (self.export, self._export),
            (self.discard, self._discard),
            (self.back, self._bring_back),
        ):
            button.setAutoDefault(False)  # Return never does any of these
            button.clicked.connect(action)
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.list, 1)
        for label in (self.message, self.room):
            label.setWordWrap(True)
            column.addWidget(label)
        column.addLayout(row)
        self.list.currentItemChanged.connect(self._chosen)
        self.message.hide()
        self.destroyed.connect(
            lambda *_: self.stop()
        )  # no method of this object: Qt disconnects those before

    def stop(self) -> None:
        """The list was closed: stop drawing previews."""
        self._stopped = True
        self._to_draw.clear()

    def fill(self) -> None:
        """Show the kept and the discarded masks."""
        chosen = self._current()
        self.list.clear()
        self._to_draw.clear()
        found = (
            (*self._autosave.everything, *folder.discarded())
            if self._everything
            else (
                *self._autosave.waiting,
                *(folder.discarded(*self._autosave.keys) if self._autosave.keys else ()),
            )
        )
        self._kept = {str(kept.path): kept for kept in found}
        for row, kept in enumerate(found):
            self._add(kept)
            if chosen is not None and kept.path == chosen.path:
                self.list.setCurrentRow(row)
        if self.list.currentRow() < 0:
            self.list.setCurrentRow(0)
        self.room.setText(words.room(folder.used_bytes(), FOLDER.bytes))
        self._chosen()
        self._draw_next()

    # ---- pictures, one after the other: each replays a journal

    def _add(self, kept: folder.Kept) -> None:
        item = QListWidgetItem(words.kept(kept, kept.key in self._autosave.keys))
        item.setData(Qt.ItemDataRole.UserRole, str(kept.path))
        self.list.addItem(item)
        icon = self._icons.get(_version(kept))
        item.setIcon(icon or _icon(QPixmap()))
        if icon is None and kept.holds is not None:
            self._to_draw.append(kept)

    def _draw_next(self) -> None:
        if self._drawing or not self._to_draw:
            return
        kept, self._drawing = self._to_draw.pop(0), True

        def shown(pixels: NDArray[np.uint8] | None) -> None:
            self._drawing = False
            if not self._stopped:
                if pixels is not None:
                    self._show_picture(kept, pixels)
                self._draw_next()

        run_in_thread(lambda: picture(replay(kept.path), 2 * PICTURE), shown, lambda _: shown(None))

    def _show_picture(self, kept: folder.Kept, pixels: NDArray[np.uint8]) -> None:
        image = QImage(
            pixels.tobytes(),
            pixels.shape[1],
            pixels.shape[0],
            3 * pixels.shape[1],
            QImage.Format.Format_RGB888,
        )
        icon = self._icons[_version(kept)] = _icon(QPixmap.fromImage(image))
        for k in range(self.list.count()):
            if self.list.item(k).data(Qt.ItemDataRole.UserRole) == str(kept.path):
                self.list.item(k).setIcon(icon)

    # ---- the chosen one

    def _current(self) -> folder.Kept | None:
        item = self.list.currentItem()
        return None if item is None else self._kept.get(item.data(Qt.ItemDataRole.UserRole))

    def _chosen(self, *_: Any) -> None:
        kept = self._current()
        free, aside = kept is not None and not self._working, kept is not None and kept.is_discarded
        healthy = kept is not None and kept.holds is not None
        here = kept is not None and (kept.key in self._autosave.keys or not self._autosave.keys)
        self.restore.setEnabled(free and not aside and healthy and here)
        self.restore.setToolTip(
            "Opens it as a new mask, with its undo steps." if here else "Open its image first."
        )
        self.export.setEnabled(free and healthy)
        self.discard.setEnabled(free and not aside)
        self.back.setEnabled(free and aside)

    def _restore(self) -> None:
        if (kept := self._current()) is not None:
            self._work(partial(replay, kept.path), partial(self._restored, kept))

    def _restored(self, kept: folder.Kept, replayed: Replayed) -> str:
        self._autosave.show(kept, replayed)
        self.restored.emit()
        return "Restored."

    def _export(self) -> None:
        kept = self._current()
        if kept is not None and (path := self.where()) is not None:
            opened = open_sources()
            self._work(lambda: _exported(kept.path, path, opened), export_message)

    def _work(self, task: Callable[[], T], done: Callable[[T], str]) -> None:
        """Run `task` in a thread; `done` gets its value and returns the message to show."""
        self._working = True
        self._say(WORKING)

        def ended(value: T) -> None:
            self._working = False
            if not self._stopped:
                self._do(partial(done, value))

        def failed(error: Exception) -> None:
            self._working = False
            known = isinstance(error, CtsegError)
            if not self._stopped:
                self._autosave.list_waiting()  # it may be gone
                self._tell(str(error) if known else "")
            if not known:
                raise error

        run_in_thread(task, ended, failed)

    def _discard(self) -> None:
        if (kept := self._current()) is not None:
            self._autosave.discard(kept)
            self._tell(f"Discarded. It can be brought back for {folder.DAYS_DISCARDED} days.")

    def _bring_back(self) -> None:
        if (kept := self._current()) is not None:
            self._do(partial(self._brought_back, kept))

    def _brought_back(self, kept: folder.Kept) -> str:
        self._autosave.bring_back(kept)
        return "Brought back."

    def _do(self, action: Callable[[], str]) -> None:
        try:
            self._tell(action())
        except CtsegError as error:
            self._tell(str(error))

    def _tell(self, sentence: str) -> None:
        self.fill()
        self._say(sentence)

    def _say(self, sentence: str) -> None:
        self.message.setText(sentence)
        self.message.setVisible(bool(sentence))
        self._chosen()


def _exported(kept: Path, path: Path, opened: Iterable[Path]) -> Written:
    replayed = replay(kept)
    marks = Marks.from_json(replayed.review) if replayed.review else Marks()
    return export(path, replayed.label_map, None, replayed.provenance, replayed.edits, opened, marks)


def _version(kept: folder.Kept) -> tuple[str, int]:
    return kept.path.name, kept.size


def _icon(drawn: QPixmap) -> QIcon:
    """A square with the picture in its centre, the same whether its line is selected or not."""
    square = QPixmap(PICTURE, PICTURE)
    square.fill(Qt.GlobalColor.black)
    if not drawn.isNull():
        small = drawn.scaled(
            PICTURE, PICTURE, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
        )
        painter = QPainter(square)
        painter.drawPixmap((PICTURE - small.width()) // 2, (PICTURE - small.height()) // 2, small)
        painter.end()
    icon = QIcon(square)
    icon.addPixmap(square, QIcon.Mode.Selected)
    return icon
