"""The pair that the Compare dock follows, as its overlays, its scores and its navigation see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from napari_ctseg.docks.compare.state import CompareState, Phase
from napari_ctseg.docks.dock_controller import DockController, DockView
from napari_ctseg.viewer.pairs import LivePair


class CompareView(DockView[CompareState], Protocol):
    """What the controller needs of the view."""

    def move_cursor(self, index: int) -> None:
        """The slider moved, and nothing else changed."""

    def idle(self, then: Callable[[], None]) -> None:
        """Call `then` once no more calls come for a moment."""


class PairDock(DockController[CompareState]):
    """A dock with one pair that is compared. pair : that pair, None while there is none."""

    NAME = "compare"
    view: CompareView
    pair: LivePair | None = None

    @property
    def counted_pair(self) -> LivePair | None:
        """The pair once it has been counted."""
        ready = self.pair is not None and self.state.phase is Phase.READY and self.pair.counted is not None
        return self.pair if ready else None
