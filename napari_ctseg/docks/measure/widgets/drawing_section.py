"""The tools of the Measure dock, and what can be done about the last shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker

from napari_ctseg import parts
from napari_ctseg.docks.measure.widgets.tool_buttons import ToolButtons
from napari_ctseg.docks.measure.words import HINTS

if TYPE_CHECKING:
    from napari_ctseg.docks.measure.controller import MeasureController
    from napari_ctseg.docks.measure.state import MeasureState

EMPTY = "Choose a tool and draw on the image; the value appears next to the shape and in this table."
ADJUST = "Drag an end, a corner or a line to change a shape. Delete removes it, Ctrl+Z undoes a step."
KEEP = "The tool stays active after a measurement; Esc deactivates it."
UNDO = "Undoes the last shape, change or removal. Key: Ctrl+Z"
DELETE = "Removes the selected measurement. Key: Delete"


class DrawingSection(parts.Section):
    """A button for each tool, the hint of the one in hand, undo and delete."""

    def __init__(self) -> None:
        super().__init__()
        self.tools, self.hint = ToolButtons(), parts.text()
        self.keep = parts.checkbox("Keep the tool", KEEP)
        self.undo, self.delete = parts.button("Undo", UNDO), parts.button("Delete", DELETE)
        self.stack(self.tools, self.hint, parts.row(self.keep, self.undo, self.delete))

    def connect_to(self, controller: MeasureController) -> None:
        """Pass clicks on to `controller`."""
        self.tools.picked.connect(controller.arm)
        self.keep.toggled.connect(controller.set_keep_tool)
        self.undo.clicked.connect(controller.undo)
        self.delete.clicked.connect(lambda: controller.delete())

    def draw(self, state: MeasureState) -> None:
        """Show which tool is in hand, and what can be done."""
        self.tools.draw(state.tool, state.why_not)
        hint = HINTS[state.tool] if state.tool is not None else ADJUST if state.rows else EMPTY
        parts.show_text(self.hint, state.refused or ("" if state.image is None else hint))
        with QSignalBlocker(self.keep):
            self.keep.setChecked(state.keep_tool)
        parts.able(self.undo, "" if state.can_undo else "Nothing has been drawn yet.", UNDO)
        unselected = "" if state.selected is not None else "Select a row or a shape first."
        parts.able(self.delete, unselected, DELETE)
