"""Surface distances between two masks, by surface elements as DeepMind's surface-distance package defines
them.

A surface element (surfel) sits at every corner of the voxel lattice whose eight voxels are not all inside or
all outside. Its area is that of the marching-cubes surface through these eight; distances go from corner to
corner. Source: Nikolov et al. 2018, arXiv:1809.04430, and github.com/google-deepmind/surface-distance, whose
numbers this reproduces with its own code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import edt
import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.geometry import Triple
from ctseg_imaging.metrics.boxes import union_box

BoolArray = NDArray[np.bool_]
Codes = NDArray[np.uint8]
Float = NDArray[np.float64]

# Spacings in a NIfTI are rounded to single precision, so distances equal to the tolerance count up to this
# relative error.
TIE = 1e-6
SNAPPED = 1_000_000  # lattice vectors tried when a distance is made exact


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distances in mm of each surface element of two masks to the other surface, ascending, and the elements'
    areas in mm2.

    Where the other mask is empty all distances are inf; an empty mask has no elements.
    """

    a_to_b_mm: Float
    area_a_mm2: Float
    b_to_a_mm: Float
    area_b_mm2: Float

    def hausdorff(self, percent: float = 100) -> float:
        """The distance within which `percent` of each surface's area lies, the larger of both directions, in
        mm.

        percent=100 is the Hausdorff distance, 95 the usual HD95. inf if a mask is empty, also if both are.
        """
        return max(
            _percentile(self.a_to_b_mm, self.area_a_mm2, percent),
            _percentile(self.b_to_a_mm, self.area_b_mm2, percent),
        )

    def average(self) -> tuple[float, float]:
        """Mean distance (a to b, b to a) in mm by area.

        The side of an empty mask is NaN, the other then inf.
        """
        return _mean(self.a_to_b_mm, self.area_a_mm2), _mean(self.b_to_a_mm, self.area_b_mm2)

    def assd(self) -> float:
        """Average symmetric surface distance: the mean over both surfaces together, by area, in mm.

        NaN if both masks are empty, inf if one is. Source: Heimann et al. 2009, doi:10.1109/TMI.2009.2013851.
        """
        return _mean(
            np.concatenate([self.a_to_b_mm, self.b_to_a_mm]),
            np.concatenate([self.area_a_mm2, self.area_b_mm2]),
        )

    def overlap(self, tolerance_mm: float) -> tuple[float, float]:
        """The share of each surface within `tolerance_mm` of the other, (a, b); NaN for the side of an empty
        mask.
        """
        return tuple(_ratio(inside, total) for inside, total in self._within(tolerance_mm))  # type: ignore[return-value]

    def nsd(self, tolerance_mm: float) -> float:
        """Normalised surface Dice: the share of both surfaces within `tolerance_mm` (0 or more) of the other.

        In [0, 1]; NaN if both masks are empty, 0 if one is. A distance equal to the tolerance counts as
        within.
        """
        (inside_a, total_a), (inside_b, total_b) = self._within(tolerance_mm)
        return _ratio(inside_a + inside_b, total_a + total_b)

    def _within(self, tolerance_mm: float) -> tuple[tuple[float, float], tuple[float, float]]:
        if tolerance_mm < 0:
            raise ValueError(f"The tolerance is {tolerance_mm} mm; give 0 or more.")
        reach = tolerance_mm * (1 + TIE)
        return (
            (float(self.area_a_mm2[self.a_to_b_mm <= reach].sum()), float(self.area_a_mm2.sum())),
            (float(self.area_b_mm2[self.b_to_a_mm <= reach].sum()), float(self.area_b_mm2.sum())),
        )


def surface_distances(a: BoolArray, b: BoolArray, spacing_mm: Triple) -> SurfaceDistances:
    """Distances between the surfaces of two masks on one grid.

    a, b : (z, y, x) masks (bool, or integers where everything but 0 is inside). spacing_mm : (z, y, x). A
    mask that touches the border of the array has a surface there. Raises ValueError if the shapes differ.
    """
    if a.shape != b.shape or a.ndim != 3:
        raise ValueError(f"The masks are {a.shape} and {b.shape}; bring them onto one (z, y, x) grid first.")
    box = union_box(a, b)
    if box is None:
        return SurfaceDistances(*(np.zeros(0) for _ in range(4)))
    codes_a, codes_b = neighbour_codes(a[box]), neighbour_codes(b[box])
    areas = surfel_areas_mm2(spacing_mm)
    return SurfaceDistances(
        *_directed(codes_a, codes_b, areas, spacing_mm), *_directed(codes_b, codes_a, areas, spacing_mm)
    )


