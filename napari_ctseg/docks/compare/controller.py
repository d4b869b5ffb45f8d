"""Decides what the Compare dock does: which two layers are compared, and the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import CtsegError
from napari_ctseg.background.threads import ThreadedCall, run_in_thread
from napari_ctseg.docks.compare.components.listing import Listing
from napari_ctseg.docks.compare.measuring import write_report
from napari_ctseg.docks.compare.navigation import Navigation
from napari_ctseg.docks.compare.pair_dock import CompareView, PairDock
from napari_ctseg.docks.compare.pair_overlays import Overlaying
from napari_ctseg.docks.compare.scoring import Scoring
from napari_ctseg.docks.compare.state import CompareState, PairChoice, Phase, Scores, SlicePosition, WorseBy
from napari_ctseg.docks.compare.suggested_pair import suggested_pair
from napari_ctseg.viewer.layers import is_label_map, label_map_of, slice_of
from napari_ctseg.viewer.painting.brush_rules import Index
from napari_ctseg.viewer.pairs import LivePair

if TYPE_CHECKING:
    import napari

    from napari_ctseg.preferences import Preferences


class CompareController(PairDock):
    """Holds the state and the pair of layers that is compared. overlays, scoring, navigation, listing : what
    is shown of it.
    """

    def __init__(
        self,
        view: CompareView,
        viewer: napari.viewer.Viewer,
        preferences: Preferences,
        aside: ThreadedCall = run_in_thread,
    ) -> None:
        scores = Scores(tolerance_mm=preferences.get(self.NAME, "tolerance_mm", 2.0))
        kept = preferences.get(self.NAME, "worse_by", WorseBy.DICE.value)
        slices = SlicePosition(worse_by=next((by for by in WorseBy if by == kept), WorseBy.DICE))
        super().__init__(view, viewer, preferences, CompareState(scores=scores, slices=slices))
        self._aside = aside
        self._chosen: dict[str, str] = {}  # by the user; goes before the study's roles
        self.overlays, self.navigation = Overlaying(self, aside), Navigation(self)
        self.scoring, self.listing = Scoring(self, aside), Listing(self, aside)
        self.follow_layers_and_roles("prediction", "truth", "edited")
        self.follow(self._moved, self.viewer.dims.events.current_step)
        self.refresh()

    def on_close(self) -> None:
        """Remove the overlays."""
        self._close_pair()

    # ---- which layers

    def refresh(self, event: Any = None) -> None:
        """Bring the choices in line with the viewer and the study's roles."""
        layers = tuple(layer.name for layer in self.viewer.layers if is_label_map(layer))
        before = self.state.pair.names
        prediction, truth = suggested_pair(layers, self._chosen, self.study, before)
        guessed = truth is not None and truth != self.study.truth
        self.update(pair=PairChoice(layers, prediction, truth, guessed))
        if (prediction, truth) != before or self._replaced():
            self._open_pair()

    def choose(self, *, prediction: str | None = None, truth: str | None = None) -> None:
        """Compare other layers. They get these roles in the study too, so the truth is locked and not
        corrected.
        """
        given = {
            role: name for role, name in (("truth", truth), ("prediction", prediction)) if name is not None
        }
        self._chosen |= given
        before = self.state.pair
        pair = replace(before, prediction=prediction or before.prediction, truth=truth or before.truth)
        self.state = replace(self.state, pair=pair)
        for role, name in given.items():
            setattr(self.study, role, name)
        pair = replace(self.state.pair, truth_guessed=self.state.pair.truth != self.study.truth)
        self.state = replace(self.state, pair=pair)
        if self.state.pair.names != before.names:
            self._open_pair()

    def swap(self) -> None:
        """Make the prediction the truth and the other way round."""
        self.choose(prediction=self.state.pair.truth, truth=self.state.pair.prediction)

    # ---- report

    def save(self, path: Path) -> None:
        """Write the report as .html, .csv or .json; the file dialog has asked about overwriting."""
        if self.pair is None or self.state.why_not:
            self.update(message=self.state.why_not)
            return
        maps = label_map_of(self.pair.prediction), label_map_of(self.pair.truth)
        image = self.image_volume()
        tolerance = self.state.scores.tolerance_mm
        self.update(saving=True, message="Writing the report…", details="")
        self._aside(
            lambda: write_report(path, maps, image, tolerance),
            lambda _: self.update(saving=False, message=f"Written: {path.name}"),
            lambda error: self.show_error(error, saving=False),
        )

    # ---- inside: following the pair

    def _open_pair(self) -> None:
        self._close_pair()
        before = self.state
        scores = Scores(tolerance_mm=before.scores.tolerance_mm, measuring=before.scores.measuring)
        overlays = replace(before.overlays, focus=None)
        self.state = replace(
            before, phase=Phase.EMPTY, overlays=overlays, scores=scores, message="", details=""
        )
        if why_not := before.pair.why_not:
            self.update(message=why_not if len(before.pair.layers) > 1 else "")
            return
        prediction, truth = (self.viewer.layers[name] for name in before.pair.names)
        try:
            self.pair = LivePair(prediction, truth, self._aside)
            self.pair.ready.connect(self._counted)
            self.pair.changed.connect(self._painted)
            self.pair.failed.connect(self._failed)
            self.update(phase=Phase.COUNTING)
            self.pair.start()
        except CtsegError as error:
            self._failed(error)

    def _close_pair(self) -> None:
        self.overlays.remove()
        if self.pair is not None:
            self.pair.close()
        self.pair = None
        self.scoring.forget()
        self.listing.forget()

    def _counted(self) -> None:
        assert self.pair is not None and self.pair.counted is not None
        slices = replace(
            self.state.slices,
            index=slice_of(self.viewer, self.pair.truth),
            count=self.pair.counted.live.slices,
        )
        self.update(phase=Phase.READY, slices=slices)
        self.scoring.counted()
        self.overlays.draw()
        self.scoring.measure()

    def _painted(self, slices: tuple[int, ...], where: Index) -> None:
        self.scoring.painted(where)
        self.listing.painted()
        self.overlays.painted(where)
        self.view.idle(self._rested)

    def _rested(self) -> None:
        """The painting has rested."""
        self.scoring.measure()
        self.overlays.distance.draw()

    def _moved(self, event: Any = None) -> None:
        if (pair := self.counted_pair) is None:
            return
        index = slice_of(self.viewer, pair.truth)
        if index != self.state.slices.index:
            self.state = replace(self.state, slices=replace(self.state.slices, index=index))
            self.view.move_cursor(index)

    def _replaced(self) -> bool:
        """Whether a compared layer was removed, or replaced by another one of its name."""
        return self.pair is not None and not {self.pair.prediction, self.pair.truth} <= set(
            self.viewer.layers
        )

    def _failed(self, error: Exception) -> None:
        self.show_error(error, phase=Phase.FAILED)
