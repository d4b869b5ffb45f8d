"""The top of the Correct & export dock: what to begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ctseg import parts
from napari_ctseg.docks.correct import words

if TYPE_CHECKING:
    from napari_ctseg.docks.correct.controller import CorrectController
    from napari_ctseg.docks.correct.state import CorrectState


class StartSection(parts.Section):
    """An empty mask where none is open, and edits of an earlier session."""

    def __init__(self) -> None:
        super().__init__()
        self.empty, self.offer = parts.text(), parts.remark()
        self.begin = parts.button("New empty mask", "Adds an empty mask on the image's grid.")
        self.restore = parts.button(
            "Restore", "Opens the newest saved edits as a new mask, with their undo steps."
        )
        self.others = parts.button(
            "All…", "Lists the saved and discarded edits of this image, with previews."
        )
        self.stack(self.empty, self.begin, self.offer, parts.row(self.restore, self.others))

    def connect_to(self, controller: CorrectController) -> None:
        """Pass clicks on to `controller`."""
        self.begin.clicked.connect(lambda: controller.begin_empty())
        self.restore.clicked.connect(controller.steps.restore)
        self.others.clicked.connect(controller.steps.list_kept)

    def draw(self, state: CorrectState) -> None:
        """Show what there is to begin with."""
        none = not state.mask.layers
        parts.show_text(self.empty, "Run a model or open a label map to correct it here." if none else "")
        self.begin.setVisible(none)
        parts.show_text(self.offer, words.offer(state.kept))
        self.restore.setVisible(bool(state.kept))
        self.others.setVisible(bool(state.kept))
        self.setVisible(none or bool(state.kept))
