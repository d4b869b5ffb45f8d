"""The image keeps its share of the canvas: one that is whole stays whole when a dock opens or the window
changes its size. napari keeps the zoom, and the canvas cuts the image off.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import napari


class FittedView:
    """Follows the size of one viewer's canvas."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = weakref.ref(viewer)
        self._size = tuple(viewer.canvas.size)
        viewer.canvas.events.size.connect(self._resized)

    def _resized(self, event: Any = None) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        before, self._size = self._size, tuple(viewer.canvas.size)
        if viewer.layers and min(*before, *self._size) > 0:
            viewer.scene.camera.zoom *= fitting_zoom(viewer, self._size) / fitting_zoom(viewer, before)


def fitting_zoom(viewer: napari.viewer.Viewer, size: Sequence[int]) -> float:
    """The zoom, in pixels for a unit of the world, at which the layers just fill a canvas of (height, width)
    pixels.
    """
    if viewer.dims.ndisplay == 3:
        return float(min(size))
    low, high = viewer.layers.extent.world
    shown = np.maximum(high - low, 1e-9)[list(viewer.dims.displayed)]
    return float(min(np.asarray(size, float) / shown))
