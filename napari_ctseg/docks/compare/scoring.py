"""The numbers of the Compare dock: counts at once, surface distances in a thread."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from napari_ctseg.background.threads import ThreadedCall
from napari_ctseg.docks.compare.components.doubts import truth_doubts
from napari_ctseg.docks.compare.measuring import SurfaceDistances
from napari_ctseg.docks.compare.pair_dock import PairDock
from napari_ctseg.docks.compare.rows import dice_curves, table_rows
from napari_ctseg.viewer.painting.brush_rules import Index
from napari_ctseg.viewer.pairs import Counted, occurring


class Scoring:
    """Keeps up the scores of the dock's pair."""

    def __init__(self, dock: PairDock, aside: ThreadedCall) -> None:
        self._dock, self._aside = dock, aside
        self._surfaces = SurfaceDistances()

    def forget(self) -> None:
        """The pair is no longer compared."""
        self._surfaces = SurfaceDistances()

    def counted(self) -> None:
        """The pair has been counted: show that, and measure all labels."""
        if (pair := self._dock.counted_pair) is not None and pair.counted is not None:
            self._surfaces.changed(pair.counted.live.values)
            self.show()
            self._look_at_truth(pair.counted)

    def _look_at_truth(self, counted: Counted) -> None:
        """Say what looks wrong in the truth."""

        def done(doubts: tuple[str, ...]) -> None:
            if (pair := self._dock.counted_pair) is not None and pair.counted is counted:
                self._set(doubts=doubts)

        self._aside(lambda: truth_doubts(counted), done, self._dock.show_error)

    def painted(self, where: Index) -> None:
        """The box `where` was painted in: show the new counts, and measure once the painting rests."""
        pair = self._dock.counted_pair
        if pair is None or pair.counted is None:
            return
        live = pair.counted.live
        before = {
            row.value: (row.volume_pred_ml, row.volume_truth_ml) for row in self._dock.state.scores.rows
        }
        # A label that is no longer in the box has lost voxels there, one that only moved is still there.
        self._surfaces.changed({*occurring(live.truth[where]), *occurring(live.prediction[where])})
        self._surfaces.changed(
            row.value
            for row in live.table()
            if before.get(row.value) != (row.volume_pred_ml, row.volume_truth_ml)
        )
        self.show()

    def set_tolerance(self, tolerance_mm: float) -> None:
        """The distance that NSD tolerates; every label is measured again."""
        if tolerance_mm != self._dock.state.scores.tolerance_mm:
            self._surfaces.changed(self._surfaces.measured)
            self._set(tolerance_mm=tolerance_mm)
            self._dock.remember("tolerance_mm", tolerance_mm)
            self.show()
            self.measure()

    def show(self) -> None:
        """Rows and curves from the current counts."""
        if (pair := self._dock.counted_pair) is not None and (counted := pair.counted) is not None:
            rows = table_rows(counted, self._surfaces)
            live = counted.live
            self._set(
                rows=rows,
                curves=dice_curves(live, rows, self._dock.state.scores.curves),
                mean_dice=live.mean_dice(),
                note=counted.note,
                spacing_mm=tuple(live.spacing_mm),
            )

    def measure(self) -> None:
        """Measure the surface distances of the labels that changed, in a thread."""
        pair, surfaces, scores = self._dock.counted_pair, self._surfaces, self._dock.state.scores
        if pair is None or scores.measuring or not surfaces.stale:
            return

        def measured() -> None:
            self._set(measuring=False)
            if surfaces is not self._surfaces:  # of a pair that is no longer compared
                self.measure()
                return
            self.show()
            if surfaces.stale:
                self._dock.view.idle(self.measure)

        self._set(measuring=True)
        surfaces.measure(pair, scores.tolerance_mm, self._aside, measured, self._failed)

    def _failed(self, error: Exception) -> None:
        self._dock.show_error(error, scores=replace(self._dock.state.scores, measuring=False))

    def _set(self, **changes: Any) -> None:
        self._dock.update(scores=replace(self._dock.state.scores, **changes))
