"""Grow from seeds in the Correct & export dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QButtonGroup

from ctseg_imaging.editing import INSIDE, OUTSIDE
from napari_ctseg import parts
from napari_ctseg.keys import table as keys

if TYPE_CHECKING:
    from napari_ctseg.docks.correct.grow.growing import Growing
    from napari_ctseg.docks.correct.state import ClassRow, GrowState

BEGIN = f"Grows the class from a few strokes inside and outside of the structure. Key: {keys.GROW.name}"
SWAP = f"Key: {keys.SWAP_STROKES.name} changes between both"
STROKES = {
    INSIDE: ("Inside", f"Paint strokes inside the structure. {SWAP}"),
    OUTSIDE: ("Outside", f"Paint strokes outside the structure. {SWAP}"),
}
ACCEPT = f"Adds the white outline to the class as one undo step. Key: {keys.ACCEPT_GROWN.name}"
DISCARD = f"Removes the strokes and the outline. Key: {keys.DISCARD_GROWN.name}"


class GrowSection(parts.Section):
    """The button that begins; then the strokes, the reach, and whether the shape is taken over."""

    def __init__(self) -> None:
        super().__init__()
        self.begin = parts.button("Grow from seeds…", BEGIN)
        self.strokes = {stroke: parts.button(words, tip) for stroke, (words, tip) in STROKES.items()}
        group = QButtonGroup(self)
        for pressed in self.strokes.values():
            pressed.setCheckable(True)
            group.addButton(pressed)
        self.reach = parts.number("How far beyond the strokes the structure may extend.", 1, 200, 1, " mm")
        self.told = parts.text()
        self.accept = parts.button("Accept", ACCEPT)
        self.discard = parts.button("Discard", DISCARD)
        self.body = parts.group(
            [
                self.told,
                parts.row(*self.strokes.values(), self.reach),
                parts.row(self.accept, self.discard),
            ]
        )
        self.stack(self.begin, self.body)

    def connect_to(self, growing: Growing) -> None:
        """Pass clicks on to `growing`."""
        self.begin.clicked.connect(growing.begin)
        for stroke, pressed in self.strokes.items():
            pressed.clicked.connect(lambda _, stroke=stroke: growing.paint(stroke))
        self.reach.valueChanged.connect(growing.set_reach)
        self.accept.clicked.connect(growing.accept)
        self.discard.clicked.connect(growing.discard)

    def draw(self, grow: GrowState, on: ClassRow | None, why_not: str) -> None:
        """on : the class that grows. why_not : why nothing can be grown, "" if it can."""
        self.begin.setVisible(grow.stroke is None)
        self.body.setVisible(grow.stroke is not None)
        parts.able(self.begin, why_not, BEGIN)
        parts.show_text(self.told, _told(grow, "" if on is None else on.name))
        for stroke, pressed in self.strokes.items():
            pressed.setChecked(stroke == grow.stroke)
        with QSignalBlocker(self.reach):
            self.reach.setValue(grow.reach_mm)
        nothing = "" if grow.volume_ml else "Paint a stroke inside the structure first."
        parts.able(self.accept, "The outline is being computed." if grow.computing else nothing, ACCEPT)


def _told(grow: GrowState, name: str) -> str:
    """What the strokes have given so far."""
    if grow.computing:
        return f"{name}: growing…"
    if not grow.volume_ml:
        return f"{name}: paint a stroke inside the structure."
    return f"{name}: {grow.volume_ml:.1f} ml inside the white outline."
