"""Distances between the boundary voxels of two masks: MONAI and the WMH challenge use them instead of surface
elements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ctseg_imaging.geometry import Triple
from ctseg_imaging.metrics.boxes import union_box
from ctseg_imaging.metrics.surfaces import TIE, BoolArray, Float, distance_to, snap

FACES = ndimage.generate_binary_structure(3, 1)
IN_PLANE = np.ones((1, 3, 3), bool)


@dataclass(frozen=True, eq=False)
class BoundaryDistances:
    """Distances in mm from each boundary voxel of a mask to the nearest of the other, voxel centre to voxel
    centre.

    inf where the other mask is empty; an empty mask has no boundary voxels.
    """

    a_to_b_mm: Float
    b_to_a_mm: Float

    @property
    def complete(self) -> bool:
        """Whether both masks have a boundary."""
        return bool(len(self.a_to_b_mm) and len(self.b_to_a_mm))

    def hausdorff(self, percent: float = 100) -> float:
        """The larger of both directed percentiles (interpolated linearly between voxels), in mm; NaN if a
        mask is empty.
        """
        if not self.complete:
            return np.nan
        return float(max(np.percentile(self.a_to_b_mm, percent), np.percentile(self.b_to_a_mm, percent)))

    def assd(self) -> float:
        """The mean over the boundary voxels of both masks, in mm: NaN if both are empty, inf if one is."""
        both = np.concatenate([self.a_to_b_mm, self.b_to_a_mm])
        return float(both.mean()) if len(both) else np.nan

    def nsd(self, tolerance_mm: float) -> float:
        """The share of the boundary voxels of both masks within `tolerance_mm`: NaN if both are empty, 0 if
        one is.
        """
        both = np.concatenate([self.a_to_b_mm, self.b_to_a_mm])
        return float((both <= tolerance_mm * (1 + TIE)).mean()) if len(both) else np.nan


def face_boundary_distances(a: BoolArray, b: BoolArray, spacing_mm: Triple) -> BoundaryDistances:
    """Boundary = voxels with one of six neighbours outside, the border of the array included, as in MONAI.

    spacing_mm : (z, y, x).
    """
    return _distances(a, b, spacing_mm, FACES, beyond_is_mask=False)


def in_plane_boundary_distances(a: BoolArray, b: BoolArray, spacing_mm: Triple) -> BoundaryDistances:
    """Boundary = mask minus its 3x3 erosion in each slice (axis 0), with everything beyond the array counted
    as mask, as in the program of the WMH challenge 2017 (Kuijf et al. 2019, doi:10.1109/TMI.2019.2905770).
    spacing_mm : (z, y, x).
    """
    return _distances(a, b, spacing_mm, IN_PLANE, beyond_is_mask=True)


def _distances(
    a: BoolArray, b: BoolArray, spacing_mm: Triple, structure: BoolArray, beyond_is_mask: bool
) -> BoundaryDistances:
    if a.shape != b.shape or a.ndim != 3:
        raise ValueError(f"The masks are {a.shape} and {b.shape}; bring them onto one (z, y, x) grid first.")
    box = union_box(a, b)
    if box is None:
        return BoundaryDistances(np.zeros(0), np.zeros(0))
    wider = tuple(
        slice(max(side.start - 1, 0), side.stop + 1) for side in box
    )  # so the cut is not mistaken for the array's border
    edge_a, edge_b = (
        mask & ~ndimage.binary_erosion(mask, structure, border_value=beyond_is_mask)
        for mask in (a[wider], b[wider])
    )
    return BoundaryDistances(_directed(edge_a, edge_b, spacing_mm), _directed(edge_b, edge_a, spacing_mm))


def _directed(edge: BoolArray, other: BoolArray, spacing_mm: Triple) -> Float:
    if not other.any():
        return np.full(int(edge.sum()), np.inf)
    return snap(distance_to(other, spacing_mm)[edge], spacing_mm)
