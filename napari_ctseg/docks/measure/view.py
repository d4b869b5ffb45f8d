"""The Measure dock in Qt: draws the state, hands clicks to the controller."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QPushButton

from napari_ctseg import parts
from napari_ctseg.background.timers import single_shot
from napari_ctseg.docks.measure.controller import MeasureController
from napari_ctseg.docks.measure.state import MeasureState
from napari_ctseg.docks.measure.widgets.drawing_section import DrawingSection
from napari_ctseg.docks.measure.widgets.file_section import FileSection
from napari_ctseg.docks.measure.widgets.label_section import LabelSection
from napari_ctseg.docks.measure.widgets.tables import ShapeTable
from napari_ctseg.docks.measure.words import GESTURES
from napari_ctseg.keys import bind, release
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer import orientation

if TYPE_CHECKING:
    import napari

ZOOM_MS = 120  # lines are drawn again when the zoom has rested for so long
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
        self.drawing, self.table, self.probe = DrawingSection(), ShapeTable(), parts.text()
        self.labels, self.files, self.message = LabelSection(), FileSection(), parts.Message()
        top = [self.title, self.sample, self.drawing, self.table, self.probe]
        parts.scrolled(self, [*top, self.labels, self.files, self.message]).addStretch(1)

    def _connect(self) -> None:
        controller = self.controller
        self.sample.clicked.connect(lambda: self._viewer.open_sample("napari-ctseg", "phantom"))
        self.drawing.connect_to(controller)
        self.files.connect_to(controller)
        self.table.picked.connect(controller.go_to)
        self.table.deleted.connect(controller.delete)
        for kind, gesture in GESTURES.items():
            bind(self._viewer, gesture, partial(controller.arm, kind))
        self._viewer.events.theme.connect(self._paint_theme)

    def closed(self) -> None:
        """Give the keys back and let go of the viewer."""
        self._rest.stop()
        for gesture in GESTURES.values():
            release(self._viewer, gesture)
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
        self.drawing.draw(state)
        self.table.draw(state.rows, state.selected, state.unit)
        self.table.setVisible(bool(state.rows))
        self.probe.setVisible(state.image is not None)
        if not self.probe.text():
            self.show_probe("")
        self.labels.draw(state)
        self.files.draw(state)
        self.message.draw(state.message, state.details)

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
        self.drawing.tools.paint_theme(text, theme.current.as_hex(), theme.foreground.as_hex())
        self.table.paint_theme(text)
        self._drawn = None
        self.show(self.controller.state)


def _without_rows(state: MeasureState) -> dict[str, Any]:
    """What is drawn besides the cells of the table."""
    return {**vars(state), "rows": len(state.rows)}
