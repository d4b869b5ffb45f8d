"""The table of the Compare dock: one row a label, with its scores and volumes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_ctseg import parts
from napari_ctseg.docks.compare.state import Row, Surface

HEADERS = (
    (
        "label",
        "The label. Click a row to show its errors and its curve alone; click it again for all labels.",
    ),
    ("Dice", "Overlap of prediction and truth, 0 to 1; updated while you paint."),
    ("HD95\nmm", "95th percentile of the distances between the two surfaces, in mm. Grey: being measured."),
    ("NSD", "Share of both surfaces that lie within the tolerance, 0 to 1. Grey: being measured."),
    ("pred\nml", "Predicted volume in ml."),
    ("truth\nml", "True volume in ml."),
    ("diff\nml", "Predicted minus true volume in ml."),
)
NONE, FAINT = "–", 0.5  # in place of a number; opacity of the text then
WIDTHS = (34, 38, 34, 36, 36, 38)  # px of the numbers' columns; the names take the rest


class PairTable(QTableWidget):  # type: ignore[misc]
    """picked : the label whose row was clicked."""

    picked = Signal(int)

    def __init__(self) -> None:
        super().__init__(0, len(HEADERS))
        self._faint = QBrush()
        self._drawn: dict[int, tuple[Row, bool]] = {}  # what each line shows
        self.cellClicked.connect(
            lambda k, column: self.picked.emit(self.item(k, 0).data(Qt.ItemDataRole.UserRole))
        )
        for column, (word, tip) in enumerate(HEADERS):
            item = QTableWidgetItem(word)
            item.setToolTip(tip)
            self.setHorizontalHeaderItem(column, item)
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setStyleSheet(
            "QTableWidget { font-size: 11px; } QTableWidget::item { padding: 0; } QHeaderView::section { "
            "font-size: 11px; padding: 1px; }"
        )
        self.setIconSize(QSize(8, 12))
        self.horizontalHeader().setMinimumSectionSize(24)
        self.verticalHeader().setDefaultSectionSize(19)
        self.setToolTip("Click a row to show one label alone.")

    def paint_theme(self, text: str) -> None:
        """Use the theme's colour of text (hex), faint, for what has no value yet."""
        colour = QColor(text)
        colour.setAlphaF(FAINT)
        self._faint = QBrush(colour)
        self._drawn.clear()

    def draw(self, rows: Sequence[Row], focus: int | None) -> None:
        """Draw the rows; the one in focus is bold."""
        with QSignalBlocker(self):
            self.setRowCount(len(rows))
            for k, row in enumerate(rows):
                wanted = row, row.value == focus
                if self._drawn.get(k) != wanted or self.item(k, 0) is None:
                    self._drawn[k] = wanted
                    self._draw_row(k, *wanted)
        header = self.horizontalHeader()
        for column, width in enumerate(WIDTHS, start=1):
            header.resizeSection(column, width)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        height = self.horizontalHeader().height() + sum(self.rowHeight(k) for k in range(len(rows))) + 4
        self.setFixedHeight(min(height, 260))

    def _draw_row(self, k: int, row: Row, focused: bool) -> None:
        hd95, nsd = (_distance(row.hd95_mm), _score(row.nsd)) if row.measured else (NONE, NONE)
        words = (
            row.name,
            _score(row.dice),
            hd95,
            nsd,
            _ml(row.volume_pred_ml),
            _ml(row.volume_truth_ml),
            _signed(row.difference_ml),
        )
        exact = _exact(row)
        for column, word in enumerate(words):
            if (item := self.item(k, column)) is None:
                item = QTableWidgetItem()
                self.setItem(k, column, item)
            item.setText(word)
            item.setToolTip(
                f"{row.name}: {exact[column]}" if column else ", ".join(filter(None, (row.name, row.note)))
            )
            if column == 0:
                item.setIcon(parts.swatch(row.colour))
                item.setData(Qt.ItemDataRole.UserRole, row.value)
            else:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            waiting = column in (2, 3) and row.measured and row.surface is Surface.WAITING
            item.setForeground(self._faint if waiting or not row.measured else QBrush())  # none: the theme's
            font = item.font()
            font.setBold(focused and column == 0)  # a bold number would not fit its column
            item.setFont(font)


def _score(value: float | None) -> str:
    return "…" if value is None else NONE if math.isnan(value) else f"{value:.2f}"


def _distance(value: float | None) -> str:
    return (
        "…" if value is None else NONE if math.isnan(value) else "∞" if math.isinf(value) else f"{value:.1f}"
    )


def _ml(value: float) -> str:
    return f"{value:.1f}" if abs(value) < 9.95 else f"{value:.0f}"


def _signed(value: float) -> str:
    return f"{value:+.1f}" if abs(value) < 9.95 else f"{value:+.0f}"


def _exact(row: Row) -> tuple[str, ...]:
    """The values in full, for the tooltips."""
    if not row.measured:
        dice = hd95 = nsd = row.note
    else:
        dice = f"{row.dice:.4f}"
        hd95, nsd = (
            "not measured yet"
            if value is None
            else f"{value:.{digits}f}{unit}"
            if math.isfinite(value)
            else row.note
            for value, digits, unit in ((row.hd95_mm, 2, " mm"), (row.nsd, 4, ""))
        )
    return (
        row.name,
        f"Dice {dice}",
        f"HD95 {hd95}",
        f"NSD {nsd}",
        f"Predicted: {row.volume_pred_ml:.3f} ml",
        f"True: {row.volume_truth_ml:.3f} ml",
        f"Difference: {row.difference_ml:+.3f} ml",
    )
