"""The numbers of the Compare dock, and the way to the slices that they are about."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ctseg_imaging.volume import slice_number
from napari_ctseg import parts
from napari_ctseg.docks.compare.state import CompareState, WorseBy
from napari_ctseg.docks.compare.widgets.pair_table import PairTable
from napari_ctseg.docks.compare.widgets.plot import SlicePlot
from napari_ctseg.keys import table as keys

if TYPE_CHECKING:
    from napari.utils.theme import Theme

    from napari_ctseg.docks.compare.controller import CompareController

FEW = 3  # doubts that are shown; the tooltip has all
WORSE = (
    f"Goes to the slice that is next better than this one, beginning with the worst. Key: {keys.WORSE.name}"
)
WORSE_BY = (
    "What makes a slice worse: a lower Dice, which small structures decide, or a larger area with "
    "another label than in the truth."
)
MISSED = (
    "Goes to the next slice where the truth has a label that is not predicted at all. "
    f"Key: {keys.MISSED.name}"
)


class ScoreSection(parts.Section):
    """Table, plot and the line about the slice that is shown."""

    def __init__(self) -> None:
        super().__init__()
        self._state = CompareState()
        self.note, self.doubts, self.where = parts.remark(), parts.remark(), parts.text()
        self.table, self.plot = PairTable(), SlicePlot()
        self.worse = parts.button(f"Worse slice ({keys.WORSE.name})", WORSE)
        self.missed = parts.button(f"Missed ({keys.MISSED.name})", MISSED)
        self.worse_by = parts.combo(WORSE_BY, [by.value for by in WorseBy])
        self.stack(
            self.note,
            self.doubts,
            self.table,
            self.plot,
            self.where,
            parts.row(self.worse, self.worse_by, self.missed),
        )

    def connect_to(self, controller: CompareController) -> None:
        """Pass clicks on to `controller`."""
        self.table.picked.connect(lambda value: controller.overlays.set_focus(self._other_focus(value)))
        self.plot.asked.connect(controller.navigation.go_to)
        self.worse.clicked.connect(controller.navigation.next_worse)
        self.worse_by.textActivated.connect(lambda words: controller.navigation.set_worse_by(WorseBy(words)))
        self.missed.clicked.connect(controller.navigation.next_missed)

    def draw(self, state: CompareState) -> None:
        """Show the numbers of the pair."""
        self._state = state
        parts.show_text(self.note, state.scores.note)
        doubts = state.scores.doubts
        more = f" And {len(doubts) - FEW} more." if len(doubts) > FEW else ""
        parts.show_text(self.doubts, " ".join(doubts[:FEW]) + more)
        self.doubts.setToolTip("\n".join(doubts))
        for widget in (self.table, self.plot, self.where):
            widget.setVisible(bool(state.scores.rows))
        self.table.draw(state.scores.rows, state.overlays.focus)
        self.plot.draw(state.scores.curves, state.slices.count, state.overlays.focus)
        self.worse_by.setCurrentText(state.slices.worse_by.value)
        parts.able(self.worse, state.why_not, WORSE)
        parts.able(self.missed, state.why_not, MISSED)
        self.move_cursor(state.slices.index)

    def move_cursor(self, index: int) -> None:
        """Move the plot's cursor and update the line below it."""
        self.plot.move(index)
        curves = self._state.scores.curves
        here = [
            f"{curve.name} {curve.dice[index]:.2f}"
            for curve in curves
            if index < len(curve.dice) and not math.isnan(curve.dice[index])
        ]
        count = self._state.slices.count
        self.where.setText(
            f"Slice {slice_number(index)}/{count}: {', '.join(here) or 'no label'}" if curves else ""
        )

    def paint_theme(self, theme: Theme) -> None:
        """Take over the viewer's colours."""
        self.plot.paint_theme(theme.background.as_hex(), theme.text.as_hex())
        self.table.paint_theme(theme.text.as_hex())
        self.table.draw(self._state.scores.rows, self._state.overlays.focus)

    def _other_focus(self, value: int) -> int | None:
        """A click on a row shows its label alone; a second click shows all again."""
        return None if value == self._state.overlays.focus else value
