"""The list of lesions, or of islands and holes, in the Compare dock."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from ctseg_imaging.volume import slice_number
from napari_ctseg import parts
from napari_ctseg.docks.compare.components.listed import ComponentList, ListedComponent, ListKind
from napari_ctseg.keys import table as keys

if TYPE_CHECKING:
    from napari_ctseg.docks.compare.controller import CompareController

LIST = "Lists the components of the label in focus, or of all labels, one by one."
NEXT = f"Goes to the next row of the list. Key: {keys.NEXT_ROW.name}"
LAST = f"Goes to the row before. Key: {keys.LAST_ROW.name}"
HEADERS = (
    ("label", "The label. Click a row to go there."),
    ("", "missed: only in the truth. false: only predicted. found: both share a voxel."),
    ("ml", "Volume of the component in ml."),
    ("Dice", "Overlap with the components that it touches on the other side, 0 to 1."),
    ("HD95\nmm", "95th percentile of the distances between the two surfaces, in mm."),
    ("slice", "Slice of the component, numbered from 1 at the feet."),
)
ROW_PX, MOST_PX = 19, 180


class ComponentSection(parts.Section):
    """What to list, the list, and the way through it."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = parts.combo("What is listed.", [str(kind) for kind in ListKind])
        self.make = parts.button("List", LIST)
        self.summary = parts.text()
        self.table = _table()
        self.last = parts.button(f"Previous ({keys.LAST_ROW.name})", LAST)
        self.next = parts.button(f"Next ({keys.NEXT_ROW.name})", NEXT)
        self.stack(parts.row(self.kind, self.make), self.summary, self.table, parts.row(self.last, self.next))

    def connect_to(self, controller: CompareController) -> None:
        """Pass clicks on to `controller`."""
        listing = controller.listing
        self.make.clicked.connect(lambda: listing.make(ListKind(self.kind.currentText())))
        self.table.cellClicked.connect(lambda row, column: listing.go_to(row))
        self.last.clicked.connect(lambda: listing.step(-1))
        self.next.clicked.connect(lambda: listing.step(1))

    def draw(self, components: ComponentList, why_not: str) -> None:
        """Show the list; the row last gone to is bold."""
        none = why_not or ("" if components.rows else "Press List first; nothing is listed.")
        parts.able(self.make, why_not or ("The list is being made." if components.listing else ""), LIST)
        parts.able(self.next, none, NEXT)
        parts.able(self.last, none, LAST)
        parts.show_text(self.summary, components.summary)
        self.summary.mark(components.outdated)
        self.table.setVisible(bool(components.rows))
        with QSignalBlocker(self.table):
            self.table.setRowCount(len(components.rows))
            for k, row in enumerate(components.rows):
                self._draw_row(k, row, k == components.current)
        height = self.table.horizontalHeader().sizeHint().height() + ROW_PX * len(components.rows) + 4
        self.table.setFixedHeight(min(height, MOST_PX))
        if components.current is not None and self.table.rowCount():
            self.table.scrollToItem(self.table.item(components.current, 0))

    def _draw_row(self, k: int, row: ListedComponent, current: bool) -> None:
        for column, word in enumerate(_words(row)):
            item = QTableWidgetItem(word)
            item.setToolTip(_exact(row))
            if column == 0:
                item.setIcon(parts.swatch(row.colour))
            elif column > 1:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            font = item.font()
            font.setBold(current)
            item.setFont(font)
            self.table.setItem(k, column, item)


def _table() -> QTableWidget:
    table = QTableWidget(0, len(HEADERS))
    for column, (word, tip) in enumerate(HEADERS):
        heading = QTableWidgetItem(word)
        heading.setToolTip(tip)
        table.setHorizontalHeaderItem(column, heading)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(ROW_PX)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
    table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    table.setStyleSheet(
        "QTableWidget { font-size: 11px; } QTableWidget::item { padding: 0; } QHeaderView::section { "
        "font-size: 11px; padding: 1px; }"
    )
    header = table.horizontalHeader()
    header.setMinimumSectionSize(24)
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    return table


def _words(row: ListedComponent) -> tuple[str, ...]:
    one = row.component
    return (
        row.name,
        one.finding,
        f"{one.volume_ml:.2f}" if one.volume_ml < 10 else f"{one.volume_ml:.0f}",
        "–" if math.isnan(one.dice) else f"{one.dice:.2f}",
        "–" if math.isnan(one.hd95_mm) else f"{one.hd95_mm:.1f}",
        str(slice_number(one.voxel[0])),
    )


def _exact(row: ListedComponent) -> str:
    one, (x, y, z) = row.component, row.centroid_lps_mm
    lines = [
        f"{row.name}: {one.finding}, in the {'truth' if one.in_truth else 'prediction'}",
        f"Volume: {one.volume_ml:.3f} ml",
        f"Centroid (LPS): {x:.1f}, {y:.1f}, {z:.1f} mm",
    ]
    if not math.isnan(one.dice):
        lines.append(f"Dice {one.dice:.4f}, IoU {one.iou:.4f}, other side {one.other_ml:.3f} ml")
    return "\n".join(lines)
