"""The Measure dock in Qt: draws the state, hands clicks to the controller."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QCheckBox, QFileDialog, QPushButton

from napari_ctseg import parts
from napari_ctseg.background.timers import single_shot
from napari_ctseg.docks.measure.controller import MeasureController
from napari_ctseg.docks.measure.state import MeasureState
from napari_ctseg.docks.measure.widgets.tables import LabelTable, ShapeTable
from napari_ctseg.docks.measure.widgets.tool_buttons import ToolButtons
from napari_ctseg.docks.measure.words import HINTS, KEYS
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer import orientation

if TYPE_CHECKING:
    import napari

ZOOM_MS = 120  # lines are drawn again when the zoom has rested for so long
FILES = {"Table (*.csv)": ".csv", "Data (*.json)": ".json"}
EMPTY = "Choose a tool and draw on the image; the value appears next to the shape and in this table."
ADJUST = "Drag an end, a corner or a line to change a shape. Delete removes it, Ctrl+Z undoes a step."
PROBE = "Point at the image to see the value and the patient position (LPS)."


class MeasureDock(parts.Dock):
    """Tools, what was measured, the labels of the mask, and the value under the cursor."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._rest = single_shot(ZOOM_MS, self._zoom_rests)
        self._drawn: MeasureState | None = None
        self._build()
        orientation.attach(viewer)
        self.controller = MeasureController(self, viewer, Preferences())
        self._connect()
        self._paint_theme()

    # ---- building

    def _build(self) -> None:
        self.title = parts.text()
        self.sample = QPushButton("Open the phantom CT")
        self.sample.setToolTip("Opens the sample CT, as File > Open Sample does.")
        self.tools, self.hint = ToolButtons(), parts.text()
        self.keep = QCheckBox("Keep the tool")
        self.keep.setToolTip("The tool stays active after a measurement; Esc deactivates it.")
        self.undo = parts.button("Undo", "")
        self.delete = parts.button("Delete", "")
        self.table, self.probe = ShapeTable(), parts.text()
        self.save, self.open = parts.button("Save…", ""), parts.button("Open…", "")
        self.labels_title, self.labels = parts.text(), LabelTable()
        self.labels_note, self.message = parts.remark(), parts.text()
        self.details = parts.button("Details…", "Shows the full error, for a report.")
        column = parts.scrolled(
            self,
            [
                self.title,
                self.sample,
                self.tools,
                self.hint,
                parts.row(self.keep, self.undo, self.delete),
                self.table,
                self.probe,
                self.labels_title,
                self.labels,
                self.labels_note,
                parts.row(self.save, self.open),
                self.message,
                self.details,
            ],
        )
        column.addStretch()

    def _connect(self) -> None:
        controller = self.controller
        self.sample.clicked.connect(lambda: self._viewer.open_sample("napari-ctseg", "phantom"))
        self.tools.picked.connect(controller.arm)
        self.keep.toggled.connect(controller.set_keep_tool)
        self.undo.clicked.connect(controller.undo)
        self.delete.clicked.connect(lambda: controller.delete())
        self.table.picked.connect(controller.go_to)
        self.table.deleted.connect(controller.delete)
        self.save.clicked.connect(self._ask_where)
        self.open.clicked.connect(self._ask_which)
        self.details.clicked.connect(
            lambda: parts.show_details(self, controller.state.message, controller.state.details)
        )
        for kind, key in KEYS.items():
            press = self._pressing(kind)
            self._viewer.bind_key(key.replace("+", "-"), press, overwrite=True)
        self._viewer.events.theme.connect(self._paint_theme)

    def _pressing(self, kind: Any) -> Any:
        return lambda viewer: self.controller.arm(kind)

    def closed(self) -> None:
        """Give the keys back and let go of the viewer."""
        self._rest.stop()
        for key in KEYS.values():
            self._viewer.bind_key(key.replace("+", "-"), None, overwrite=True)
        self._viewer.events.theme.disconnect(self._paint_theme)
        self.controller.close()

    def showEvent(self, event: QShowEvent) -> None:
        """Qt shows the dock: labels are counted and the probe follows the cursor."""
        super().showEvent(event)
        self.controller.set_visible(True)

    def hideEvent(self, event: QHideEvent) -> None:
        """Another dock is in front."""
        super().hideEvent(event)
        self.controller.set_visible(False)

    # ---- drawing

    def show(self, state: MeasureState | None = None) -> None:
        """Draw `state`; without one, Qt's own show()."""
        if state is None:
            super().show()
            return
        before, self._drawn = self._drawn, state
        if before is not None and before.rows != state.rows:
            self.table.draw(state.rows, state.selected, state.unit)  # all that changes in a drag
        if before is None or _without_rows(before) != _without_rows(state):
            self._draw_rest(state)

    def _draw_rest(self, state: MeasureState) -> None:
        self.title.setText(f"<b>{state.image}</b>" if state.image is not None else state.why_not)
        self.sample.setVisible(state.image is None)
        self.tools.draw(state.tool, state.why_not)
        hint = HINTS[state.tool] if state.tool is not None else ADJUST if state.rows else EMPTY
        parts.show_text(self.hint, state.refused or ("" if state.image is None else hint))
        with QSignalBlocker(self.keep):
            self.keep.setChecked(state.keep_tool)
        nothing = "" if state.can_undo else "Nothing has been drawn yet."
        parts.able(self.undo, nothing, "Undoes the last shape, change or removal. Key: Ctrl+Z")
        unselected = "" if state.selected is not None else "Select a row or a shape first."
        parts.able(self.delete, unselected, "Removes the selected measurement. Key: Delete")
        self.table.draw(state.rows, state.selected, state.unit)
        self.table.setVisible(bool(state.rows))
        self.probe.setVisible(state.image is not None)
        if not self.probe.text():
            self.show_probe("")
        self._draw_labels(state)
        tip = "Writes all measurements and the labels' values as a table (CSV) or data (JSON)."
        parts.able(self.save, state.why_not_save, tip)
        parts.able(self.open, state.why_not, "Adds the measurements from a saved file.")
        parts.show_text(self.message, state.message)
        self.details.setVisible(bool(state.details))

    def _draw_labels(self, state: MeasureState) -> None:
        counting = " – counting…" if state.counting and not state.labels else ""
        title = "" if state.mask is None else f"Labels of <b>{state.mask}</b>{counting}"
        parts.show_text(self.labels_title, title)
        self.labels.draw(state.labels, state.unit)
        self.labels.setVisible(bool(state.labels))
        parts.show_text(self.labels_note, state.labels_note if state.mask is not None else "")

    def show_probe(self, text: str) -> None:
        """The value under the cursor."""
        self.probe.setText(text or PROBE)

    def zoomed(self) -> None:
        """Draw lines again once the zoom rests."""
        self._rest.start()

    def _zoom_rests(self) -> None:
        self.controller.sheet.fit_zoom()

    def _paint_theme(self, event: object = None) -> None:
        from napari.utils.theme import get_theme

        theme = get_theme(self._viewer.theme)
        text = theme.text.as_hex()
        self.tools.paint_theme(text, theme.current.as_hex(), theme.foreground.as_hex())
        self.table.paint_theme(text)
        self._drawn = None
        self.show(self.controller.state)

    # ---- files

    def _ask_where(self) -> None:
        name, chosen = QFileDialog.getSaveFileName(
            self, "Save measurements", "measurements.csv", ";;".join(FILES)
        )
        if name:
            path = Path(name)
            asked = path.suffix.lower() in FILES.values()  # the dialog asked about this name and no other
            self.controller.save(path if asked else Path(name + FILES.get(chosen, ".csv")), overwrite=asked)

    def _ask_which(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open measurements", "", "Measurements (*.csv *.json)")
        if name:
            self.controller.open(Path(name))


def _without_rows(state: MeasureState) -> dict[str, Any]:
    """What is drawn besides the cells of the table."""
    return {**vars(state), "rows": len(state.rows)}
