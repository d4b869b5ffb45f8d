"""The labels of the mask in the Measure dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ctseg import parts
from napari_ctseg.docks.measure.widgets.tables import LabelTable

if TYPE_CHECKING:
    from napari_ctseg.docks.measure.state import MeasureState


class LabelSection(parts.Section):
    """The name of the mask, the table of its labels, and a note about them."""

    def __init__(self) -> None:
        super().__init__()
        self.title, self.table, self.note = parts.text(), LabelTable(), parts.remark()
        self.stack(self.title, self.table, self.note)

    def draw(self, state: MeasureState) -> None:
        """Show the labels; nothing without a mask."""
        counting = " – counting…" if state.counting and not state.labels else ""
        title = "" if state.mask is None else f"Labels of <b>{state.mask}</b>{counting}"
        parts.show_text(self.title, title)
        self.table.draw(state.labels, state.unit)
        self.table.setVisible(bool(state.labels))
        parts.show_text(self.note, state.labels_note if state.mask is not None else "")
        self.setVisible(bool(state.mask is not None or state.labels))
