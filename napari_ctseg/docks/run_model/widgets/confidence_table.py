"""The table of how certain a model is of its result."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_ctseg.docks.run_model.state import Confidence

COLUMNS = (
    ("label", "The label that was found."),
    ("ml", "Its volume."),
    ("p", "Mean probability inside, as computed by the model."),
    (">0.9", "Share of its voxels with a probability above 0.9."),
    ("differ", "Mean disagreement of the models inside: 0 if they all agree."),
)
ENTROPY = ("entropy", "Mean entropy inside: 0 if one label is certain, 1 if all are equally likely.")
ROWS, ROW_HEIGHT = 12, 22
PADDING = 14  # px of a cell and its header next to their text
UNSURE = 0.7  # mean probability below which a row is marked


class ConfidenceTable(QTableWidget):  # type: ignore[misc]
    """One row a label; ▲ marks the ones to look at first."""

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        self.setToolTip(
            "How certain the models are of each label, which is not a measure of accuracy. ▲: check this "
            "label first."
        )
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._columns = COLUMNS
        self._head()
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setMinimumSectionSize(PADDING)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def _head(self) -> None:
        for column, (title, tip) in enumerate(self._columns):
            item = QTableWidgetItem(title)
            item.setToolTip(tip)
            self.setHorizontalHeaderItem(column, item)

    def draw(self, rows: Sequence[Confidence]) -> None:
        """Hidden without rows; without the last column if neither disagreement nor entropy was computed."""
        self._columns = (*COLUMNS[:-1], ENTROPY if any(row.entropy for row in rows) else COLUMNS[-1])
        self._head()
        self.setVisible(bool(rows))
        self.setColumnHidden(len(COLUMNS) - 1, all(row.disagreement is None for row in rows))
        self.setRowCount(len(rows))
        for number, row in enumerate(rows):
            disagreement = "" if row.disagreement is None else f"{row.disagreement:.2f}"
            name = f"{row.name} ▲" if row.mean < UNSURE else row.name
            cells = (
                name,
                _millilitres(row.volume_ml),
                f"{row.mean:.2f}",
                f"{100 * row.sure:.0f} %",
                disagreement,
            )
            for column, words in enumerate(cells):
                item = QTableWidgetItem(words)
                item.setToolTip(row.name if column == 0 else self._columns[column][1])
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(number, column, item)
        self._fit()
        bar = (
            Qt.ScrollBarPolicy.ScrollBarAlwaysOn
            if len(rows) > ROWS
            else Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        )
        self.setVerticalScrollBarPolicy(bar)  # shows that there are more rows
        shown = min(ROWS, len(rows))
        self.setFixedHeight(
            self.horizontalHeader().sizeHint().height() + shown * ROW_HEIGHT + 2 * self.frameWidth() + 2
        )

    def _fit(self) -> None:
        """Make the number columns as narrow as their texts; the names take the rest."""
        for column, (title, _) in list(enumerate(self._columns))[1:]:
            words = [title, *(self.item(row, column).text() for row in range(self.rowCount()))]
            self.setColumnWidth(column, max(map(self.fontMetrics().horizontalAdvance, words)) + PADDING)


def _millilitres(volume: float) -> str:
    return f"{volume:.1f}" if volume < 100 else f"{volume:.0f}"
