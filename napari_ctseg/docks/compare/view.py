"""The Compare dock in Qt: draws the state, hands clicks to the controller."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_ctseg import parts
from napari_ctseg.docks.compare.controller import CompareController
from napari_ctseg.docks.compare.state import CompareState, Phase
from napari_ctseg.docks.compare.widgets.component_section import ComponentSection
from napari_ctseg.docks.compare.widgets.pair_section import PairSection
from napari_ctseg.docks.compare.widgets.report_section import ReportSection
from napari_ctseg.docks.compare.widgets.score_section import ScoreSection
from napari_ctseg.keys import bind, release
from napari_ctseg.keys import table as keys
from napari_ctseg.preferences import Preferences

if TYPE_CHECKING:
    import napari

IDLE_MS = 500


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

    def _build(self) -> None:
        self.empty, self.message = parts.text(), parts.Message()
        self.pair, self.scores, self.report = PairSection(), ScoreSection(), ReportSection()
        self.components = ComponentSection()
        self.controls = parts.group([self.pair, self.scores, self.components, self.report])
        parts.scrolled(self, [self.empty, self.controls, self.message]).addStretch(1)
        self._paint_theme()

    def _connect(self) -> None:
        for section in (self.pair, self.scores, self.components, self.report):
            section.connect_to(self.controller)
        navigation = self.controller.navigation
        listing = self.controller.listing
        bind(self._viewer, keys.WORSE, navigation.next_worse)
        bind(self._viewer, keys.MISSED, navigation.next_missed)
        bind(self._viewer, keys.NEXT_ROW, lambda: listing.step(1))
        bind(self._viewer, keys.LAST_ROW, lambda: listing.step(-1))
        self._viewer.events.theme.connect(self._paint_theme)

    def closed(self) -> None:
        """Release the keys and disconnect from the viewer."""
        self._timer.stop()
        for gesture in (keys.WORSE, keys.MISSED, keys.NEXT_ROW, keys.LAST_ROW):
            release(self._viewer, gesture)
        self.controller.close()

    # ---- drawing

    def show(self, state: CompareState | None = None) -> None:
        """Draw `state`; without one, Qt's own show()."""
        if state is None:
            super().show()
            return
        why_not = state.why_not
        parts.show_text(self.empty, state.pair.empty)
        self.controls.setVisible(not state.pair.empty)
        self.pair.draw(state.pair, state.overlays, why_not)
        self.scores.draw(state)
        self.components.draw(state.components, why_not)
        saving = "The report is being written." if state.saving else ""
        self.report.draw(state.scores, why_not or saving)
        counting = "Counting…" if state.phase is Phase.COUNTING else ""
        message = counting or state.message or ("" if state.pair.empty else why_not)
        self.message.draw(message, state.details, remark=state.phase is Phase.FAILED)

    def move_cursor(self, index: int) -> None:
        """Move the plot's cursor and update the line below it."""
        self.scores.move_cursor(index)

    def idle(self, then: Callable[[], None]) -> None:
        """Call `then` after IDLE_MS without another call."""
        self._waiting = then
        self._timer.start()

    def _idle_now(self) -> None:
        if self._waiting is not None:
            self._waiting()

    def _paint_theme(self, event: object = None) -> None:
        from napari.utils.theme import get_theme

        self.scores.paint_theme(get_theme(self._viewer.theme))
