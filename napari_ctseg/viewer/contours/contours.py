"""Keeps the outlines of two label maps on all canvases: napari's own and those of the linked planes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ctseg.background.threads import ThreadedCall
from napari_ctseg.viewer.contours.line_cache import LineCache, Slice
from napari_ctseg.viewer.contours.lines import LineCanvas, Readers
from napari_ctseg.viewer.painting.brush_rules import Index
from napari_ctseg.viewer.planes import planes_of
from napari_ctseg.viewer.planes.place import slice_axis
from napari_ctseg.viewer.proxies import unwrapped

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

AHEAD = (1, -1, 2, -2)  # slices that are made before the user gets there


class Contours:
    """The outlines until `close`. like : the layer on whose grid `readers` lie.

    A slice without lines yet is shown without them; lines of another slice are never on the canvas.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        like: Labels,
        readers: Readers,
        aside: ThreadedCall,
        on_error: Callable[[Exception], None],
    ) -> None:
        self._viewer, self._like, self._readers = unwrapped(viewer), like, readers
        self._cache = LineCache(self._lines, aside, self._show, on_error)
        self._planes = planes_of(viewer)
        self.canvases: list[LineCanvas] = []
        self._viewer.dims.events.point.connect(self.draw)
        self._planes.changed.connect(self._arranged)
        self._arranged()

    @property
    def complete(self) -> bool:
        """Whether all lines that were asked for have been made and drawn."""
        return not self._cache.running

    def close(self) -> None:
        """Take the lines off the canvases and follow the viewer no longer."""
        self._viewer.dims.events.point.disconnect(self.draw)
        self._planes.changed.disconnect(self._arranged)
        self._cache.ask()
        self._leave()

    def compare(self, readers: Readers) -> None:
        """Draw other maps, or other labels of them."""
        self._readers = readers
        self._cache.forget()
        self.draw()

    def painted(self, where: Index) -> None:
        """The box `where` (z, y, x) was painted in. The lines of its slices stay on the canvases until the
        new ones are there.
        """
        self._cache.forget(lambda one: where[one[0]].start <= one[1] < where[one[0]].stop)
        self._ask()

    def draw(self, event: Any = None) -> None:
        """Draw the slices that are shown, as far as their lines have been made, and have the others made."""
        self._show()
        self._ask()

    def _lines(self, axis: int, index: int) -> Any:
        return self._readers.lines(axis, index)

    def _show(self) -> None:
        for canvas in self.canvases:
            where = self._slice(canvas.model)
            scale, origin = self._placement(where[0]) if where is not None else (np.ones(2), np.zeros(2))
            canvas.show(None if where is None else self._cache.get(where), scale, origin)

    def _ask(self) -> None:
        shown = [where for one in self.canvases if (where := self._slice(one.model)) is not None]
        if shown:
            axis, index = shown[0]
            count = self._like.data.shape[axis]
            self._cache.ask(shown, [(axis, index + by) for by in AHEAD if 0 <= index + by < count])

    def _slice(self, model: Any) -> Slice | None:
        """Axis and index of the slice that a canvas shows; None outside the maps and in 3D."""
        dims, like = self._viewer.dims, self._like
        if model.dims.ndisplay != 2 or dims.ndim < like.ndim:
            return None
        axis = slice_axis(model)
        world = dims.point[dims.ndim - like.ndim + axis]
        index = round(float((world - like.translate[axis]) / like.scale[axis]))
        return (axis, index) if 0 <= index < like.data.shape[axis] else None

    def _placement(self, axis: int) -> tuple[Any, Any]:
        """(x, y) of scale and origin in the plane across `axis`."""
        shown = [k for k in (2, 1, 0) if k != axis]
        return np.asarray(self._like.scale)[shown], np.asarray(self._like.translate)[shown]

    def _arranged(self, event: Any = None) -> None:
        """Other canvases are shown now."""
        self._leave()
        if (window := getattr(self._viewer, "window", None)) is None:
            return
        view = self._planes.view
        widgets = (window._qt_window._qt_viewer, *(view.canvases if view is not None else ()))
        for widget, model in zip(widgets, (self._viewer, *self._planes.models), strict=True):
            self.canvases.append(LineCanvas(widget.canvas, model))
            model.dims.events.order.connect(self.draw)
            model.dims.events.ndisplay.connect(self.draw)
        self.draw()

    def _leave(self) -> None:
        for canvas in self.canvases:
            canvas.model.dims.events.order.disconnect(self.draw)
            canvas.model.dims.events.ndisplay.disconnect(self.draw)
            canvas.close()
        self.canvases = []
