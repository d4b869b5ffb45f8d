"""The two tables of the side file's form: the network's channels, and the classes that it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QHeaderView, QTableWidget, QTableWidgetItem

from napari_ctseg import parts
from napari_ctseg.docks.run_model.library.side_draft import NORMALISE, ChannelRow, MapRow

ROW_HEIGHT, CHANNELS_SHOWN, MAPS_SHOWN = 26, 3, 6
CHANNELS = ("name", "image", "from", "to", "normalised", "shift", "scale")
CHANNEL_TIP = (
    "One row for each channel of the network. image: 1 is the open image; several windows of one CT are all "
    "1. from, to: the window to which values are clipped (HU for CT). normalised: what happens then."
)
NORMALISED = 4
MAPS_TIP = (
    "One row for each class of the network's output, in its order. label: its value in the result; 0 or "
    'nothing is background (a "body" class is merged into it), and the same value twice merges two classes. '
    "Each label needs a name once."
)


class RowTable(QTableWidget):  # type: ignore[misc]
    """A table of text cells with a row for each channel or class. edited : a cell was changed."""

    edited = Signal()

    def __init__(self, titles: Sequence[str], tip: str, widths: Mapping[int, int], shown: int) -> None:
        """widths : px by column; the others share what is left. shown : rows without scrolling."""
        super().__init__(0, len(titles))
        self._shown = shown
        self.setHorizontalHeaderLabels(list(titles))
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        for column, width in widths.items():
            self.horizontalHeader().setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.setColumnWidth(column, width)
        self.setToolTip(tip)
        self.itemChanged.connect(lambda item: self.edited.emit())

    def put_cells(self, rows: Sequence[Sequence[str]]) -> None:
        """Show these texts, and make the table as high as its rows."""
        with QSignalBlocker(self):
            self.setRowCount(len(rows))
            for number, row in enumerate(rows):
                for column, text in enumerate(row):
                    self.setItem(number, column, QTableWidgetItem(text))
        rows_px = min(self._shown, self.rowCount()) * ROW_HEIGHT
        header_px = self.horizontalHeader().sizeHint().height()
        self.setFixedHeight(header_px + rows_px + 2 * self.frameWidth() + 2)

    def cells(self, row: int) -> list[str]:
        """The texts of a row."""
        items = [self.item(row, column) for column in range(self.columnCount())]
        return ["" if item is None else item.text() for item in items]


class ChannelTable(RowTable):
    """The channels that the network takes."""

    def __init__(self) -> None:
        widths = {1: 56, 2: 66, 3: 66, NORMALISED: 170, 5: 60, 6: 60}
        super().__init__(CHANNELS, CHANNEL_TIP, widths, CHANNELS_SHOWN)

    def put(self, rows: Sequence[ChannelRow]) -> None:
        """Show these channels."""
        self.put_cells([(row.name, row.source, row.low, row.high, "", row.shift, row.scale) for row in rows])
        for number, row in enumerate(rows):
            combo = parts.combo("What happens to the values after the window.", list(NORMALISE.values()))
            combo.setCurrentText(NORMALISE[row.normalise])
            combo.currentIndexChanged.connect(lambda index: self.edited.emit())
            self.setCellWidget(number, NORMALISED, combo)

    def rows(self) -> tuple[ChannelRow, ...]:
        """The channels as they are filled in."""
        choices, rows = list(NORMALISE), []
        for number in range(self.rowCount()):
            name, source, low, high, _, shift, scale = self.cells(number)
            combo: QComboBox = self.cellWidget(number, NORMALISED)
            rows.append(ChannelRow(name, source, low, high, choices[combo.currentIndex()], shift, scale))
        return tuple(rows)

    def resize_to(self, count: int) -> None:
        """Leave out the last channels, or add more like the last one."""
        rows = self.rows()
        more = [replace(rows[-1], name=f"channel {number + 1}") for number in range(len(rows), count)]
        self.put([*rows, *more][:count])


class MapTable(RowTable):
    """The classes that the network gives."""

    def __init__(self) -> None:
        super().__init__(("class", "label", "name"), MAPS_TIP, {0: 56, 1: 70}, MAPS_SHOWN)

    def put(self, rows: Sequence[MapRow]) -> None:
        """Show these classes."""
        self.put_cells([(str(number), row.value, row.name) for number, row in enumerate(rows)])

    def rows(self) -> tuple[MapRow, ...]:
        """The classes as they are filled in."""
        return tuple(MapRow(*self.cells(number)[1:]) for number in range(self.rowCount()))

    def resize_to(self, count: int) -> None:
        """Leave out the last classes, or add more, each with the next label."""
        rows = self.rows()
        self.put([*rows, *(MapRow(str(number)) for number in range(len(rows), count))][:count])
