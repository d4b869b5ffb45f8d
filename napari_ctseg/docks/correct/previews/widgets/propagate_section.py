"""Propagate in the Correct & export dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker

from napari_ctseg import parts
from napari_ctseg.docks.correct.previews.propagating import Propagating
from napari_ctseg.docks.correct.previews.widgets.preview_section import PreviewSection
from napari_ctseg.keys import table as keys

if TYPE_CHECKING:
    from napari_ctseg.docks.correct.state import CorrectState

BEGIN = (
    "Makes the correction of this slice in its neighbours too, less with every slice; slices drawn on stay. "
    f"Key: {keys.PROPAGATE.name}"
)
SLICES = "How many slices change on either side."


class PropagateSection(PreviewSection):
    """How many slices the correction goes."""

    def __init__(self) -> None:
        self.slices = parts.number(SLICES, 1, 50, 1, " slices", 0)
        super().__init__("Propagate…", BEGIN, Propagating.TOOL, parts.form(("Either way", self.slices)))

    def connect_to(self, propagating: Propagating) -> None:
        """Pass changes on to `propagating`."""
        self.follow(propagating)
        self.slices.valueChanged.connect(lambda value: propagating.set_slices(int(value)))

    def draw(self, state: CorrectState) -> None:
        """Show how far it goes."""
        row = state.classes.selected_row
        told = f"{'' if row is None else row.name}: the correction of this slice, carried on."
        self.show_preview(state.preview, told, state.operation_why_not)
        with QSignalBlocker(self.slices):
            self.slices.setValue(state.propagate.slices)
