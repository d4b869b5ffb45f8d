"""What the tools with a preview have in common in the dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLayout, QWidget

from napari_ctseg import parts
from napari_ctseg.keys import table as keys

if TYPE_CHECKING:
    from napari_ctseg.docks.correct.previews.previewed import Previewed
    from napari_ctseg.docks.correct.state import PreviewState

APPLY = f"Makes the white outline the class, as one undo step. Key: {keys.APPLY_PREVIEW.name}"
CANCEL = f"Removes the outline; the mask stays as it is. Key: {keys.CANCEL_PREVIEW.name}"


class PreviewSection(parts.Section):
    """The controls of one tool while it is at work. begin : its button, which has its place in the dock."""

    def __init__(self, words: str, tip: str, tool: str, *controls: QWidget | QLayout) -> None:
        super().__init__()
        self._tip, self._tool = tip, tool
        self.begin, self.told = parts.button(words, tip), parts.text()
        self.apply, self.cancel = parts.button("Apply", APPLY), parts.button("Cancel", CANCEL)
        self.stack(self.told, *controls, parts.row(self.apply, self.cancel))

    def follow(self, tool: Previewed) -> None:
        """Pass clicks on to `tool`."""
        self.begin.clicked.connect(tool.begin)
        self.apply.clicked.connect(tool.apply)
        self.cancel.clicked.connect(tool.cancel)

    def show_preview(self, preview: PreviewState, told: str, why_not: str) -> None:
        """told : what is shown. why_not : why the tool cannot be taken up, "" if it can."""
        at_work = preview.tool == self._tool
        self.setVisible(at_work)
        parts.able(self.begin, "" if at_work else why_not, self._tip)
        parts.show_text(self.told, told)
        parts.able(self.apply, "" if preview.ready else "The outline is being computed.", APPLY)
