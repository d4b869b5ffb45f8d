"""The Compare dock in Qt: draws the state, hands clicks to the controller."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
)

from napari_ctseg import parts
from napari_ctseg.docks.compare.controller import CompareController
from napari_ctseg.docks.compare.state import CompareState, Phase
from napari_ctseg.docks.compare.widgets.pair_table import PairTable
from napari_ctseg.docks.compare.widgets.plot import SlicePlot
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.overlays import AGREED, ERROR_COLOURS, EXTRA, MISSED, SWAPPED

if TYPE_CHECKING:
    import napari

IDLE_MS = 500
SWAP = "Swaps prediction and truth. The new truth is locked; the old one stays locked until you unlock it."
NEXT_KEY, MISSED_KEY = "N", "Shift+N"
LEGEND = (
    ("#009E73", "both", AGREED),
    (ERROR_COLOURS[EXTRA], "only predicted", EXTRA),
    (ERROR_COLOURS[MISSED], "missed", MISSED),
    (ERROR_COLOURS[SWAPPED], "other label", SWAPPED),
)


class CompareDock(parts.Dock):
    """Two layers, their table and plot, overlays, and the report."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._waiting: Callable[[], None] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(IDLE_MS)
        self._timer.timeout.connect(self._idle_now)
        self._build()
        self.controller = CompareController(self, viewer, Preferences())
        self._connect()

    # ---- building

    def _build(self) -> None:
        self.empty, self.which = parts.text(), parts.text()
        self.prediction = parts.combo("The label layer that is evaluated.")
        self.truth = parts.combo(
            "The label layer to compare with. A layer chosen here becomes the reference and is locked."
        )
        self.swap = parts.button("⇅ swap", SWAP)
        self.contours, self.errors = QCheckBox("Contours"), QCheckBox("Error map")
        self.tolerance = parts.number(
            "Surface distances up to this count as agreement in the NSD.", 0.0, 20.0, 0.5, " mm"
        )
        self.note, self.message = parts.remark(), parts.text()
        self.table = PairTable()
        self.plot = SlicePlot(lambda index: self.controller.go_to(index))
        self.where = parts.text()
        self.worse = parts.button(f"Worse slice ({NEXT_KEY})", "")
        self.missed = parts.button(f"Missed ({MISSED_KEY})", "")
        self.legend = parts.text()
        self.legend.setText(
            "   ".join(f'<span style="color:{colour}">■</span> {words}' for colour, words, _ in LEGEND)
        )
        self.report = parts.button("Save report…", "")
        self.details = parts.button("Details…", "Shows the full error, for a report.")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Prediction", self.prediction)
        form.addRow("Truth", self.truth)
        tolerance = QFormLayout()
        tolerance.addRow("NSD tolerance", self.tolerance)
        self.controls = parts.group(
            [
                form,
                self.which,
                parts.row(self.contours, self.errors, self.swap),
                self.legend,
                self.note,
                self.table,
                self.plot,
                self.where,
                parts.row(self.worse, self.missed),
                tolerance,
                self.report,
            ]
        )
        column = parts.scrolled(self, [self.empty, self.controls, self.message, self.details])
        column.addStretch()
        self._paint_theme()

    def _connect(self) -> None:
        controller = self.controller
        self.prediction.textActivated.connect(lambda name: controller.choose(prediction=name))
        self.truth.textActivated.connect(lambda name: controller.choose(truth=name))
        self.swap.clicked.connect(controller.swap)
        self.contours.toggled.connect(controller.set_contours)
        self.errors.toggled.connect(controller.set_errors)
        self.tolerance.valueChanged.connect(controller.set_tolerance)
        self.table.picked.connect(self._focus)
        self.worse.clicked.connect(controller.next_worse)
        self.missed.clicked.connect(controller.next_missed)
        self.report.clicked.connect(self._ask_path)
        self.details.clicked.connect(
            lambda: parts.show_details(self, controller.state.message, controller.state.details)
        )
        self._viewer.bind_key(NEXT_KEY, lambda viewer: controller.next_worse(), overwrite=True)
        self._viewer.bind_key(
            MISSED_KEY.replace("+", "-"), lambda viewer: controller.next_missed(), overwrite=True
        )
        self._viewer.events.theme.connect(self._paint_theme)

    def closed(self) -> None:
        """Release the keys and disconnect from the viewer."""
        self._timer.stop()
        for key in (NEXT_KEY, MISSED_KEY.replace("+", "-")):
            self._viewer.bind_key(key, None, overwrite=True)
        self.controller.close()

    # ---- drawing

    def show(self, state: CompareState | None = None) -> None:
        """Draw `state`; without one, Qt's own show()."""
        if state is None:
            super().show()
            return
        why_not = state.why_not
        parts.show_text(self.empty, state.empty)
        self.controls.setVisible(not state.empty)
        parts.fill(self.prediction, state.layers, state.prediction)
        parts.fill(self.truth, state.layers, state.truth)
        parts.show_text(self.which, state.which)
        self.which.mark(state.truth_guessed)
        for box, on, tip in (
            (
                self.contours,
                state.contours,
                "Outlines instead of filled labels: prediction solid, truth dashed.",
            ),
            (
                self.errors,
                state.errors,
                "A layer in which both agree (faint green), only the prediction (orange) or only the truth "
                "(blue) has a label, or they have different ones (pink).",
            ),
        ):
            with QSignalBlocker(box):
                box.setChecked(on)
            parts.able(box, "" if on else why_not, tip)
        self.legend.setVisible(state.errors)
        with QSignalBlocker(self.tolerance):
            self.tolerance.setValue(state.tolerance_mm)
        parts.able(self.swap, "" if state.prediction and state.truth else why_not, SWAP)
        parts.able(
            self.worse,
            why_not,
            f"Goes to the slice that is next better than this one, beginning with the worst. Key: {NEXT_KEY}",
        )
        parts.able(
            self.missed,
            why_not,
            "Goes to the next slice where the truth has a label that is not predicted at all. Key: "
            f"{MISSED_KEY}",
        )
        parts.able(
            self.report,
            why_not or ("The report is being written." if state.saving else ""),
            "Writes the table as CSV or JSON, or one HTML page with pictures of the worst slices; the ending "
            "decides.",
        )
        parts.show_text(self.note, state.note)
        counting = "Counting…" if state.phase is Phase.COUNTING else ""
        parts.show_text(self.message, counting or state.message or (why_not if len(state.layers) > 1 else ""))
        self.message.mark(state.phase is Phase.FAILED)
        self.details.setVisible(bool(state.details))
        for widget in (self.table, self.plot, self.where):
            widget.setVisible(bool(state.rows))
        self.table.draw(state)
        self.plot.draw(state.curves, state.slice_count, state.focus)
        self.move_cursor(state.slice_index)

    def move_cursor(self, index: int) -> None:
        """Move the plot's cursor and update the line below it."""
        self.plot.move(index)
        state = self.controller.state if hasattr(self, "controller") else None
        if state is None or not state.curves:
            return
        here = [
            f"{curve.name} {curve.dice[index]:.2f}"
            for curve in state.curves
            if index < len(curve.dice) and not math.isnan(curve.dice[index])
        ]
        self.where.setText(f"Slice {index + 1}/{state.slice_count}: {', '.join(here) or 'no label'}")

    def idle(self, then: Callable[[], None]) -> None:
        """Call `then` after IDLE_MS without another call."""
        self._waiting = then
        self._timer.start()

    def _idle_now(self) -> None:
        if self._waiting is not None:
            self._waiting()

    def _focus(self, value: int) -> None:
        """Show one label alone; a second click shows all again."""
        self.controller.set_focus(None if value == self.controller.state.focus else value)

    def _paint_theme(self, event: object = None) -> None:
        from napari.utils.theme import get_theme

        theme = get_theme(self._viewer.theme)
        self.plot.paint_theme(theme.background.as_hex(), theme.text.as_hex())
        self.table.paint_theme(theme.text.as_hex())
        if hasattr(self, "controller"):
            self.table.draw(self.controller.state)

    def _ask_path(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Save report", "report.html", "Web page (*.html);;Table (*.csv);;Data (*.json)"
        )
        if name:
            self.controller.save(Path(name))
