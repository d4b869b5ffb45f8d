"""The list of series before a DICOM folder is opened: a picture, the number of slices and what sets each
series apart, and the segmentations that refer to it.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEventLoop, QSize, Qt, QTimer
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QProgressBar,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.formats.dicom.study import SeriesRow, StudyFolder
from ctseg_imaging.progress import Progress
from napari_ctseg.background.queue import Outcome
from napari_ctseg.compute import reading
from napari_ctseg.keys import table as keys
from napari_ctseg.keys.widgets.pressed import is_pressed
from napari_ctseg.series_list import words
from napari_ctseg.series_list.lines import (
    DrawnOn,
    Heading,
    Line,
    Opening,
    can_open,
    lines_of,
    opening,
    unasked,
)

PATIENCE_MS = 300  # a folder that is scanned faster shows no dialog while it is scanned
PICTURE = 72  # pixels
TEXT_ROW = 26  # pixels of a line without a picture


def can_ask() -> bool:
    """Whether there is an application with windows."""
    return isinstance(QApplication.instance(), QApplication)


def choose(path: Path, files: Collection[Path] = (), parent: QWidget | None = None) -> Opening:
    """What of a DICOM path is opened: the only series of its rank, else the user's answer; nothing for
    Cancel. parent : whose theme it has.

    files : of the folder, where only the series of these count. The folder is scanned and pictures are made
    in the reading process; the event loop runs meanwhile. Raises CtsegError.
    """
    dialog = SeriesDialog(path, files, parent)
    return dialog.answer()


class SeriesDialog(QDialog):  # type: ignore[misc]
    """Scans `path`, then asks if there is anything to ask about."""

    def __init__(self, path: Path, files: Collection[Path] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Open DICOM")
        self.setModal(True)
        self.resize(860, 480)
        self.study: StudyFolder | None = None
        self._path, self._files = path, files
        self.lines: list[Line] = []
        self._error: CtsegError | None = None
        self._only: Opening | None = None  # where there is nothing to choose
        self._loop = QEventLoop()
        self._workers: list[Any] = []
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.timeout.connect(self.show)
        self.finished.connect(self._loop.quit)
        self._build()

    def answer(self) -> Opening:
        """Run until there is an answer. Raises CtsegError for what the scan found wrong."""
        self._start(reading.series_list(self._path, self._files), self._progressed, self._scanned)
        self._patience.start(PATIENCE_MS)
        self._loop.exec()
        self._patience.stop()
        for worker in self._workers:
            worker.quit()
        self.hide()
        if self._error is not None:
            raise self._error
        if self._only is not None:
            return self._only
        return self.selected() if self.result() == QDialog.DialogCode.Accepted else Opening()

    def selected(self) -> Opening:
        """What the selected lines open."""
        return opening(self.lines, self._selected_lines())

    # ---- inside

    def _selected_lines(self) -> list[Line]:
        return [self.lines[index.row()] for index in self.table.selectionModel().selectedRows()]

    def _build(self) -> None:
        self.heading = QLabel("Reading the headers…")
        self.bar = QProgressBar()
        self.table = QTableWidget(0, len(words.COLUMNS))
        self.table.setHorizontalHeaderLabels(words.COLUMNS)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setTabKeyNavigation(False)
        self.table.setIconSize(QSize(PICTURE, PICTURE))
        self.table.verticalHeader().setVisible(False)
        self.table.verticalHeader().setDefaultSectionSize(PICTURE + 4)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.table.itemSelectionChanged.connect(self._selection_changed)
        self.table.itemDoubleClicked.connect(lambda _: self._accept())
        self.reason = QLabel()
        self.reason.setWordWrap(True)
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel
        )
        self.buttons.accepted.connect(self._accept)
        self.buttons.rejected.connect(self.reject)
        self.open_button = self.buttons.button(QDialogButtonBox.StandardButton.Open)
        self.open_button.setDefault(True)
        self.open_button.setEnabled(False)
        self.open_button.setToolTip(
            "Opens the selected series and segmentations, each as a layer. Key: Enter"
        )
        self.buttons.button(QDialogButtonBox.StandardButton.Cancel).setToolTip("Opens nothing. Key: Esc")
        layout = QVBoxLayout(self)
        for widget in (self.heading, self.bar, self.table, self.reason, self.buttons):
            layout.addWidget(widget)

    def keyPressEvent(self, event: Any) -> None:
        """Enter opens, wherever the focus is."""
        if is_pressed(event, keys.OPEN_SERIES):
            self._accept()
        else:
            super().keyPressEvent(event)

    def _start(self, work: Generator[Any, None, Any], on_step: Any, on_done: Any) -> None:
        from napari.qt.threading import create_worker

        worker = create_worker(_driven, work, _start_thread=False)
        worker.yielded.connect(on_step)
        worker.returned.connect(on_done)
        self._workers.append(worker)
        worker.start()

    def _progressed(self, step: Progress) -> None:
        self.bar.setMaximum(step.total)
        self.bar.setValue(step.done)
        self.heading.setText(step.message)

    def _scanned(self, outcome: Outcome | None) -> None:
        """The end of the scan: an error or a single readable series ends the dialog, else the list is
        shown.
        """
        if outcome is None or self.study is not None:
            return
        if isinstance(outcome.error, CtsegError):
            self._error = outcome.error
            self.reject()
            self._loop.quit()
            return
        if outcome.error is not None:
            raise outcome.error
        study: StudyFolder = outcome.value
        self.study = study
        self._fill(study)
        self._only = unasked(study)
        if self._only is not None:
            self._loop.quit()
            return
        self._patience.stop()
        self.show()
        self.table.setFocus()
        self._start(_pictures(self.lines), self._pictured, lambda _: None)

    def _fill(self, study: StudyFolder) -> None:
        self.bar.hide()
        self.heading.setText(words.HELP)
        self.lines = lines_of(study)
        self.table.setRowCount(len(self.lines))
        for number, line in enumerate(self.lines):
            for column, text in enumerate(words.cells(line, self.lines)):
                self.table.setItem(number, column, self._item(line, text))
            if isinstance(line, Heading):
                self.table.setSpan(number, 0, 1, len(words.COLUMNS))
            if isinstance(line, DrawnOn):
                self.table.setSpan(number, 1, 1, len(words.COLUMNS) - 2)
            if not isinstance(line, SeriesRow):
                self.table.setRowHeight(number, TEXT_ROW)
        first = next((k for k, line in enumerate(self.lines) if can_open(line)), None)
        if first is not None:
            self.table.selectRow(first)

    def _item(self, line: Line, text: str) -> QTableWidgetItem:
        item = QTableWidgetItem(text)
        item.setToolTip(words.tooltip(line) or text)
        if isinstance(line, Heading):
            item.setFlags(Qt.ItemFlag.NoItemFlags)  # the arrow keys pass over it
            item.setForeground(self.palette().text())
            font = item.font()
            font.setBold(True)
            item.setFont(font)
        elif not can_open(line):
            item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsSelectable)
        return item

    def _pictured(self, found: tuple[int, Any]) -> None:
        number, array = found
        line = self.lines[number]
        assert isinstance(line, SeriesRow)
        picture = _picture(array, line.middle.spacing_mm)
        icon = QIcon(picture)
        icon.addPixmap(picture, QIcon.Mode.Selected)  # grey values stay grey
        self.table.item(number, 0).setIcon(icon)

    def _selection_changed(self) -> None:
        if self.study is not None:
            self.open_button.setEnabled(bool(self.selected()))
            reasons = [text for line in self._selected_lines() if (text := words.tooltip(line))]
            self.reason.setText("\n".join(dict.fromkeys(reasons)))

    def _accept(self) -> None:
        if self.study is not None and self.selected():
            self.accept()


def _pictures(lines: Sequence[Line]) -> Generator[tuple[int, Any], None, None]:
    """(line, picture) of every series whose pixels can be read."""
    for number, line in enumerate(lines):
        if isinstance(line, SeriesRow):
            try:
                yield number, reading.picture(line, 2 * PICTURE)
            except CtsegError:
                continue


def _picture(array: NDArray[np.uint8], spacing_mm: tuple[float, float] | None) -> QPixmap:
    """(y, x) grey values as they lie in the patient: pixels that are not square are stretched. The longer
    side fills the cell.
    """
    height, width = array.shape
    image = QImage(array.tobytes(), width, height, width, QImage.Format.Format_Grayscale8)
    tall, wide = (height, width) if spacing_mm is None else (height * spacing_mm[0], width * spacing_mm[1])
    scale = PICTURE / max(tall, wide)
    size = QSize(max(1, round(wide * scale)), max(1, round(tall * scale)))
    return QPixmap.fromImage(
        image.scaled(size, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation)
    )


def _driven(work: Generator[Any, None, Any]) -> Generator[Any, None, Outcome]:
    """`work` in a thread. Catches every exception, as nothing else can report it to the user."""
    try:
        return Outcome((yield from work))
    except Exception as error:  # noqa: BLE001
        return Outcome(error=error)
