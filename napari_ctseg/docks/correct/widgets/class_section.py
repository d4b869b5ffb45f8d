"""The classes of the mask in the Correct & export dock, and what was done to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QInputDialog

from napari_ctseg import parts
from napari_ctseg.docks.correct.widgets.class_table import ClassTable, StepList

if TYPE_CHECKING:
    from napari_ctseg.docks.correct.controller import CorrectController
    from napari_ctseg.docks.correct.state import CorrectState


class ClassSection(parts.Section):
    """The table of classes, undo and redo, and the list of steps."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.steps, self.note = ClassTable(), StepList(), parts.remark()
        self.add = parts.button("Add class…", "")
        self.undo = parts.button("↶ Undo", "")
        self.redo = parts.button("↷ Redo", "")
        self.stack(self.table, parts.row(self.add, self.undo, self.redo), self.steps, self.note)

    def connect_to(self, controller: CorrectController) -> None:
        """Pass clicks on to `controller`."""
        self.table.chosen.connect(controller.brush.select)
        self.table.lock.connect(controller.brush.lock)
        self.add.clicked.connect(lambda: self._ask_name(controller))
        self.undo.clicked.connect(controller.steps.undo)
        self.redo.clicked.connect(controller.steps.redo)
        self.steps.itemClicked.connect(lambda item: controller.steps.go_to_step(self.steps.row(item)))

    def draw(self, state: CorrectState) -> None:
        """Show the classes with their numbers, and the steps."""
        classes, why_not = state.classes, state.mask.why_not
        self.table.draw(classes.rows, classes.selected, state.mask.truth is not None)
        parts.able(self.add, why_not, "Adds a class with the next free value.")
        parts.able(self.undo, why_not, "Undoes the last stroke or operation. Key: Ctrl+Z")
        parts.able(self.redo, why_not, "Redoes the last undone step. Key: Ctrl+Shift+Z")
        self.steps.draw(state.steps.lines, state.steps.done)
        parts.show_text(self.note, classes.note)

    def _ask_name(self, controller: CorrectController) -> None:
        name, agreed = QInputDialog.getText(self, "Add class", "Name of the class")
        if agreed:
            controller.add_class(name)
