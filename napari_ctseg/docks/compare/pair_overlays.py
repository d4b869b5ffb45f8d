"""What the Compare dock draws for its pair: the error map, and outlines in place of filled labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_ctseg.background.threads import ThreadedCall
from napari_ctseg.docks.compare.distance_map import DistanceMap
from napari_ctseg.docks.compare.pair_dock import PairDock
from napari_ctseg.viewer.contours import Contours
from napari_ctseg.viewer.contours.lines import Readers
from napari_ctseg.viewer.overlays import Differences, ErrorMap
from napari_ctseg.viewer.painting.brush_rules import Index
from napari_ctseg.viewer.pairs import Counted, LivePair

if TYPE_CHECKING:
    import napari

    from ctseg_imaging.metrics.live import LiveMetrics

FAINT = 0.25  # opacity of the fill while the user draws: a stroke is seen before its outline is made
NOT_DRAWING = "pan_zoom", "pick", "transform"  # modes of a labels layer


class PairOverlays:
    """The overlays of one pair. A `pair` that is given here has been counted; None: not counted yet."""

    def __init__(
        self, viewer: napari.viewer.Viewer, aside: ThreadedCall, on_error: Callable[[Exception], None]
    ) -> None:
        self._viewer, self._aside, self._on_error = viewer, aside, on_error
        self._errors: ErrorMap | None = None
        self.contours: Contours | None = None
        self._before: tuple[Any, float, Any, bool] | None = None  # prediction, opacity; truth, visibility

    def draw_errors(self, pair: LivePair | None, on: bool, focus: int | None) -> None:
        """Add, redraw or remove the error map of label `focus` (None: of all)."""
        if self._errors is not None and (not on or self._errors.layer not in self._viewer.layers):
            layer, self._errors = self._errors.layer, None
            self._remove(layer)
        if pair is None or pair.counted is None or not on:
            return
        live = pair.counted.live
        differences = Differences(live.prediction, live.truth, _shown(live, focus))
        if self._errors is None:
            self._errors = ErrorMap(self._viewer, pair.truth, differences)
        else:
            self._errors.compare(differences)

    def draw_contours(self, pair: LivePair | None, on: bool, focus: int | None) -> None:
        """Show the prediction as solid and the truth as dashed lines, or both filled again."""
        if pair is None or pair.counted is None or not on:
            self._end_contours()
            return
        readers = _readers(pair.counted, focus)
        if self.contours is not None:
            self.contours.compare(readers)
            return
        self._before = (pair.prediction, pair.prediction.opacity, pair.truth, pair.truth.visible)
        self._viewer.dims.events.ndisplay.connect(self._fill)
        pair.prediction.events.mode.connect(self._fill)
        self._fill()
        self.contours = Contours(self._viewer, pair.truth, readers, self._aside, self._on_error)

    def painted(self, where: Index) -> None:
        """The box `where` of the pair was painted in."""
        if self._errors is not None:
            self._errors.painted(where)
        if self.contours is not None:
            self.contours.painted(where)

    def remove(self) -> None:
        """Remove all overlays and show the labels filled again."""
        if self._errors is not None:
            layer, self._errors = self._errors.layer, None
            self._remove(layer)
        self._end_contours()

    def _fill(self, event: Any = None) -> None:
        """Labels are filled in 3D, where there are no contours, and the prediction faintly while the user
        draws. Otherwise it is clear rather than hidden, because napari does not paint on a hidden layer.
        """
        assert self._before is not None
        prediction, opacity, truth, visible = self._before
        flat = self._viewer.dims.ndisplay == 2
        behind_contours = 0.0 if prediction.mode in NOT_DRAWING else min(FAINT, opacity)
        prediction.opacity, truth.visible = behind_contours if flat else opacity, visible and not flat

    def _end_contours(self) -> None:
        if self.contours is not None:
            self.contours.close()
            self.contours = None
        if self._before is not None:
            self._viewer.dims.events.ndisplay.disconnect(self._fill)
            prediction, opacity, truth, visible = self._before
            prediction.events.mode.disconnect(self._fill)
            prediction.opacity, truth.visible, self._before = opacity, visible, None

    def _remove(self, layer: Any) -> None:
        if layer in self._viewer.layers:
            self._viewer.layers.remove(layer)


def _shown(live: LiveMetrics, focus: int | None) -> tuple[int, ...]:
    """The labels that are drawn: those that count, or the one in focus."""
    return live.values if focus is None else (focus,)


def _readers(counted: Counted, focus: int | None) -> Readers:
    live = counted.live
    colours = {value: counted.names.colour(value) for value in _shown(live, focus)}
    return Readers(live.prediction, live.truth, live.spacing_mm, colours)


class Overlaying:
    """Switches the overlays of the dock's pair on and off, and keeps them up.

    distance : of the surfaces.
    """

    def __init__(self, dock: PairDock, aside: ThreadedCall) -> None:
        self._dock = dock
        self._drawn = PairOverlays(dock.viewer, aside, dock.show_error)
        self.distance = DistanceMap(dock, aside)

    @property
    def contours(self) -> Contours | None:
        """The contours while they are shown."""
        return self._drawn.contours

    def set_contours(self, on: bool) -> None:
        """Outlines of both: the prediction's solid, the truth's dashed."""
        self._set(contours=on)
        self._draw_contours()

    def set_errors(self, on: bool) -> None:
        """A layer of where the two differ."""
        self._set(errors=on)
        self._draw_errors()

    def set_focus(self, value: int | None) -> None:
        """Contours, error map and plot of one label; None: of all."""
        if value != self._dock.state.overlays.focus:
            self._set(focus=value)
            self.draw()

    def draw(self) -> None:
        """Draw the overlays that are switched on."""
        self._draw_contours()
        self._draw_errors()
        self.distance.draw()

    def painted(self, where: Index) -> None:
        """The box `where` was painted in."""
        self._drawn.painted(where)

    def remove(self) -> None:
        """Take all overlays out of the viewer; the switches stay."""
        self._drawn.remove()
        self.distance.remove()

    def _draw_contours(self) -> None:
        overlays = self._dock.state.overlays
        self._drawn.draw_contours(self._dock.counted_pair, overlays.contours, overlays.focus)

    def _draw_errors(self) -> None:
        overlays = self._dock.state.overlays
        self._drawn.draw_errors(self._dock.counted_pair, overlays.errors, overlays.focus)

    def _set(self, **changes: Any) -> None:
        self._dock.update(overlays=replace(self._dock.state.overlays, **changes))
