"""The tools of the Correct & export dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QButtonGroup

from napari_ctseg import parts
from napari_ctseg.docks.correct.state import Tool
from napari_ctseg.docks.correct.widgets.brush_options import BrushOptions

if TYPE_CHECKING:
    from napari_ctseg.docks.correct.brush import Brush
    from napari_ctseg.docks.correct.state import BrushState, HuLimits

TOOLS = {
    Tool.PAN: ("Pan", "Move and zoom. Key: 6 or Z"),
    Tool.PAINT: ("Paint", "Paint the selected class. Key: 2 or P"),
    Tool.ERASE: ("Erase", "Paint background. Key: 1 or E"),
    Tool.FILL: ("Fill", "Fill the clicked area. Key: 4 or F"),
    Tool.PICK: ("Pick", "Select the clicked class. Key: 5 or L"),
}


class BrushSection(parts.Section):
    """A button for each tool, and the options of the brush."""

    def __init__(self) -> None:
        super().__init__()
        self.tools = {tool: parts.button(words, tip) for tool, (words, tip) in TOOLS.items()}
        self._group = QButtonGroup(self)
        for tool in self.tools.values():
            tool.setCheckable(True)
            self._group.addButton(tool)
        self.options = BrushOptions()
        self.stack(parts.row(*self.tools.values()), self.options.native)

    def connect_to(self, brush: Brush) -> None:
        """Pass clicks on to `brush`."""
        for tool, pressed in self.tools.items():
            pressed.clicked.connect(lambda _, tool=tool: brush.set_tool(tool))
        self.options.connect_to(brush)

    def draw(self, brush: BrushState, hu: HuLimits, why_not: str) -> None:
        """why_not : why nothing can be painted, "" if it can."""
        self._group.setExclusive(brush.tool is not None)
        for tool, pressed in self.tools.items():
            pressed.setChecked(tool is brush.tool)
            parts.able(pressed, why_not, TOOLS[tool][1])
        self.options.draw(brush, hu, why_not)
