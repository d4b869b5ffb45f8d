"""The list of models: ticks, formats, locks, weights."""

from __future__ import annotations

from qtpy.QtCore import QPointF, QRectF, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QAbstractSpinBox, QHeaderView, QTreeWidget, QTreeWidgetItem

from napari_ctseg import parts
from napari_ctseg.docks.run_model import words
from napari_ctseg.docks.run_model.state import BundleInfo, RunModelState

NAME, KIND, WEIGHT = range(3)
ROWS, ROW_HEIGHT, WEIGHT_WIDTH = 6, 24, 54
LOCK = 16
AMBER = "#E69F00"


class ModelList(QTreeWidget):  # type: ignore[misc]
    """One row a model. ticked : the ticked models, after a change. weighed : (name, weight)."""

    ticked = Signal(list)
    weighed = Signal(str, float)

    def __init__(self) -> None:
        super().__init__()
        self._listed: tuple[tuple[object, ...], ...] | None = None
        self.setToolTip(words.MODELS)
        self.setRootIsDecorated(False)
        self.setStyleSheet(
            "QTreeView::indicator:unchecked { border: 1px solid #909090; }"
        )  # napari's own is hard to see
        self.setHeaderHidden(True)
        self.setColumnCount(3)
        self.setUniformRowHeights(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        for column in (KIND, WEIGHT):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.itemChanged.connect(lambda item, column: self.ticked.emit(self._ticked()))

    def draw(self, state: RunModelState) -> None:
        """Rows, ticks and, for an ensemble, a weight for each ticked model."""
        listed = tuple(
            (info.name, info.kind, info.labels, info.locked, info.needs_trust) for info in state.bundles
        )
        with QSignalBlocker(self):
            if listed != self._listed:
                self._fill(state)
                self._listed = listed
            for row, info in enumerate(state.bundles):
                item = self.topLevelItem(row)
                chosen = info.name in state.chosen
                item.setCheckState(NAME, Qt.CheckState.Checked if chosen else Qt.CheckState.Unchecked)
                self._draw_weight(
                    item,
                    info.name,
                    state.options.weights.get(info.name, 1.0) if chosen and state.weighted else None,
                )
        self.setColumnHidden(WEIGHT, not state.weighted)
        self.setColumnHidden(KIND, state.weighted)  # long names need the room; the tooltip has the format
        self.setFixedHeight(min(ROWS, max(1, len(listed))) * ROW_HEIGHT + 2 * self.frameWidth() + 2)

    def name_at_cursor(self) -> str | None:
        """The model whose row was clicked."""
        item = self.currentItem()
        return None if item is None else str(item.text(NAME))

    def _fill(self, state: RunModelState) -> None:
        current = self.name_at_cursor()
        self.clear()
        for info in state.bundles:
            item = _row(info)
            self.addTopLevelItem(item)
            if info.name == current:
                self.setCurrentItem(item)

    def _draw_weight(self, item: QTreeWidgetItem, name: str, weight: float | None) -> None:
        box = self.itemWidget(item, WEIGHT)
        if weight is None:
            if box is not None:
                self.removeItemWidget(item, WEIGHT)
            return
        if box is None:
            box = parts.number(f"{name}: {words.WEIGHT}", 0.1, 100, 0.5, "")
            box.setPrefix("× ")
            box.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
            box.setFixedSize(WEIGHT_WIDTH, ROW_HEIGHT - 2)
            box.valueChanged.connect(lambda value: self.weighed.emit(name, value))
            self.setItemWidget(item, WEIGHT, box)
        with QSignalBlocker(box):
            box.setValue(weight)

    def _ticked(self) -> list[str]:
        items = [self.topLevelItem(row) for row in range(self.topLevelItemCount())]
        return [item.text(NAME) for item in items if item.checkState(NAME) == Qt.CheckState.Checked]


def _row(info: BundleInfo) -> QTreeWidgetItem:
    item = QTreeWidgetItem([info.name, words.kind(info), ""])
    item.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
    item.setForeground(KIND, QColor("#909090"))
    for column in (NAME, KIND):
        item.setToolTip(column, words.model_tip(info))
    item.setSizeHint(NAME, item.sizeHint(NAME).expandedTo(QPixmap(1, ROW_HEIGHT).size()))
    if info.needs_trust:
        item.setIcon(NAME, lock_icon(closed=info.locked))
    return item


def lock_icon(*, closed: bool) -> QIcon:
    """A padlock: amber and closed for a model that asks before it runs, grey and open once it is allowed."""
    picture = QPixmap(LOCK, LOCK)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    colour = QColor(AMBER if closed else "#909090")
    painter.setPen(QPen(colour, 2))
    painter.drawArc(QRectF(4.5, 1.5, 7, 10), 0, (180 if closed else 130) * 16)
    if closed:
        painter.drawLine(QPointF(4.5, 6.5), QPointF(4.5, 8))
    painter.fillRect(QRectF(2.5, 7.5, 11, 7), colour)
    painter.end()
    return QIcon(picture)
