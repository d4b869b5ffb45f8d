"""Which mask the Correct & export dock corrects, and what protects it and its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ctseg import parts
from napari_ctseg.docks.correct import words

if TYPE_CHECKING:
    from napari_ctseg.docks.correct.controller import CorrectController
    from napari_ctseg.docks.correct.state import MaskChoice

PADLOCK = (
    "The padlock of napari's layer list. While it is closed, no tool, operation or undo changes the layer."
)


class MaskSection(parts.Section):
    """The choice of the mask, a copy of a locked one, and the padlock."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = parts.combo("The label layer that the tools edit.")
        self.which = parts.text()
        self.take_over = parts.button("Take over", "Edit here; the other viewer becomes read-only.")
        self.copy = parts.button(
            "Correct a copy",
            "Adds a copy of the locked layer to correct; the layer itself stays unchanged.",
        )
        self.padlock = parts.button("Unlock", PADLOCK)
        self.stack(
            parts.form(("Mask", self.layer)),
            self.which,
            self.take_over,
            parts.row(self.copy, self.padlock),
        )

    def connect_to(self, controller: CorrectController) -> None:
        """Pass choices on to `controller`."""
        self.layer.textActivated.connect(controller.choose)
        self.take_over.clicked.connect(controller.take_over)
        self.copy.clicked.connect(controller.correct_copy)
        self.padlock.clicked.connect(lambda: controller.set_lock(not controller.state.mask.padlock_closed))

    def draw(self, mask: MaskChoice) -> None:
        """Show which mask is corrected, and what can be done about a locked one."""
        parts.fill(self.layer, mask.layers, mask.layer)
        parts.show_text(self.which, words.which(mask))
        self.which.mark(bool(mask.reference_at_risk or mask.layer is None or mask.in_use))
        self.take_over.setVisible(bool(mask.in_use))
        self.copy.setVisible(mask.to_copy is not None)
        self.copy.setText(f"Correct a copy of “{mask.to_copy}”")
        self.padlock.setVisible(mask.padlock is not None)
        self.padlock.setText(f"{'Unlock' if mask.padlock_closed else 'Lock'} “{mask.padlock}”")
