"""Where a network's input lies in a volume.

Lengths are mm along the axes (z, y, x) of the volume's LPS-upright view, from the outer face of its first
voxel: voxel i of spacing s covers [i s, (i + 1) s].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Geometry, Shape, Triple

T = TypeVar("T")
ROUNDING = 1e-6  # voxels, so rounding does not make a box of exactly n voxels one of n + 1


@dataclass(frozen=True)
class ViewBox:
    """A box in the view: an interval in mm along each of (z, y, x)."""

    low: Triple
    high: Triple

    @classmethod
    def whole(cls, view: Geometry) -> ViewBox:
        """The box of a whole view."""
        high = [n * s for n, s in zip(view.shape, view.spacing_mm, strict=True)]
        return cls((0.0, 0.0, 0.0), (high[0], high[1], high[2]))

    @property
    def extent(self) -> Triple:
        """The lengths of the sides, (z, y, x) in mm."""
        z, y, x = (b - a for a, b in zip(self.low, self.high, strict=True))
        return z, y, x

    def grown(self, margin_mm: float) -> ViewBox:
        """The box with a margin on every side."""
        low, high = [a - margin_mm for a in self.low], [b + margin_mm for b in self.high]
        return ViewBox((low[0], low[1], low[2]), (high[0], high[1], high[2]))

    def cut(self, other: ViewBox) -> ViewBox:
        """The intersection; along an axis where the boxes do not meet, its length is 0."""
        low = [max(a, b) for a, b in zip(self.low, other.low, strict=True)]
        high = [max(a, min(b, c)) for a, b, c in zip(low, self.high, other.high, strict=True)]
        return ViewBox((low[0], low[1], low[2]), (high[0], high[1], high[2]))

    def voxels(self, view: Geometry) -> tuple[Shape, Shape]:
        """(start, stop) of the view's voxels whose centre lies inside."""
        start, stop = [], []
        for a, b, s, n in zip(self.low, self.high, view.spacing_mm, view.shape, strict=True):
            first = min(n, max(0, math.ceil(a / s - 0.5 - ROUNDING)))
            start.append(first)
            stop.append(max(first, min(n, math.ceil(b / s - 0.5 - ROUNDING))))
        return (start[0], start[1], start[2]), (stop[0], stop[1], stop[2])


@dataclass(frozen=True)
class Lattice:
    """A network's input grid: `shape` voxels of `spacing_mm` from the outer face `low_mm` on, (z, y, x).

    It may reach beyond the volume.
    """

    low_mm: Triple
    spacing_mm: Triple
    shape: Shape

    @property
    def box(self) -> ViewBox:
        """The box that its voxels cover."""
        high = [a + n * s for a, n, s in zip(self.low_mm, self.shape, self.spacing_mm, strict=True)]
        return ViewBox(self.low_mm, (high[0], high[1], high[2]))

    def geometry(self, view: Geometry) -> Geometry:
        """Its voxels as a Geometry in LPS mm. view : the geometry of the volume's upright view."""
        spacing = np.array(view.spacing_mm)
        affine = view.affine_lps.copy()
        affine[:3, :3] = view.direction_zyx * np.array(self.spacing_mm)
        affine[:3, 3] = view.index_to_lps(
            (np.array(self.low_mm) + np.array(self.spacing_mm) / 2) / spacing - 0.5
        )
        return Geometry(self.shape, affine)


@dataclass(frozen=True)
class Region:
    """The part of a volume to segment: an axis-aligned box in LPS mm, given by two corners (x, y, z)."""

    low_lps_mm: Triple
    high_lps_mm: Triple

    @classmethod
    def from_index(cls, geometry: Geometry, start: Shape, stop: Shape) -> Region:
        """The bounding box of the stored voxels [start, stop), (z, y, x)."""
        corners = geometry.crop(start, stop).corners_lps_mm()
        (x0, y0, z0), (x1, y1, z1) = corners.min(axis=0), corners.max(axis=0)
        return cls((float(x0), float(y0), float(z0)), (float(x1), float(y1), float(z1)))

    @classmethod
    def whole(cls, geometry: Geometry) -> Region:
        """The whole volume, without running a localiser."""
        return cls.from_index(geometry, (0, 0, 0), geometry.shape)

    def box(self, view: Geometry) -> ViewBox:
        """The same box in mm of the view, cut to the volume. Raises BundleError when nothing is left."""
        ends = zip(self.low_lps_mm, self.high_lps_mm, strict=True)
        index = view.lps_to_index(np.array(list(product(*ends))))
        spacing = np.array(view.spacing_mm)
        low, high = (index.min(axis=0) + 0.5) * spacing, (index.max(axis=0) + 0.5) * spacing
        box = ViewBox((low[0], low[1], low[2]), (high[0], high[1], high[2])).cut(ViewBox.whole(view))
        start, stop = box.voxels(view)
        if any(a >= b for a, b in zip(start, stop, strict=True)):
            raise BundleError(
                "The region holds no voxel of the volume; give its corners in LPS mm, within the volume."
            )
        return box
