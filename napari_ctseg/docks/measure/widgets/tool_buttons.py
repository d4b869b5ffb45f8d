"""One button a tool: picture, name and key."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal
from qtpy.QtWidgets import QGridLayout, QSizePolicy, QToolButton, QWidget

from ctseg_imaging.measurements import Kind
from napari_ctseg import parts
from napari_ctseg.docks.measure.widgets.icons import SIZE, tool_icon
from napari_ctseg.docks.measure.words import GESTURES, HINTS, NAMES

COLUMNS = 3


class ToolButtons(QWidget):  # type: ignore[misc]
    """picked : the tool whose button was pressed."""

    picked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        self.buttons: dict[Kind, QToolButton] = {}
        for k, kind in enumerate(Kind):
            button = QToolButton()
            button.setText(f"{NAMES[kind]}\n{GESTURES[kind].name}")
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
            button.setIconSize(QSize(SIZE, SIZE))
            button.setCheckable(True)
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            button.clicked.connect(lambda _=False, kind=kind: self.picked.emit(kind))
            grid.addWidget(button, k // COLUMNS, k % COLUMNS)
            grid.setColumnStretch(k % COLUMNS, 1)
            self.buttons[kind] = button

    def paint_theme(self, text: str, accent: str, ground: str) -> None:
        """Use the colours of the theme (hex)."""
        self.setStyleSheet(
            f"QToolButton {{ font-size: 11px; padding: 3px; border-radius: 3px; background: {ground}; }} "
            f"QToolButton:checked {{ background: {accent}; }}"
        )
        for kind, button in self.buttons.items():
            button.setIcon(tool_icon(kind, text))

    def draw(self, tool: Kind | None, why_not: str) -> None:
        """Press the button of the tool in hand."""
        for kind, button in self.buttons.items():
            with QSignalBlocker(button):
                button.setChecked(kind is tool)
            parts.able(
                button, why_not, f"{NAMES[kind]}: {HINTS[kind]} Key: {GESTURES[kind].name}; Esc ends it."
            )
