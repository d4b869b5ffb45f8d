"""The table of classes of the Correct & export dock, and the list of steps below it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qtpy.QtCore import QItemSelectionModel, QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QListWidget, QTableWidget, QTableWidgetItem

from napari_ctseg import parts
from napari_ctseg.docks.correct.state import ClassRow
from napari_ctseg.viewer.review import Mark

STEPS_HEIGHT, MOST_HEIGHT = 66, 200
HEADERS = (
    ("class", "Click to paint this class."),
    ("lock", "Locked: no tool, operation or undo changes this class."),
    ("ml", "Volume; follows the brush."),
    ("slice", "Dice in this slice against the truth."),
    ("Dice", "Dice against the truth."),
)
SUFFIX = {None: "", Mark.REVIEWED: "  ✓", Mark.NEEDS_WORK: "  !"}
NAME, LOCK, VOLUME, IN_SLICE, DICE = range(len(HEADERS))


class ClassTable(QTableWidget):  # type: ignore[misc]
    """chosen : the value of a class that was clicked. lock : the value of a class, and whether it is to be
    locked.
    """

    chosen = Signal(int)
    lock = Signal(int, bool)

    def __init__(self) -> None:
        super().__init__(0, len(HEADERS))
        for column, (word, tip) in enumerate(HEADERS):
            item = QTableWidgetItem(word)
            item.setToolTip(tip)
            self.setHorizontalHeaderItem(column, item)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(20)
        self.horizontalHeader().setMinimumSectionSize(22)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(
            QAbstractItemView.SelectionMode.NoSelection
        )  # by the user: a click chooses a class, and that is drawn
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setStyleSheet(
            "QTableWidget { font-size: 11px; } QHeaderView::section { font-size: 11px; padding: 1px 2px; }"
        )
        self.cellClicked.connect(
            lambda k, column: self.chosen.emit(self._value(k)) if column != LOCK else None
        )
        self.itemChanged.connect(self._changed)

    def draw(self, rows: Sequence[ClassRow], selected: int, judged: bool) -> None:
        """selected : the value that is painted. judged : whether there is a truth."""
        self.setVisible(bool(rows))
        with QSignalBlocker(self):
            self.setRowCount(len(rows))
            for k, row in enumerate(rows):
                self._draw_row(k, row, row.value == selected)
        # Qt's selection and not a colour of ours: it is readable in every theme.
        marked = QItemSelectionModel.SelectionFlag
        chosen = next((k for k, row in enumerate(rows) if row.value == selected), -1)
        self.selectionModel().select(self.model().index(chosen, NAME), marked.ClearAndSelect | marked.Rows)
        for column in (IN_SLICE, DICE):
            self.setColumnHidden(column, not judged)
        header = self.horizontalHeader()
        for column, width in ((LOCK, 34), (VOLUME, 48), (IN_SLICE, 42), (DICE, 42)):
            header.resizeSection(column, width)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.setFixedHeight(
            min(header.height() + sum(self.rowHeight(k) for k in range(len(rows))) + 4, MOST_HEIGHT)
        )

    def _draw_row(self, k: int, row: ClassRow, selected: bool) -> None:
        name = row.name + SUFFIX[row.mark]
        words = (name, "", _volume(row.volume_ml), _score(row.slice_dice), _score(row.dice))
        for column, word in enumerate(words):
            if (item := self.item(k, column)) is None:
                item = QTableWidgetItem()
                self.setItem(k, column, item)
            item.setText(word)
            marked = f" This class is marked: {row.mark}." if column == NAME and row.mark else ""
            item.setToolTip(HEADERS[column][1] + marked)
            font = item.font()
            font.setBold(selected)
            item.setFont(font)
            if column == NAME:
                item.setIcon(parts.swatch(row.colour))
                item.setData(Qt.ItemDataRole.UserRole, row.value)
            elif column == LOCK:
                item.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled)
                item.setCheckState(Qt.CheckState.Checked if row.locked else Qt.CheckState.Unchecked)
            else:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def _value(self, k: int) -> int:
        return int(self.item(k, NAME).data(Qt.ItemDataRole.UserRole))

    def _changed(self, item: QTableWidgetItem) -> None:
        if item.column() == LOCK:
            self.lock.emit(self._value(item.row()), item.checkState() == Qt.CheckState.Checked)


class StepList(QListWidget):  # type: ignore[misc]
    """What was done, the last step below; undone steps are in italics."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip(
            "What was done, the last step below, undone steps in italics; click a step to undo or redo up to "
            "it."
        )
        self.setFixedHeight(STEPS_HEIGHT)
        self._lines: tuple[str, ...] = ()
        self._done = 0

    def draw(self, steps: Sequence[str], done: int) -> None:
        """done : how many of the steps are done."""
        self.setVisible(bool(steps))
        lines = ("as opened", *steps)
        while self.count() > len(lines):
            self.takeItem(self.count() - 1)
        both = zip(lines, self._lines, strict=False)
        same = next((k for k, (new, old) in enumerate(both) if new != old), min(len(lines), len(self._lines)))
        # A day's painting has thousands of steps, and this is called after every stroke: only what changed is
        # drawn.
        for k in range(min(same, done + 1, self._done + 1), len(lines)):
            word = lines[k]
            if k >= self.count():
                self.addItem(word)
            item = self.item(k)
            if item.text() != word:
                item.setText(word)
            if item.font().italic() != (k > done):
                font = item.font()
                font.setItalic(k > done)
                item.setFont(font)
        self._lines, self._done = lines, done
        self.setCurrentRow(done)


def _score(value: float | None) -> str:
    return "" if value is None else "–" if math.isnan(value) else f"{value:.2f}"


def _volume(ml: float) -> str:
    """Four digits, which fit the narrow column in bold."""
    return f"{ml:.1f}" if ml < 999.95 else f"{ml:.0f}"
