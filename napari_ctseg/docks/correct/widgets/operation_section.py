"""The operations on one class in the Correct & export dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker

from napari_ctseg import parts
from napari_ctseg.docks.correct.state import Operation

if TYPE_CHECKING:
    from napari_ctseg.docks.correct.operations import Operations
    from napari_ctseg.docks.correct.state import ClassRow, OperationSizes

OPERATIONS = {
    Operation.FILL_HOLES: ("Fill holes", "Fills the holes of the class, slice by slice."),
    Operation.FILL_BETWEEN: (
        "Fill between",
        "Fills empty slices between drawn ones by shape interpolation.",
    ),
    Operation.COPY_UP: (
        "Copy to next",
        "Copies the class from this slice to the next one towards the head.",
    ),
    Operation.DROP_ISLANDS: (
        "Drop islands",
        "Removes parts of the class smaller than this volume; the largest always stays.",
    ),
    Operation.EXPAND: ("Expand", "Adds the background within the distance."),
    Operation.SHRINK: ("Shrink", "Removes voxels within the distance of the border."),
    Operation.SMOOTH: ("Smooth", "Smooths the surface over the distance; flat parts stay unchanged."),
}
OF_SHAPE = Operation.FILL_HOLES, Operation.FILL_BETWEEN, Operation.COPY_UP
WITH_MARGIN = Operation.EXPAND, Operation.SHRINK, Operation.SMOOTH
ONE_STEP = "One undo step; locked classes stay unchanged."


class OperationSection(parts.Section):
    """A button for each operation, next to the size that it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.on = parts.text()
        self.buttons = {operation: parts.button(words, tip) for operation, (words, tip) in OPERATIONS.items()}
        self.margin = parts.number("Distance for expand, shrink and smooth.", 0.1, 100, 0.5, " mm")
        self.island = parts.number("Parts smaller than this volume are islands.", 0.01, 1000, 0.1, " ml", 2)
        self.stack(
            self.on,
            parts.row(*(self.buttons[one] for one in OF_SHAPE)),
            parts.row(*(self.buttons[one] for one in WITH_MARGIN)),
            parts.form(("Distance", self.margin)),
            parts.row(self.buttons[Operation.DROP_ISLANDS], self.island),
        )

    def connect_to(self, operations: Operations) -> None:
        """Pass clicks on to `operations`."""
        self.margin.valueChanged.connect(operations.set_margin)
        self.island.valueChanged.connect(operations.set_island)
        for operation, pressed in self.buttons.items():
            pressed.clicked.connect(lambda _, operation=operation: operations.apply(operation))

    def draw(self, sizes: OperationSizes, on: ClassRow | None, why_not: str) -> None:
        """on : the class that is changed. why_not : why nothing can be done to it, "" if it can."""
        parts.show_text(self.on, "" if on is None else f"On {on.name}:")
        for operation, pressed in self.buttons.items():
            parts.able(pressed, why_not, f"{OPERATIONS[operation][1]} {ONE_STEP}")
        for box, value in ((self.margin, sizes.margin_mm), (self.island, sizes.island_ml)):
            with QSignalBlocker(box):
                box.setValue(value)
