"""The slice that is drawn on, in its own millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ctseg_imaging.geometry import Float, Geometry
from ctseg_imaging.measurements import DrawnShape, Kind
from ctseg_imaging.measurements.shapes import as_points

ROUNDING = 1e-9  # voxels


@dataclass(frozen=True)
class Plane:
    """Slice `index` across `axis` (0 z, 1 y, 2 x) of an image; mm within it run along its two array axes."""

    geometry: Geometry
    axis: int
    index: int

    @property
    def axes(self) -> list[int]:
        """The array axes that span it, ascending."""
        return [axis for axis in range(3) if axis != self.axis]

    def flat_mm(self, points: ArrayLike) -> Float:
        """(..., 3) indices to (..., 2) mm within the plane."""
        flat: Float = np.asarray(points, np.float64)[..., self.axes] * self._spacing
        return flat

    def shape(self, kind: Kind, flat_mm: ArrayLike) -> DrawnShape:
        """A shape through (n, 2) points in mm within the plane."""
        flat = np.asarray(flat_mm, np.float64) / self._spacing
        return DrawnShape(kind, self.axis, as_points(np.insert(flat, self.axis, self.index, axis=1)))

    def holds(self, shape: DrawnShape) -> bool:
        """Whether `shape` lies on this slice."""
        return (shape.axis, shape.index) == (self.axis, self.index)

    def clipped(self, flat_mm: ArrayLike) -> Float:
        """The nearest points within the image, as far as the centres of its outer voxels.

        Shapes stay there: napari's sliders begin at what lies farthest out, and would stop between slices.
        """
        clipped: Float = np.clip(flat_mm, 0, self._last * self._spacing)
        return clipped

    def contains(self, shape: DrawnShape) -> bool:
        """Whether all of a shape lies there."""
        flat = shape.array[:, self.axes]
        return bool((flat >= -ROUNDING).all() and (flat <= self._last + ROUNDING).all())

    @property
    def _last(self) -> Float:
        return np.array(self.geometry.shape, np.float64)[self.axes] - 1

    @property
    def _spacing(self) -> Float:
        return np.array(self.geometry.spacing_mm)[self.axes]
