"""The layers of the box in which a structure may grow: its rectangle, then the box in all its slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers.base import ActionType
from numpy.typing import NDArray
from psygnal import Signal

from ctseg_models.contract.prediction import RoiBox
from napari_ctseg.background.timers import single_shot
from napari_ctseg.docks.correct.grow.box import GrowBox
from napari_ctseg.viewer.layers import MADE, source_of
from napari_ctseg.viewer.showing import add_drawing, show_boxes

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels as LabelsLayer
    from napari.layers import Shapes, Vectors

DRAWING_NAME, BOX_NAME = "grow box, drawing", "grow box"


class BoxLayers:
    """Over `mask`, until `close`. drawn : the corners of a rectangle that was drawn, (4, 3) voxels of the
    mask's array, (z, y, x).
    """

    drawn = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer, mask: LabelsLayer) -> None:
        self._viewer, self._mask = viewer, mask
        self._rectangle: Shapes | None = None
        self._box: Vectors | None = None
        # napari still works on the rectangle while it tells of it.
        self._timer = single_shot(0, self._finish)

    @property
    def drawing(self) -> bool:
        """Whether the mouse draws a rectangle."""
        return self._rectangle is not None and self._rectangle in self._viewer.layers

    @property
    def shown(self) -> bool:
        """Whether the box is in the viewer."""
        return self._box is not None and self._box in self._viewer.layers

    def draw(self) -> None:
        """Take up the rectangle tool."""
        if not self.drawing:
            self._rectangle = add_drawing(self._viewer, self._mask, DRAWING_NAME)
            self._rectangle.metadata[MADE] = True
            self._rectangle.events.data.connect(self._changed)
        self._viewer.layers.selection.active = self._rectangle

    def stop_drawing(self) -> None:
        """Put the rectangle tool away."""
        self._timer.stop()
        if self.drawing:
            self._viewer.layers.remove(self._rectangle)
        self._rectangle = None

    def show(self, box: GrowBox | None) -> None:
        """Draw this box in all its slices, None for none."""
        before, self._box = self._box, None
        if before is not None and before in self._viewer.layers:
            self._viewer.layers.remove(before)
        source = source_of(self._mask)
        if box is not None and source is not None:
            active = self._viewer.layers.selection.active
            voxels = RoiBox(BOX_NAME, box.start, box.stop)
            self._box = show_boxes(self._viewer, (voxels,), source.shown, BOX_NAME)
            self._viewer.layers.selection.active = active

    def close(self) -> None:
        """Take the layers out of the viewer."""
        self.stop_drawing()
        self.show(None)

    # ---- inside

    def _changed(self, event: Any) -> None:
        if event.action == ActionType.ADDED:
            self._timer.start()

    def _finish(self) -> None:
        if (layer := self._rectangle) is None or not len(layer.data):
            return
        corners: NDArray[np.floating] = np.array(
            [self._mask.world_to_data(layer.data_to_world(point)) for point in layer.data[-1]]
        )
        self.stop_drawing()
        self.drawn.emit(corners)
