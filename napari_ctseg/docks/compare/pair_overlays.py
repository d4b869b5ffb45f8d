"""What the Compare dock draws for its pair: the error map, and outlines in place of filled labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ctseg_imaging.metrics.differences import error_codes
from napari_ctseg.docks.compare.pair_dock import PairDock
from napari_ctseg.viewer.layers import slice_of
from napari_ctseg.viewer.overlays import DashedOutline, ErrorMap, contour_px
from napari_ctseg.viewer.pairs import LivePair

if TYPE_CHECKING:
    import napari


class PairOverlays:
    """The overlay layers of one pair. A `pair` that is given here has been counted; None: not counted yet."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._errors: ErrorMap | None = None
        self._outline: DashedOutline | None = None
        self._drawn: tuple[Any, ...] = ()  # what the outline shows: drawing costs more than counting
        self._before: tuple[Any, int, Any, bool] | None = None  # prediction, contour; truth, visibility

    def draw_errors(self, pair: LivePair | None, on: bool, focus: int | None) -> None:
        """Add, redraw or remove the error map of label `focus` (None: of all)."""
        if self._errors is not None and (not on or self._errors.layer not in self._viewer.layers):
            layer, self._errors = self._errors.layer, None
            self._remove(layer)
        if pair is None or pair.counted is None or not on:
            return
        live = pair.counted.live
        if self._errors is None:
            codes = error_codes(live.prediction, live.truth, focus)
            self._errors = ErrorMap(self._viewer, pair.truth, codes)
        else:
            self.update_errors(pair, range(live.slices), focus)

    def update_errors(self, pair: LivePair, slices: Iterable[int], focus: int | None) -> None:
        """Redraw some slices of the error map, if it is shown."""
        if self._errors is not None and pair.counted is not None:
            live = pair.counted.live
            self._errors.update(live.prediction, live.truth, slices, focus)

    def draw_contours(self, pair: LivePair | None, on: bool, focus: int | None) -> None:
        """Show the prediction as a solid and the truth as a dashed outline, or both filled again."""
        if pair is None or not on:
            if self._outline is not None:
                layer, self._outline = self._outline.layer, None
                self._remove(layer)
            self._fill_again()
            return
        if self._before is None:
            self._before = (pair.prediction, pair.prediction.contour, pair.truth, pair.truth.visible)
            pair.prediction.contour, pair.truth.visible = contour_px(pair.prediction), False
        if self._outline is None:
            self._outline = DashedOutline(self._viewer, pair.truth)
        self.draw_outline(pair, focus)

    def draw_outline(self, pair: LivePair | None, focus: int | None) -> None:
        """Draw the dashed outline in the plane and slice that are shown, if it is not there already."""
        dims = self._viewer.dims
        if self._outline is None or pair is None or pair.counted is None or dims.ndisplay != 2:
            return
        axis = (dims.order[-3] if dims.ndim >= 3 else 0) - (dims.ndim - 3)
        index = slice_of(self._viewer, pair.truth, axis)
        drawn = (self._outline, pair.version[1], axis, index, focus)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        shown = pair.counted.live.values if focus is None else (focus,)
        colours = {value: pair.counted.names.colour(value) for value in shown}
        self._outline.draw(pair.counted.live.truth, axis, index, colours)

    def remove(self) -> None:
        """Remove all overlays and show the labels filled again."""
        layers = [overlay.layer for overlay in (self._errors, self._outline) if overlay is not None]
        self._errors = self._outline = None
        for layer in layers:
            self._remove(layer)
        self._fill_again()

    def _fill_again(self) -> None:
        if self._before is not None:
            prediction, contour, truth, visible = self._before
            prediction.contour, truth.visible, self._before = contour, visible, None

    def _remove(self, layer: Any) -> None:
        if layer in self._viewer.layers:
            self._viewer.layers.remove(layer)


class Overlaying:
    """Switches the overlays of the dock's pair on and off, and keeps them up."""

    def __init__(self, dock: PairDock) -> None:
        self._dock = dock
        self._drawn = PairOverlays(dock.viewer)

    def set_contours(self, on: bool) -> None:
        """Outlines of both: the prediction's solid, the truth's dashed."""
        self._set(contours=on)
        self.draw_contours()

    def set_errors(self, on: bool) -> None:
        """A layer of where the two differ."""
        self._set(errors=on)
        self.draw_errors()

    def set_focus(self, value: int | None) -> None:
        """Error map and plot of one label; None: of all."""
        if value != self._dock.state.overlays.focus:
            self._set(focus=value)
            self.draw_errors()
            self.draw_outline()

    def draw_contours(self) -> None:
        """Draw the contours, or the labels filled, as the state says."""
        overlays = self._dock.state.overlays
        self._drawn.draw_contours(self._dock.counted_pair, overlays.contours, overlays.focus)

    def draw_errors(self) -> None:
        """Draw or remove the error map as the state says."""
        overlays = self._dock.state.overlays
        self._drawn.draw_errors(self._dock.counted_pair, overlays.errors, overlays.focus)

    def draw_outline(self) -> None:
        """Draw the truth's outline in the plane that is shown."""
        self._drawn.draw_outline(self._dock.counted_pair, self._dock.state.overlays.focus)

    def painted(self, slices: Iterable[int]) -> None:
        """These slices were painted."""
        if (pair := self._dock.counted_pair) is not None:
            self._drawn.update_errors(pair, slices, self._dock.state.overlays.focus)
            self.draw_outline()

    def remove(self) -> None:
        """Take all overlays out of the viewer; the state stays."""
        self._drawn.remove()

    def _set(self, **changes: Any) -> None:
        self._dock.update(overlays=replace(self._dock.state.overlays, **changes))
