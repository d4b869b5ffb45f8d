"""Snap in the Correct & export dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ctseg.docks.correct.previews.snapping import Snapping
from napari_ctseg.docks.correct.previews.widgets.preview_section import PreviewSection
from napari_ctseg.keys import table as keys

if TYPE_CHECKING:
    from napari_ctseg.docks.correct.state import CorrectState, SnapState

BEGIN = (
    "Outlines the class in this slice: click points on the border, and the line follows the strongest edge "
    f"between them. Key: {keys.SNAP.name}"
)


class SnapSection(PreviewSection):
    """What to do next, and which edges the line follows."""

    def __init__(self) -> None:
        super().__init__("Snap…", BEGIN, Snapping.TOOL)

    def connect_to(self, snapping: Snapping) -> None:
        """Pass clicks on to `snapping`."""
        self.follow(snapping)

    def draw(self, state: CorrectState) -> None:
        """Show how many points there are."""
        row = state.classes.selected_row
        told = f"{'' if row is None else row.name}: {_told(state.snap)}"
        self.show_preview(state.preview, told, state.operation_why_not)


def _told(snap: SnapState) -> str:
    edges = f"the edges of “{snap.along}”" if snap.along else "the image gradient"
    if snap.points < 2:
        return f"click points on the border; the line follows {edges}."
    return f"{snap.points} points along {edges}; double click or Enter closes and fills."
