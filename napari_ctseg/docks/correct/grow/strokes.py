"""The layers of a structure that is grown: strokes inside and outside of it, and the outline it would get."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.editing import INSIDE, OUTSIDE
from napari_ctseg.viewer.layers import AXES, MADE, UNITS
from napari_ctseg.viewer.overlays import contour_px
from napari_ctseg.viewer.painting import Painting
from napari_ctseg.viewer.proxies import unwrapped

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels as LabelsLayer

STROKES_NAME, PREVIEW_NAME = "strokes", "grown"
# Okabe & Ito: told apart by colour-blind readers.
STROKE_COLOURS: dict[int | None, str] = {INSIDE: "#56B4E9", OUTSIDE: "#D55E00"}
PREVIEW_COLOUR = "#F0E442"

Box = tuple[slice, slice, slice]


class Strokes:
    """Adds both layers over `mask`, ready to paint inside; `close` takes them away.

    painting : of the strokes, with the undo steps of their own.
    """

    def __init__(self, viewer: napari.viewer.Viewer, mask: LabelsLayer) -> None:
        self._viewer = viewer
        self._box: Box | None = None
        self.preview = _added(viewer, mask, PREVIEW_NAME, {1: PREVIEW_COLOUR})
        self.preview.contour = contour_px(mask)
        self.preview.editable = False
        self.layer = _added(viewer, mask, STROKES_NAME, STROKE_COLOURS)
        self.layer.brush_size = mask.brush_size
        self.painting = Painting.of(self.layer)
        self.paint(INSIDE)

    @property
    def open(self) -> bool:
        """Whether the strokes are still in the viewer."""
        return self.layer in self._viewer.layers

    @property
    def stroke(self) -> int:
        """What the brush paints: INSIDE or OUTSIDE."""
        return int(self.layer.selected_label)

    def paint(self, stroke: int) -> None:
        """Take up the brush for strokes inside or outside."""
        self._viewer.layers.selection.active = self.layer
        self.layer.selected_label = stroke
        self.layer.mode = "paint"

    def draw(self, box: Box | None, grown: NDArray[np.bool_] | None) -> None:
        """Show the outline of `grown`, (z, y, x) in `box` of the mask; None for nothing."""
        if self._box is not None:
            self.preview.data[self._box] = 0
        if box is not None and grown is not None:
            self.preview.data[box] = grown
        self._box = box
        self.preview.refresh()

    def close(self) -> None:
        """Take both layers out of the viewer."""
        for layer in (self.layer, self.preview):
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)


def _added(
    viewer: napari.viewer.Viewer, mask: LabelsLayer, name: str, colours: dict[int | None, str]
) -> LabelsLayer:
    """An empty layer on the mask's grid that is no label map of the study."""
    from napari.utils.colormaps import DirectLabelColormap

    table: dict[int | None, Any] = defaultdict(lambda: "transparent")
    table.update({None: "transparent", 0: "transparent"})
    table.update(colours)
    layer = viewer.add_labels(
        np.zeros(mask.data.shape, np.uint8),
        name=name,
        colormap=DirectLabelColormap(color_dict=table),
        opacity=0.9,
        metadata={MADE: True},
        scale=mask.scale,
        translate=mask.translate,
        units=UNITS,
        axis_labels=AXES,
    )
    return unwrapped(layer)
