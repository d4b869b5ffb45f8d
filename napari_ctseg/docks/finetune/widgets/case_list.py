"""The open images with their masks, each with a box to tick."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QListWidget, QListWidgetItem

from napari_ctseg.docks.finetune.state import CaseRow

ROWS, ROW_PX = 4, 20  # shown without scrolling; the least height of one


class CaseList(QListWidget):  # type: ignore[misc]
    """ticked : the image whose box was changed, and whether it is ticked now."""

    ticked = Signal(str, bool)

    def __init__(self) -> None:
        super().__init__()
        self.itemChanged.connect(
            lambda item: self.ticked.emit(
                item.data(Qt.ItemDataRole.UserRole), item.checkState() == Qt.CheckState.Checked
            )
        )

    def draw(self, cases: Sequence[CaseRow]) -> None:
        """Show these cases."""
        with QSignalBlocker(self):
            self.clear()
            for case in cases:
                item = QListWidgetItem(f"{case.image} ← {case.mask}", self)
                item.setData(Qt.ItemDataRole.UserRole, case.image)
                item.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled)
                item.setCheckState(Qt.CheckState.Checked if case.ticked else Qt.CheckState.Unchecked)
                item.setToolTip(f'Image "{case.image}" with the mask "{case.mask}" on its grid.')
        rows = min(ROWS, max(1, len(cases)))
        self.setFixedHeight(rows * max(ROW_PX, self.sizeHintForRow(0)) + 6)
