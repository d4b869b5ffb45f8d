"""Two lines across a canvas where the other two planes lie."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from vispy.scene.visuals import Line

# By the axis across the plane that a line stands for; Okabe & Ito, distinguishable for colour-blind readers.
COLOURS = ("#D55E00", "#009E73", "#F0E442")  # axial, coronal, sagittal
GAP_PX = 12.0  # left free around the place itself
ON_TOP = 10_000


class Crosshair:
    """The lines in one canvas of napari's. place : the viewer model whose point they mark; model : the one
    that the canvas shows.
    """

    def __init__(self, canvas: Any, model: Any, place: Any) -> None:
        self._canvas, self._model, self._place = canvas, model, place
        self._line = Line(
            pos=np.zeros((8, 2)), connect="segments", width=1, method="gl", parent=canvas.view.scene
        )
        self._line.set_gl_state("translucent", depth_test=False)
        self._line.order = ON_TOP
        canvas._scene_canvas._draw_order.clear()
        model.scene.camera.events.zoom.connect(self.draw)
        self.draw()

    def close(self) -> None:
        """Take the lines off the canvas."""
        self._model.scene.camera.events.zoom.disconnect(self.draw)
        self._line.parent = None
        self._canvas._scene_canvas._draw_order.clear()

    def draw(self, event: Any = None) -> None:
        """Mark the place."""
        dims, point = self._model.dims, self._place.dims.point
        shown = bool(self._model.layers) and dims.ndisplay == 2 and 3 <= dims.ndim == len(point)
        self._line.visible = shown
        if shown:
            vertical, horizontal = dims.displayed
            extent = self._model.layers.extent
            half = np.asarray(extent.step) / 2
            low, high = extent.world[0] - half, extent.world[1] + half
            gap = GAP_PX / float(self._model.scene.camera.zoom)
            ends = _segments(
                point[vertical],
                point[horizontal],
                low[[vertical, horizontal]],
                high[[vertical, horizontal]],
                gap,
            )
            self._line.set_data(pos=ends, color=self._colours(vertical, horizontal))

    def _colours(self, vertical: int, horizontal: int) -> NDArray[np.float32]:
        from vispy.color import Color

        lead = self._model.dims.ndim - 3
        across, down = (
            Color(COLOURS[axis - lead]).rgba if axis >= lead else Color("white").rgba
            for axis in (vertical, horizontal)
        )
        return np.repeat(np.array([across, down], np.float32), 4, axis=0)


def _segments(row: float, column: float, low: NDArray[Any], high: NDArray[Any], gap: float) -> NDArray[Any]:
    """(8, 2) ends in (x, y) of four segments: left and right of the place, above and below it."""
    left, right = np.clip([column - gap, column + gap], low[1], high[1])
    above, below = np.clip([row - gap, row + gap], low[0], high[0])
    return np.array(
        [
            *((low[1], row), (left, row), (right, row), (high[1], row)),
            *((column, low[0]), (column, above), (column, below), (column, high[0])),
        ]
    )
