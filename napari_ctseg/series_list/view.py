"""The list of series before a DICOM folder is opened: a picture, the number of slices and what sets each series apart."""

from __future__ import annotations

from collections.abc import Collection, Generator
from pathlib import Path
from typing import Any

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
from ctseg_imaging.formats.dicom_study import SeriesRow, StudyFolder, Use
from ctseg_imaging.progress import Progress
from napari_ctseg import reading
from napari_ctseg.series_list import words
from napari_ctseg.work import Outcome

PATIENCE_MS = 300  # a folder that is scanned faster shows no dialog while it is scanned
PICTURE = 72  # pixels


def can_ask() -> bool:
    """Whether there is an application with windows."""
    return isinstance(QApplication.instance(), QApplication)


def choose(path: Path, files: Collection[Path] = (), parent: QWidget | None = None) -> list[SeriesRow]:
    """The series of a DICOM path to open: the only one of its rank, else the user's answer; [] for Cancel.

    files : of the folder, where only the series of these count.
    The folder is scanned and pictures are made in the reading process; the event loop runs meanwhile. Raises CtsegError.
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
        self._error: CtsegError | None = None
        self._only: list[SeriesRow] = []  # there is nothing to choose
        self._loop = QEventLoop()
        self._workers: list[Any] = []
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.timeout.connect(self.show)
        self.finished.connect(self._loop.quit)
        self._build()

    def answer(self) -> list[SeriesRow]:
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
        if self.study is None or self._only:
            return self._only
        return self.selected() if self.result() == QDialog.DialogCode.Accepted else []

    def selected(self) -> list[SeriesRow]:
        """The selected series that can be opened, in the order of the list."""
        assert self.study is not None
        numbers = sorted({index.row() for index in self.table.selectionModel().selectedRows()})
        return [row for row in map(self.study.rows.__getitem__, numbers) if row.use is not Use.NOTHING]

    # ---- inside

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
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel)
        self.buttons.accepted.connect(self._accept)
        self.buttons.rejected.connect(self.reject)
        self.open_button = self.buttons.button(QDialogButtonBox.StandardButton.Open)
        self.open_button.setDefault(True)
        self.open_button.setEnabled(False)
        self.open_button.setToolTip("Opens the selected series, each as a layer. Key: Enter")
        self.buttons.button(QDialogButtonBox.StandardButton.Cancel).setToolTip("Opens nothing. Key: Esc")
        layout = QVBoxLayout(self)
        for widget in (self.heading, self.bar, self.table, self.reason, self.buttons):
            layout.addWidget(widget)

    def keyPressEvent(self, event: Any) -> None:
        """Enter opens, wherever the focus is."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
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
        """The end of the scan: an error or a single readable series ends the dialog, else the list is shown."""
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
        ready = study.candidates
        if len(ready) == 1 and ready[0].use is not Use.VIEW_ONLY:
            self._only = list(ready)
            self._loop.quit()
            return
        self._patience.stop()
        self.show()
        self.table.setFocus()
        self._start(_pictures(study), self._pictured, lambda _: None)

    def _fill(self, study: StudyFolder) -> None:
        self.bar.hide()
        self.heading.setText(words.HELP)
        self.table.setRowCount(len(study.rows))
        for number, row in enumerate(study.rows):
            for column, text in enumerate(words.cells(row, study)):
                item = QTableWidgetItem(text)
                item.setToolTip(words.tooltip(row) or text)
                if row.use is Use.NOTHING:
                    item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsSelectable)
                self.table.setItem(number, column, item)
        first = next((k for k, row in enumerate(study.rows) if row.use is not Use.NOTHING), None)
        if first is not None:
            self.table.selectRow(first)

    def _pictured(self, found: tuple[int, Any]) -> None:
        number, array = found
        height, width = array.shape
        image = QImage(array.tobytes(), width, height, width, QImage.Format.Format_Grayscale8)
        self.table.item(number, 0).setIcon(QIcon(QPixmap.fromImage(image)))

    def _selection_changed(self) -> None:
        if self.study is not None:
            chosen = self.selected()
            self.open_button.setEnabled(bool(chosen))
            self.reason.setText("\n".join(dict.fromkeys(text for row in chosen if (text := words.tooltip(row)))))

    def _accept(self) -> None:
        if self.study is not None and self.selected():
            self.accept()


def _pictures(study: StudyFolder) -> Generator[tuple[int, Any], None, None]:
    """(row, picture) of every series whose pixels can be read."""
    for number, row in enumerate(study.rows):
        try:
            yield number, reading.picture(row, PICTURE)
        except CtsegError:
            continue


def _driven(work: Generator[Any, None, Any]) -> Generator[Any, None, Outcome]:
    """`work` in a thread. The broad catch is the thread's edge: whatever happens reaches the user."""
    try:
        return Outcome((yield from work))
    except Exception as error:  # noqa: BLE001
        return Outcome(error=error)
