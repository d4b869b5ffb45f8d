"""The lines of one slice of two label maps, and the canvas that they are drawn on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vispy.color import Color
from vispy.scene.visuals import Line

from napari_ctseg.viewer.contours.boundary import segments

WIDTH_PX = 2
BELOW_CROSSHAIR = 5_000


@dataclass(frozen=True, eq=False)
class Lines:
    """ends : (2 n, 2) of n segments, (x, y) in voxels of the slice. rgba : (2 n, 4) their colours."""

    ends: NDArray[np.float32]
    rgba: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Readers:
    """Two label maps on one grid. prediction, truth : (z, y, x) arrays. spacing_mm : (z, y, x). colours : hex
    by label, of the labels that are drawn.
    """

    prediction: NDArray[Any]
    truth: NDArray[Any]
    spacing_mm: tuple[float, ...]
    colours: Mapping[int, str]

    def lines(self, axis: int, index: int) -> Lines:
        """Of slice `index` along `axis`: the prediction's solid, the truth's dashed."""
        rows_mm, columns_mm = (mm for k, mm in enumerate(self.spacing_mm) if k != axis)
        rgba = self._rgba()
        ends, paint = [], []
        for array, dashed in ((self.prediction, False), (self.truth, True)):
            plane = np.take(array, index, axis=axis)
            plane = np.where(rgba[np.minimum(plane, len(rgba) - 1), 3] > 0, plane, 0)
            pieces, values = segments(plane, (rows_mm, columns_mm), dashed)
            ends.append(pieces.reshape(-1, 2)[:, ::-1])
            paint.append(np.repeat(rgba[values], 2, axis=0))
        return Lines(np.concatenate(ends).astype(np.float32), np.concatenate(paint))

    def _rgba(self) -> NDArray[np.float32]:
        """(n, 4) by label; clear where a label is not drawn, as are all from n - 1 on."""
        table = np.zeros((max(self.colours, default=0) + 2, 4), np.float32)
        for value, colour in self.colours.items():
            table[value] = Color(colour).rgba
        return table


class LineCanvas:
    """The lines on one canvas of napari's. model : the viewer model that it shows."""

    def __init__(self, canvas: Any, model: Any) -> None:
        self._canvas, self.model = canvas, model
        self.shown: Lines | None = None
        self._line = Line(
            pos=np.zeros((2, 2)), connect="segments", width=WIDTH_PX, method="gl", parent=canvas.view.scene
        )
        self._line.visible = False
        self._line.set_gl_state("translucent", depth_test=False)
        self._line.order = BELOW_CROSSHAIR
        canvas._scene_canvas._draw_order.clear()

    def close(self) -> None:
        """Take the lines off the canvas."""
        self._line.parent = None
        self._canvas._scene_canvas._draw_order.clear()

    def show(self, lines: Lines | None, scale: NDArray[Any], origin: NDArray[Any]) -> None:
        """Draw `lines`, None: nothing. scale, origin : (x, y) of the slice's voxels in the canvas's world."""
        if lines is self.shown:
            return
        self.shown = lines
        self._line.visible = lines is not None and len(lines.ends) > 0
        if lines is not None and len(lines.ends):
            self._line.set_data(pos=(lines.ends * scale + origin).astype(np.float32), color=lines.rgba)
