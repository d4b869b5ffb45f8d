"""Grow from seeds in the Correct & export dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QButtonGroup

from ctseg_imaging.editing import INSIDE, OUTSIDE
from ctseg_imaging.volume import slice_index, slice_number
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
BOX = f"Draw a rectangle: the structure stays in it. Key: {keys.GROW_IN_BOX.name}"
ACCEPT = f"Adds the white outline to the class as one undo step. Key: {keys.ACCEPT_GROWN.name}"
DISCARD = f"Removes the strokes and the outline. Key: {keys.DISCARD_GROWN.name}"


class GrowSection(parts.Section):
    """The button that begins; then the strokes, the reach, and whether the shape is taken over."""

    def __init__(self) -> None:
        super().__init__()
        self.begin = parts.button("Grow from seeds…", BEGIN)
        self.strokes = {stroke: parts.button(words, tip) for stroke, (words, tip) in STROKES.items()}
        group = QButtonGroup(self)
        self.box = parts.button("Box", BOX)
        for pressed in (*self.strokes.values(), self.box):
            pressed.setCheckable(True)
            group.addButton(pressed)
        self.reach = parts.number("How far beyond the strokes the structure may extend.", 1, 200, 1, " mm")
        self.first = parts.number("The first slice of the box.", 1, 1, 1, "", 0)
        self.last = parts.number("The last slice of the box.", 1, 1, 1, "", 0)
        self.remove = parts.button("Remove", "Removes the box: the reach counts again.")
        self.in_reach = parts.group([parts.form(("Reach", self.reach))])
        self.in_box = parts.group([parts.form(("Slices", parts.row(self.first, self.last, self.remove)))])
        self.told = parts.text()
        self.accept = parts.button("Accept", ACCEPT)
        self.discard = parts.button("Discard", DISCARD)
        self.body = parts.group(
            [
                self.told,
                parts.row(*self.strokes.values(), self.box),
                self.in_reach,
                self.in_box,
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
        self.box.clicked.connect(growing.draw_box)
        self.remove.clicked.connect(growing.remove_box)
        for end in (self.first, self.last):
            end.valueChanged.connect(lambda _: growing.set_slices(*self._slices()))
        self.accept.clicked.connect(growing.accept)
        self.discard.clicked.connect(growing.discard)

    def draw(self, grow: GrowState, on: ClassRow | None, why_not: str) -> None:
        """on : the class that grows. why_not : why nothing can be grown, "" if it can."""
        self.begin.setVisible(grow.stroke is None)
        self.body.setVisible(grow.stroke is not None)
        parts.able(self.begin, why_not, BEGIN)
        parts.show_text(self.told, _told(grow, "" if on is None else on.name))
        for stroke, pressed in self.strokes.items():
            pressed.setChecked(stroke == grow.stroke and not grow.drawing)
        self.box.setChecked(grow.drawing)
        self._draw_box(grow)
        with QSignalBlocker(self.reach):
            self.reach.setValue(grow.reach_mm)
        nothing = "" if grow.volume_ml else "Paint a stroke inside the structure first."
        parts.able(self.accept, "The outline is being computed." if grow.computing else nothing, ACCEPT)

    def _slices(self) -> tuple[int, int]:
        return slice_index(int(self.first.value())), slice_index(int(self.last.value()))

    def _draw_box(self, grow: GrowState) -> None:
        self.in_reach.setVisible(grow.slices is None)
        self.in_box.setVisible(grow.slices is not None)
        for end, index in zip((self.first, self.last), grow.slices or (), strict=False):
            with QSignalBlocker(end):
                end.setMaximum(grow.depth)
                end.setValue(slice_number(index))


def _told(grow: GrowState, name: str) -> str:
    """What the strokes have given so far."""
    if grow.drawing:
        return f"{name}: draw a rectangle around the structure."
    if grow.computing:
        return f"{name}: growing…"
    if not grow.volume_ml:
        return f"{name}: paint a stroke inside the structure."
    return f"{name}: {grow.volume_ml:.1f} ml inside the white outline."
