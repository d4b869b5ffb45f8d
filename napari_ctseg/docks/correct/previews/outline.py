"""The layer that shows what a change would make of a class."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.editing.morphology import Slices
from napari_ctseg.viewer.layers import AXES, MADE, UNITS
from napari_ctseg.viewer.overlays import contour_px
from napari_ctseg.viewer.proxies import unwrapped

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels as LabelsLayer

PREVIEW_NAME = "preview"
PREVIEW_COLOUR = "#FFFFFF"  # of no class


class Outline:
    """Adds an empty layer over `mask`; `close` takes it away."""

    def __init__(self, viewer: napari.viewer.Viewer, mask: LabelsLayer) -> None:
        self._viewer = viewer
        self._box: Slices | None = None
        self.layer = helper_layer(viewer, mask, PREVIEW_NAME, {1: PREVIEW_COLOUR})
        self.layer.contour = contour_px(mask)
        self.layer.editable = False

    @property
    def open(self) -> bool:
        """Whether it is still in the viewer."""
        return self.layer in self._viewer.layers

    def draw(self, box: Slices | None, shape: NDArray[np.bool_] | None) -> None:
        """Show the outline of `shape`, (z, y, x) in `box` of the mask; None for nothing."""
        if self._box is not None:
            self.layer.data[self._box] = 0
        if box is not None and shape is not None:
            self.layer.data[box] = shape
        self._box = box
        self.layer.refresh()

    def close(self) -> None:
        """Take the layer out of the viewer."""
        if self.open:
            self._viewer.layers.remove(self.layer)


def helper_layer(
    viewer: napari.viewer.Viewer, mask: LabelsLayer, name: str, colours: dict[int | None, str]
) -> LabelsLayer:
    """An empty layer on the mask's grid that is not one of the label maps of the study."""
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
