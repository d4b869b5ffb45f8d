"""The dock's two tables: what was measured, and the labels of the mask."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QEvent, QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QIcon, QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from ctseg_imaging.measurements import Kind
from napari_ctseg import parts
from napari_ctseg.docks.measure.state import LabelRow, ShapeRow
from napari_ctseg.docks.measure.widgets.icons import tool_icon
from napari_ctseg.docks.measure.words import NAMES
from napari_ctseg.keys import table as keys
from napari_ctseg.keys.widgets.pressed import is_pressed

MEAN = "mean ± SD"
SHORT = {Kind.RECIST: "RECIST"}
PLANES = {"axial": "ax.", "coronal": "cor.", "sagittal": "sag."}
ROW_HEIGHT, HIGHEST = 21, 230
STYLE = (
    "QTableWidget { font-size: 11px; } QTableWidget::item { padding: 0 2px; } "
    "QHeaderView::section { font-size: 11px; padding: 2px; }"
)


class Table(QTableWidget):  # type: ignore[misc]
    """Rows that are looked at and not typed into."""

    def __init__(self, headers: Sequence[tuple[str, str]], stretched: int) -> None:
        super().__init__(0, len(headers))
        for column, (word, tip) in enumerate(headers):
            item = QTableWidgetItem(word)
            item.setToolTip(tip)
            self.setHorizontalHeaderItem(column, item)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setStyleSheet(STYLE)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(24)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(stretched, QHeaderView.ResizeMode.Stretch)

    def name_unit(self, unit: str) -> None:
        """Write the unit of the image's values into the heading of the last column, not into every cell."""
        self.horizontalHeaderItem(self.columnCount() - 1).setText(f"{unit} ± SD" if unit else MEAN)

    def fill(self, rows: Sequence[tuple[Sequence[str], QIcon, str]]) -> None:
        """Show (words, icon of the first cell, tooltip) a row; cells that stay the same are left alone."""
        with QSignalBlocker(self):
            if self.rowCount() != len(rows):
                self.setRowCount(len(rows))
            for k, (words, icon, tip) in enumerate(rows):
                for column, word in enumerate(words):
                    self._fill_cell(k, column, word, icon, tip)
        height = self.horizontalHeader().sizeHint().height() + ROW_HEIGHT * len(rows) + 4
        self.setFixedHeight(min(height, HIGHEST))

    def _fill_cell(self, k: int, column: int, word: str, icon: QIcon, tip: str) -> None:
        if (item := self.item(k, column)) is None:
            item = QTableWidgetItem()
            self.setItem(k, column, item)
            if column:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if item.text() != word:
            item.setText(word)
        if item.toolTip() != tip:
            item.setToolTip(tip)
        if column == 0 and item.icon().cacheKey() != icon.cacheKey():
            item.setIcon(icon)


class ShapeTable(Table):
    """picked : the row that was clicked. deleted : the row whose Delete key was pressed."""

    picked, deleted = Signal(int), Signal(int)

    def __init__(self) -> None:
        headers = (
            ("kind", "The measurement. Click a row to go to its slice."),
            ("slice", "Plane and slice number, from 1."),
            ("size", "Length in mm, angle in degrees, diameters in mm, or area in mm²."),
            (MEAN, "Of the image values inside, in HU for CT."),
        )
        super().__init__(headers, 0)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setIconSize(QSize(15, 15))
        self._icons: dict[Kind, QIcon] = {}
        self.cellClicked.connect(lambda row, column: self.picked.emit(row))

    def paint_theme(self, text: str) -> None:
        """Draw the icons in the theme's colour of text (hex)."""
        self._icons = {kind: tool_icon(kind, text) for kind in Kind}

    def draw(self, rows: Sequence[ShapeRow], selected: int | None, unit: str) -> None:
        """Show the rows, one of them selected."""
        self.name_unit(unit)
        self.fill(
            [
                (
                    (
                        SHORT.get(row.kind, NAMES[row.kind]),
                        _short(row.slice),
                        row.size,
                        _bare(row.mean, unit),
                    ),
                    self._icons.get(row.kind, QIcon()),
                    f"{row.in_full}\nClick to go to its slice. Delete removes it.",
                )
                for row in rows
            ]
        )
        with QSignalBlocker(self):
            if selected is None:
                self.clearSelection()
            elif self.currentRow() != selected or not self.selectedItems():
                self.selectRow(selected)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Delete and Backspace remove the row; Enter goes to its slice."""
        row = self.currentRow()
        if row >= 0 and is_pressed(event, keys.REMOVE_ROW):
            self.deleted.emit(row)
        elif row >= 0 and is_pressed(event, keys.GO_TO_ROW):
            self.picked.emit(row)
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """Keep Delete from the shortcuts of napari's menus."""
        if event.type() == QEvent.Type.ShortcutOverride and is_pressed(event, keys.REMOVE_ROW):
            event.accept()
            return True
        return bool(super().event(event))


class LabelTable(Table):
    """The labels of the mask."""

    def __init__(self) -> None:
        headers = (
            ("label", "The label's name."),
            ("volume", "Number of voxels times their volume."),
            (MEAN, "Of the image values inside, in HU for CT."),
        )
        super().__init__(headers, 0)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setIconSize(QSize(8, 12))

    def draw(self, rows: Sequence[LabelRow], unit: str) -> None:
        """Show the rows."""
        self.name_unit(unit)
        self.fill(
            [
                (
                    (row.name, row.volume, _bare(row.mean, unit)),
                    parts.swatch(row.colour),
                    f"{row.name}: label {row.value}",
                )
                for row in rows
            ]
        )


def _short(place: str) -> str:
    """ "coronal 12" as "cor. 12"."""
    plane, _, number = place.partition(" ")
    return f"{PLANES[plane]} {number}"


def _bare(mean: str, unit: str) -> str:
    return mean.removesuffix(f" {unit}")