def neighbour_codes(mask: NDArray[np.generic]) -> Codes:
    """For each lattice corner, one more than voxels per axis, which of its eight voxels are inside.

    Voxel (dz, dy, dx) of the eight, each 0 or 1, is bit 7 - (4 dz + 2 dy + dx). Voxels beyond the array count
    as outside the mask.
    """
    inside = np.pad(mask != 0, 1).view(np.uint8)
    along_x = inside[:, :, :-1] << 1 | inside[:, :, 1:]
    along_y = along_x[:, :-1] << 2 | along_x[:, 1:]
    return (along_y[:-1] << 4 | along_y[1:]).astype(np.uint8, copy=False)


def surfel_areas_mm2(spacing_mm: Triple) -> Float:
    """(256,) area in mm2 of the surface element of each neighbour code; 0 for codes 0 and 255.

    spacing_mm : (z, y, x).
    """
    z, y, x = (float(s) for s in spacing_mm)
    areas: Float = np.linalg.norm(_triangles() * (y * x, z * x, z * y), axis=-1).sum(-1)
    return areas


@lru_cache(maxsize=1)
def _triangles() -> Float:
    """(256, 4, 3) area vectors, in voxels, of the triangles that cut off the corners inside for each code.

    Marching cubes through the middles of the cut edges (Lorensen & Cline 1987); a code and its complement
    share one surface, that around the fewer corners, so the area does not depend on which side is inside.
    """
    from skimage.measure import marching_cubes

    vectors = np.zeros((256, 4, 3))
    for code in range(1, 255):
        fewer = code if code.bit_count() <= 4 else 255 - code
        corners = (fewer >> np.arange(7, -1, -1) & 1).reshape(2, 2, 2).astype(np.float32)
        vertices, faces, _, _ = marching_cubes(corners, 0.5, method="lorensen")
        p, q, r = np.round(2 * vertices[faces].transpose(1, 0, 2)) / 2  # the middles, free of rounding
        vectors[code, : len(faces)] = np.cross(q - p, r - p) / 2
    return vectors


def _directed(
    codes_from: Codes, codes_to: Codes, areas_mm2: Float, spacing_mm: Triple
) -> tuple[Float, Float]:
    """Distances of one surface's elements to the other with their areas, sorted by distance, then area."""
    on_surface = is_surface(codes_from)
    area = areas_mm2[codes_from[on_surface]]
    target = is_surface(codes_to)
    distance = (
        snap(distance_to(target, spacing_mm)[on_surface], spacing_mm)
        if target.any()
        else np.full(len(area), np.inf)
    )
    order = np.lexsort((area, distance))
    return distance[order], area[order]


def is_surface(codes: Codes) -> BoolArray:
    """Where some of the eight voxels are inside and some outside."""
    found: BoolArray = (codes + np.uint8(1)) > 1  # 255 wraps to 0
    return found


def distance_to(target: BoolArray, spacing_mm: Triple) -> NDArray[np.float32]:
    """(z, y, x) Euclidean distance in mm of every lattice point to the nearest where `target` is True (at
    least one must be).
    """
    away: NDArray[np.float32] = edt.edt(
        (~target).view(np.uint8),  # faster than bool
        anisotropy=tuple(float(s) for s in spacing_mm),
        black_border=False,
        parallel=1,
    )
    return away


def snap(distances_mm: NDArray[np.float32], spacing_mm: Triple) -> Float:
    """Distances between lattice points made exact: each becomes the nearest length of a lattice vector, in
    double precision.

    Lengths beyond the SNAPPED shortest vectors (tens of millimetres in a CT) stay as they are, right to 3e-7
    of their value.
    """
    different, where = np.unique(distances_mm, return_inverse=True)
    lengths = different.astype(np.float64)
    if not len(lengths):
        return lengths
    limit = min(float(lengths[-1]) * (1 + TIE), float(np.cbrt(SNAPPED * 6 / np.pi * np.prod(spacing_mm))))
    z2, y2, x2 = ((np.arange(int(limit / s) + 2) * float(s)) ** 2 for s in spacing_mm)
    in_plane = np.add.outer(y2, x2).ravel()
    squares = np.unique(
        np.concatenate(
            [level + in_plane[in_plane <= limit**2 - level] for level in z2 if level <= limit**2] + [[0.0]]
        )
    )
    lattice = np.sqrt(squares)
    reachable = lengths <= limit
    next_longer = np.clip(np.searchsorted(lattice, lengths[reachable]), 1, max(len(lattice) - 1, 1))
    below, above = lattice[next_longer - 1], lattice[np.minimum(next_longer, len(lattice) - 1)]
    lengths[reachable] = np.where(lengths[reachable] - below < above - lengths[reachable], below, above)
    snapped: Float = lengths[where]
    return snapped


def _percentile(distances: Float, areas: Float, percent: float) -> float:
    if not len(distances):
        return np.inf
    covered = np.cumsum(areas) / np.sum(areas)
    return float(distances[min(int(np.searchsorted(covered, percent / 100)), len(distances) - 1)])


def _mean(distances: Float, areas: Float) -> float:
    return _ratio(float((distances * areas).sum()), float(areas.sum()))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else np.nan
