"""The Correct & export dock in Qt: draws the state, hands clicks to the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QButtonGroup, QCheckBox, QFormLayout, QInputDialog

from napari_ctseg import parts
from napari_ctseg.docks.correct import words
from napari_ctseg.docks.correct.controller import CorrectController
from napari_ctseg.docks.correct.state import CorrectState, Operation, Tool
from napari_ctseg.docks.correct.widgets.class_table import ClassTable, StepList
from napari_ctseg.export.view import ask_where
from napari_ctseg.preferences import Preferences

if TYPE_CHECKING:
    import napari

TOOLS = {
    Tool.PAN: ("Pan", "Move and zoom. Key: 6 or Z"),
    Tool.PAINT: ("Paint", "Paint the selected class. Key: 2 or P"),
    Tool.ERASE: ("Erase", "Paint background. Key: 1 or E"),
    Tool.FILL: ("Fill", "Fill the clicked area. Key: 4 or F"),
    Tool.PICK: ("Pick", "Select the clicked class. Key: 5 or L"),
}
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
    Operation.GROW: ("Grow", "Adds the background within the distance."),
    Operation.SHRINK: ("Shrink", "Removes voxels within the distance of the border."),
    Operation.SMOOTH: ("Smooth", "Smooths the surface over the distance; flat parts stay unchanged."),
}


class CorrectDock(parts.Dock):
    """Mask, tools, classes, operations, recovery and export."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._build()
        self.controller = CorrectController(self, viewer, Preferences())
        self._connect()
        self.show(self.controller.state)

    # ---- building

    def _build(self) -> None:
        self.empty, self.offer, self.note, self.message, self.saved = (
            parts.text(),
            parts.remark(),
            parts.remark(),
            parts.text(),
            parts.text(),
        )
        self.begin = parts.button("New empty mask", "Adds an empty mask on the image's grid.")
        self.restore = parts.button(
            "Restore", "Opens the newest saved edits as a new mask, with their undo steps."
        )
        self.others = parts.button(
            "All…", "Lists the saved and discarded edits of this image, with previews."
        )
        self.layer = parts.combo("The label layer that the tools edit.")
        self.which = parts.text()
        self.copy = parts.button(
            "Correct a copy",
            "Adds a copy of the locked layer to correct; the layer itself stays unchanged.",
        )
        self.padlock = parts.button("Unlock", "")
        self.take_over = parts.button("Take over", "Edit here; the other viewer becomes read-only.")
        self.tools = {tool: parts.button(words, tip) for tool, (words, tip) in TOOLS.items()}
        self._group = QButtonGroup(self)
        for tool in self.tools.values():
            tool.setCheckable(True)
            self._group.addButton(tool)
        self.brush = parts.number(
            "Diameter of the brush, in steps of whole voxels. Keys: [ and ]", 0.1, 200, 1, " mm"
        )
        self.ball = QCheckBox("3D")
        self.ball.setToolTip("The brush is a ball that also paints the neighbouring slices.")
        self.only_background = QCheckBox("Only on background")
        self.only_background.setToolTip("The brush does not overwrite other classes. Key: B")
        self.window = QCheckBox("Only HU")
        self.low = parts.number("The lowest image value that the brush changes.", -5000, 20000, 10, "", 0)
        self.high = parts.number("The highest image value that the brush changes.", -5000, 20000, 10, "", 0)
        self.table = ClassTable()
        self.add = parts.button("Add class…", "Adds a class with the next free value.")
        self.undo = parts.button("↶ Undo", "Undoes the last stroke or operation. Key: Ctrl+Z")
        self.redo = parts.button("↷ Redo", "Redoes the last undone step. Key: Ctrl+Shift+Z")
        self.steps = StepList()
        self.operations = {
            operation: parts.button(words, tip) for operation, (words, tip) in OPERATIONS.items()
        }
        self.margin = parts.number("Distance for grow, shrink and smooth.", 0.1, 100, 0.5, " mm")
        self.island = parts.number("Parts smaller than this volume are islands.", 0.01, 1000, 0.1, " ml", 2)
        self.export = parts.button("Export…", "")
        self.details = parts.button("Details…", "Shows the full error, for a report.")
        self._lay_out()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Mask", self.layer)
        brush = QFormLayout()
        brush.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        brush.addRow("Brush", parts.row(self.brush, self.ball))
        brush.addRow(self.window, parts.row(self.low, self.high))
        brush.addRow(self.only_background)
        self.on = parts.text()
        of = self.operations
        lines = (
            parts.row(of[Operation.FILL_HOLES], of[Operation.FILL_BETWEEN], of[Operation.COPY_UP]),
            parts.row(of[Operation.GROW], of[Operation.SHRINK], of[Operation.SMOOTH], self.margin),
            parts.row(of[Operation.DROP_ISLANDS], self.island),
        )
        column = parts.scrolled(
            self,
            [
                self.empty,
                self.begin,
                self.offer,
                parts.row(self.restore, self.others),
                form,
                self.which,
                self.take_over,
                parts.row(self.copy, self.padlock),
                parts.row(*self.tools.values()),
                brush,
                self.table,
                parts.row(self.add, self.undo, self.redo),
                self.steps,
                self.note,
                self.on,
                *lines,
                self.export,
                self.saved,
                self.message,
                self.details,
            ],
        )
        column.addStretch()

    def _connect(self) -> None:
        controller = self.controller
        self.begin.clicked.connect(lambda: controller.begin_empty())
        self.restore.clicked.connect(controller.steps.restore)
        self.others.clicked.connect(controller.steps.list_kept)
        self.steps.itemClicked.connect(lambda item: controller.steps.go_to_step(self.steps.row(item)))
        self.layer.textActivated.connect(controller.choose)
        self.copy.clicked.connect(controller.correct_copy)
        self.take_over.clicked.connect(controller.take_over)
        self.padlock.clicked.connect(lambda: controller.set_lock(not controller.state.padlock_closed))
        for tool, pressed in self.tools.items():
            pressed.clicked.connect(lambda _, tool=tool: controller.brush.set_tool(tool))
        self.brush.valueChanged.connect(controller.brush.set_diameter)
        self.ball.toggled.connect(controller.brush.set_3d)
        self.only_background.toggled.connect(controller.brush.set_only_background)
        for signal in (self.window.toggled, self.low.valueChanged, self.high.valueChanged):
            signal.connect(
                lambda _: controller.brush.set_window(
                    self.window.isChecked(), self.low.value(), self.high.value()
                )
            )
        self.table.chosen.connect(controller.brush.select)
        self.table.lock.connect(controller.brush.lock)
        self.add.clicked.connect(self._ask_name)
        self.undo.clicked.connect(controller.steps.undo)
        self.redo.clicked.connect(controller.steps.redo)
        self.margin.valueChanged.connect(controller.operations.set_margin)
        self.island.valueChanged.connect(controller.operations.set_island)
        for operation, pressed in self.operations.items():
            pressed.clicked.connect(lambda _, operation=operation: controller.operations.apply(operation))
        self.export.clicked.connect(self._ask_path)
        self.details.clicked.connect(
            lambda: parts.show_details(self, controller.state.message, controller.state.details)
        )

    def closed(self) -> None:
        """Save the last edits for recovery and disconnect from the viewer."""
        self.controller.close()

    # ---- drawing

    def show(self, state: CorrectState | None = None) -> None:
        """Draw `state`; without one, Qt's own show()."""
        if state is None:
            super().show()
            return
        why_not = state.why_not
        parts.show_text(
            self.empty, "Run a model or open a label map to correct it here." if not state.layers else ""
        )
        self.begin.setVisible(not state.layers)
        parts.fill(self.layer, state.layers, state.layer)
        self._draw_which(state)
        parts.show_text(self.offer, words.offer(state.kept))
        self.restore.setVisible(bool(state.kept))
        self.others.setVisible(bool(state.kept))
        self.steps.draw(state.steps, state.step)
        self._draw_tools(state, why_not)
        self.table.draw(state.classes, state.selected, state.truth is not None)
        for operation, pressed in self.operations.items():
            parts.able(
                pressed,
                state.operation_why_not,
                f"{OPERATIONS[operation][1]} One undo step; locked classes stay unchanged.",
            )
        chosen = next((row.name for row in state.classes if row.value == state.selected), "")
        parts.show_text(self.on, f"On {chosen}:" if chosen else "")
        parts.able(self.add, why_not, "Adds a class with the next free value.")
        parts.able(self.undo, why_not, "Undoes the last stroke or operation. Key: Ctrl+Z")
        parts.able(self.redo, why_not, "Redoes the last undone step. Key: Ctrl+Shift+Z")
        no_export = "" if state.locked or state.in_use else why_not
        parts.able(
            self.export,
            no_export or ("An export is running." if state.exporting else ""),
            "Writes the mask as NIfTI, NRRD, MetaImage, DICOM SEG or RTSTRUCT with the image's geometry, and "
            "its history as NAME.provenance.json next to it.",
        )
        parts.show_text(self.note, state.note)
        parts.show_text(self.saved, state.saved)
        parts.show_text(self.message, f"{state.working.capitalize()}…" if state.working else state.message)
        self.message.mark(bool(state.details))
        self.details.setVisible(bool(state.details))

    def _draw_which(self, state: CorrectState) -> None:
        parts.show_text(self.which, state.which)
        self.which.mark(bool(state.reference_at_risk or state.layer is None or state.in_use))
        self.take_over.setVisible(bool(state.in_use))
        self.copy.setVisible(state.to_copy is not None)
        self.copy.setText(f"Correct a copy of “{state.to_copy}”")
        self.padlock.setVisible(state.padlock is not None)
        self.padlock.setText(f"{'Unlock' if state.padlock_closed else 'Lock'} “{state.padlock}”")
        self.padlock.setToolTip(
            "The padlock of napari's layer list. While it is closed, no tool, operation or undo changes the "
            "layer."
        )

    def _draw_tools(self, state: CorrectState, why_not: str) -> None:
        self._group.setExclusive(state.tool is not None)
        for tool, pressed in self.tools.items():
            pressed.setChecked(tool is state.tool)
            parts.able(pressed, why_not, TOOLS[tool][1])
        for box, value in (
            (self.brush, state.brush_mm),
            (self.low, state.window_low_hu),
            (self.high, state.window_high_hu),
            (self.margin, state.margin_mm),
            (self.island, state.island_ml),
        ):
            with QSignalBlocker(box):
                box.setValue(value)
        self.brush.setSingleStep(max(0.1, state.brush_step_mm))
        for check, on in (
            (self.ball, state.brush_3d),
            (self.only_background, state.only_background),
            (self.window, state.window_on),
        ):
            with QSignalBlocker(check):
                check.setChecked(on)
        parts.able(self.brush, why_not, "Diameter of the brush, in steps of whole voxels. Keys: [ and ]")
        parts.able(self.ball, why_not, "The brush is a ball that also paints the neighbouring slices.")
        parts.able(self.only_background, why_not, "The brush does not overwrite other classes. Key: B")
        parts.able(
            self.window,
            why_not or state.window_why_not,
            "The brush changes only voxels whose image value lies in this range.",
        )
        off = "" if state.window_on else 'Tick "Only HU" first.'
        parts.able(
            self.low, why_not or state.window_why_not or off, "The lowest image value that the brush changes."
        )
        parts.able(
            self.high,
            why_not or state.window_why_not or off,
            "The highest image value that the brush changes.",
        )

    def _ask_name(self) -> None:
        name, agreed = QInputDialog.getText(self, "Add class", "Name of the class")
        if agreed:
            self.controller.add_class(name)

    def _ask_path(self) -> None:
        path = ask_where(self, "Export mask", self.controller.image_volume())
        if path is not None:
            self.controller.save(path)
