"""Snap in the Correct dock: a line that follows the strongest edge between clicked points (live wire)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.editing.live_wire import LiveWire, Pixel, cost_of_edges, cost_of_gradient
from ctseg_imaging.editing.morphology import Slices
from napari_ctseg.background.threads import ThreadedCall
from napari_ctseg.docks.correct.mask_dock import MaskDock
from napari_ctseg.docks.correct.previews.clicks import Clicks
from napari_ctseg.docks.correct.previews.previewed import Change, Previewed
from napari_ctseg.docks.correct.state import SnapState
from napari_ctseg.viewer.layers import EDGES


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice across `axis` (0 z, 1 y, 2 x) of the mask. present : (rows, columns), the class there.
    values : (rows, columns) of the image, or of an edge map (`has_edges`). spacing_mm : (row, column).
    """

    axis: int
    index: int
    present: NDArray[np.bool_]
    values: NDArray[Any]
    has_edges: bool
    spacing_mm: tuple[float, float]

    @cached_property
    def wire(self) -> LiveWire:
        """On its edges; made in the thread that asks first."""
        edges = self.has_edges
        cost = cost_of_edges(self.values) if edges else cost_of_gradient(self.values, self.spacing_mm)
        return LiveWire(cost, self.spacing_mm)

    @property
    def box(self) -> Slices:
        """Where it lies in the mask."""
        z, y, x = (slice(self.index, self.index + 1) if k == self.axis else slice(None) for k in range(3))
        return z, y, x

    def change(self, shape: NDArray[np.bool_], drawn: NDArray[np.bool_] | None = None) -> Change:
        """Both (rows, columns), as a change of the mask."""
        line = None if drawn is None else np.expand_dims(drawn, self.axis)
        before, after = (np.expand_dims(one, self.axis) for one in (self.present, shape))
        return Change(self.box, before, after, drawn=line)


class Snapping(Previewed):
    """Clicks set points; the line closes and is filled with the selected class in that slice."""

    TOOL = "snap"

    def __init__(self, dock: MaskDock, aside: ThreadedCall) -> None:
        super().__init__(dock, aside)
        self._slice: Slice | None = None
        self._points: tuple[Pixel, ...] = ()
        self._clicks: Clicks | None = None

    def why_not(self) -> str:
        """Why nothing can be drawn."""
        return self._dock.image_why_not

    def started(self) -> None:
        """Take the mouse."""
        assert self.target is not None
        layer = self.target[0]
        layer.mode = "pan_zoom"
        self._clicks = Clicks(self._dock.viewer, layer, self)
        edges = self._edges()
        self._dock.update(snap=SnapState(along="" if edges is None else edges.name))

    def ended(self) -> None:
        """Give the mouse back."""
        if self._clicks is not None:
            self._clicks.close()
        self._clicks = self._slice = None
        self._points = ()
        self._dock.update(snap=SnapState())

    def record(self) -> dict[str, Any]:
        """How many points were set."""
        return {"points": len(self._points)}

    # ---- the mouse

    def set_point(self, axis: int, index: int, pixel: Pixel) -> None:
        """A click; in another slice a new line begins."""
        if self._slice is None or (self._slice.axis, self._slice.index) != (axis, index):
            self._slice, self._points = self._slice_at(axis, index), ()
        if pixel not in self._points:
            self._points = (*self._points, pixel)
        self._dock.update(snap=replace(self._dock.state.snap, points=len(self._points)))
        self.follow(axis, index, pixel)

    def follow(self, axis: int, index: int, pixel: Pixel) -> None:
        """Show the line through all points and on to the pointer."""
        here, points = self._slice, self._points
        if here is None or (here.axis, here.index) != (axis, index) or not points:
            return

        def line() -> Change:
            drawn = np.zeros(here.present.shape, bool)
            drawn[tuple(here.wire.line([*points, pixel]).T)] = True
            return here.change(here.present | here.wire.closed(points), drawn)

        self.ask(line)

    def apply(self) -> None:
        """Close the line, fill it, and make it the class."""
        here, points = self._slice, self._points
        if here is None or len(points) < 2:
            self._dock.update(message="Set two points or more on the border first.")
            return
        filled = super().apply

        def closed() -> Change:
            return replace(here.change(here.present | here.wire.closed(points)), then=filled)

        self.ask(closed)

    # ---- inside

    def _slice_at(self, axis: int, index: int) -> Slice:
        assert self.target is not None
        layer, value = self.target
        edges, dock = self._edges(), self._dock
        values = np.asarray((edges or dock.viewer.layers[dock.study.image]).data.take(index, axis))
        first, second = (float(step) for k, step in enumerate(layer.scale) if k != axis)
        present = np.asarray(layer.data).take(index, axis) == value
        return Slice(axis, index, present, values, edges is not None, (first, second))

    def _edges(self) -> Any:
        """The newest edge map of a network on the mask's grid, None without one."""
        layers = [one for one in self._dock.viewer.layers if one.metadata.get(EDGES)]
        return next((one for one in reversed(layers) if self._dock.on_grid(one)), None)
