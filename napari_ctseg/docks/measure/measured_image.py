"""The image that is measured: its grid as it is shown, its values, and the slice in front."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ctseg_imaging.geometry import AxisView, Float
from ctseg_imaging.measurements import DrawnShape, ShapeValues, measure
from ctseg_imaging.volume import Volume, exact
from ctseg_imaging.windowing import is_hu
from napari_ctseg.docks.measure.plane import Plane
from napari_ctseg.viewer.layers import slice_of, volume_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Image


class MeasuredImage:
    """layer : the image. stored : its volume. shown : the same in the order of the layer's data. unit : "HU"
    or "". Raises GeometryError for one without a place in the patient, or that is open for viewing only.
    """

    def __init__(self, layer: Image) -> None:
        self.layer = layer
        self.array = layer.data
        self.stored: Volume = exact(volume_of(layer), "be measured")
        view = AxisView.of(self.stored.geometry)
        geometry = view.geometry(self.stored.geometry)
        self.shown = replace(self.stored, array=view.apply(self.stored.array), geometry=geometry)
        back = AxisView.between(geometry, self.stored.geometry)
        assert back is not None, "both are one lattice"
        self._back = back
        self.unit = "HU" if is_hu(self.stored) else ""

    def is_current(self) -> bool:
        """Whether the layer still has the array that is measured."""
        return self.layer.data is self.array

    def plane(self, viewer: napari.viewer.Viewer) -> Plane | None:
        """The slice in front; None in 3D, or where the view is along another axis."""
        axis = viewer.dims.order[-3] - (viewer.dims.ndim - 3)
        if viewer.dims.ndisplay != 2 or axis < 0:
            return None
        return Plane(self.shown.geometry, axis, slice_of(viewer, self.layer, axis))

    def index_at(self, world: ArrayLike) -> Float:
        """The (z, y, x) index of a point of the viewer's world, fractions included."""
        index: Float = np.array(self.layer.world_to_data(np.asarray(world)), np.float64)[-3:]
        return index

    def value_at(self, index: Float) -> float | None:
        """The value of the voxel that holds a point; None outside of the image."""
        z, y, x = (int(k) for k in np.floor(index + 0.5))
        if not all(0 <= k < n for k, n in zip((z, y, x), self.shown.geometry.shape, strict=True)):
            return None
        return float(self.shown.array[z, y, x])

    def kept(self, shape: DrawnShape) -> DrawnShape:
        """A drawn shape in the indices of the stored volume."""
        return shape.seen_in(self._back, self.shown.geometry.shape)

    def measure(self, shape: DrawnShape) -> ShapeValues:
        """The values of a drawn shape, as they are kept: in the voxel order of the file, which decides which
        side of a region holds a centre that lies exactly on it.
        """
        return measure(self.kept(shape), self.stored)
