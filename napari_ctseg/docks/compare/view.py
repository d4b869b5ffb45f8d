"""The Compare dock in Qt: draws the state, hands clicks to the controller."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, QSize, Qt, QTimer
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
)

from napari_ctseg import parts
from napari_ctseg.docks.compare.controller import CompareController
from napari_ctseg.docks.compare.state import CompareState, Phase, Row, Surface
from napari_ctseg.docks.compare.widgets.plot import SlicePlot
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.overlays import AGREED, ERROR_COLOURS, EXTRA, MISSED, SWAPPED

if TYPE_CHECKING:
    import napari

HEADERS = (
    ("label", "The label. Click a row to see its errors and its line alone; click it again for all."),
    ("Dice", "Overlap of prediction and truth, 0 to 1; follows the brush."),
    ("HD95", "95 % of both surfaces lie nearer to each other than this, in mm. Grey: being measured."),
    ("NSD", "Share of both surfaces within the tolerance of each other, 0 to 1. Grey: being measured."),
    ("pred", "Predicted volume in ml."),
    ("truth", "True volume in ml."),
    ("diff", "Predicted minus true volume in ml."),
)
IDLE_MS = 500
NONE, FAINT = "–", 0.5  # where there is nothing to measure; how much of the text's colour is left then
WIDTHS = (34, 38, 34, 36, 36, 38)  # px of the numbers' columns; the names take the rest
SWAP = (
    "The prediction becomes the truth and is locked; the truth becomes the prediction and stays locked "
    "until you unlock it."
)
NEXT_KEY, MISSED_KEY = "N", "Shift+N"
LEGEND = (
    ("#009E73", "both", AGREED),
    (ERROR_COLOURS[EXTRA], "only predicted", EXTRA),
    (ERROR_COLOURS[MISSED], "missed", MISSED),
    (ERROR_COLOURS[SWAPPED], "other label", SWAPPED),
)


class CompareDock(parts.Dock):
    """Two layers, table, plot, overlays, report."""

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
        self.prediction = parts.combo("The label layer that is judged.")
        self.truth = parts.combo(
            "The label layer that it is measured against. A layer chosen here is the reference and gets "
            "locked."
        )
        self.swap = parts.button("⇅ swap", SWAP)
        self.contours, self.errors = QCheckBox("Contours"), QCheckBox("Error map")
        self.tolerance = parts.number(
            "NSD counts surfaces this near to each other as the same.", 0.0, 20.0, 0.5, " mm"
        )
        self.note, self.message = parts.remark(), parts.text()
        self.table = _table()
        self.plot = SlicePlot(lambda index: self.controller.go_to(index))
        self.where = parts.text()
        self.worse = parts.button(f"Worse slice ({NEXT_KEY})", "")
        self.missed = parts.button(f"Missed ({MISSED_KEY})", "")
        self.legend = parts.text()
        self.legend.setText(
            "   ".join(f'<span style="color:{colour}">■</span> {words}' for colour, words, _ in LEGEND)
        )
        self.report = parts.button("Save report…", "")
        self.details = parts.button("Details…", "Shows what exactly went wrong, for a report.")
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
        self.table.cellClicked.connect(self._row_clicked)
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
        """Give the keys back and let go of the viewer."""
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
        parts.say(self.empty, state.empty)
        self.controls.setVisible(not state.empty)
        parts.fill(self.prediction, state.layers, state.prediction)
        parts.fill(self.truth, state.layers, state.truth)
        parts.say(self.which, state.which)
        self.which.mark(state.truth_guessed)
        for box, on, tip in (
            (self.contours, state.contours, "Outlines instead of areas: prediction solid, truth dashed."),
            (
                self.errors,
                state.errors,
                "A layer in which both agree (faint green), only the prediction (orange) or only "
                "the truth (blue) has a label, or they have different ones (pink).",
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
        parts.say(self.note, state.note)
        counting = "Counting…" if state.phase is Phase.COUNTING else ""
        parts.say(self.message, counting or state.message or (why_not if len(state.layers) > 1 else ""))
        self.message.mark(state.phase is Phase.FAILED)
        self.details.setVisible(bool(state.details))
        for widget in (self.table, self.plot, self.where):
            widget.setVisible(bool(state.rows))
        self._draw_rows(state)
        self.plot.draw(state.curves, state.slice_count, state.focus)
        self.move_cursor(state.slice_index)

    def move_cursor(self, index: int) -> None:
        """Cursor and the line of words below the plot."""
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
        """Call `then` once nobody has asked for IDLE_MS."""
        self._waiting = then
        self._timer.start()

    def _idle_now(self) -> None:
        if self._waiting is not None:
            self._waiting()

    def _draw_rows(self, state: CompareState) -> None:
        with QSignalBlocker(self.table):
            self.table.setRowCount(len(state.rows))
            for k, row in enumerate(state.rows):
                self._draw_row(k, row, row.value == state.focus)
        header = self.table.horizontalHeader()
        for column, width in enumerate(WIDTHS, start=1):
            header.resizeSection(column, width)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        height = (
            self.table.horizontalHeader().height()
            + sum(self.table.rowHeight(k) for k in range(len(state.rows)))
            + 4
        )
        self.table.setFixedHeight(min(height, 260))

    def _draw_row(self, k: int, row: Row, focused: bool) -> None:
        hd95, nsd = (_distance(row.hd95_mm), _score(row.nsd)) if row.measured else (NONE, NONE)
        words = (
            row.name,
            _score(row.dice),
            hd95,
            nsd,
            _ml(row.volume_pred_ml),
            _ml(row.volume_truth_ml),
            _signed(row.difference_ml),
        )
        exact = _exact(row)
        for column, word in enumerate(words):
            if (item := self.table.item(k, column)) is None:
                item = QTableWidgetItem()
                self.table.setItem(k, column, item)
            item.setText(word)
            item.setToolTip(
                f"{row.name}: {exact[column]}" if column else ", ".join(filter(None, (row.name, row.note)))
            )
            if column == 0:
                item.setIcon(parts.swatch(row.colour))
                item.setData(Qt.ItemDataRole.UserRole, row.value)
            else:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            waiting = column in (2, 3) and row.measured and row.surface is Surface.WAITING
            item.setForeground(self._faint if waiting or not row.measured else QBrush())  # none: the theme's
            font = item.font()
            font.setBold(focused)
            item.setFont(font)

    def _row_clicked(self, k: int, column: int) -> None:
        value = self.table.item(k, 0).data(Qt.ItemDataRole.UserRole)
        self.controller.set_focus(None if value == self.controller.state.focus else value)

    def _paint_theme(self, event: object = None) -> None:
        from napari.utils.theme import get_theme

        theme = get_theme(self._viewer.theme)
        self.plot.paint_theme(theme.background.as_hex(), theme.text.as_hex())
        colour = QColor(theme.text.as_hex())
        colour.setAlphaF(FAINT)
        self._faint = QBrush(colour)
        if hasattr(self, "controller"):
            self._draw_rows(self.controller.state)

    def _ask_path(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Save report", "report.html", "Web page (*.html);;Table (*.csv);;Data (*.json)"
        )
        if name:
            self.controller.save(Path(name))


def _table() -> QTableWidget:
    table = QTableWidget(0, len(HEADERS))
    for column, (word, tip) in enumerate(HEADERS):
        item = QTableWidgetItem(word)
        item.setToolTip(tip)
        table.setHorizontalHeaderItem(column, item)
    table.verticalHeader().hide()
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
    table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.setStyleSheet(
        "QTableWidget { font-size: 11px; } QTableWidget::item { padding: 0; } "
        "QHeaderView::section { font-size: 11px; padding: 1px; }"
    )
    table.setIconSize(QSize(8, 12))
    table.horizontalHeader().setMinimumSectionSize(24)
    table.verticalHeader().setDefaultSectionSize(19)
    table.setToolTip("Click a row to see one label alone.")
    return table


def _score(value: float | None) -> str:
    return "…" if value is None else NONE if math.isnan(value) else f"{value:.2f}"


def _distance(value: float | None) -> str:
    return (
        "…" if value is None else NONE if math.isnan(value) else "∞" if math.isinf(value) else f"{value:.1f}"
    )


def _ml(value: float) -> str:
    return f"{value:.1f}" if abs(value) < 9.95 else f"{value:.0f}"


def _signed(value: float) -> str:
    return f"{value:+.1f}" if abs(value) < 9.95 else f"{value:+.0f}"


def _exact(row: Row) -> tuple[str, ...]:
    """What the narrow cells round off."""
    if not row.measured:
        dice = hd95 = nsd = row.note
    else:
        dice = f"{row.dice:.4f}"
        hd95, nsd = (
            "not measured yet"
            if value is None
            else f"{value:.{digits}f}{unit}"
            if math.isfinite(value)
            else row.note
            for value, digits, unit in ((row.hd95_mm, 2, " mm"), (row.nsd, 4, ""))
        )
    return (
        row.name,
        f"Dice {dice}",
        f"HD95 {hd95}",
        f"NSD {nsd}",
        f"Predicted: {row.volume_pred_ml:.3f} ml",
        f"True: {row.volume_truth_ml:.3f} ml",
        f"Difference: {row.difference_ml:+.3f} ml",
    )
