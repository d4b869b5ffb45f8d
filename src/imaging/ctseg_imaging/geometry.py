"""Grids of voxels in patient coordinates. Arrays are (z, y, x); physical points are LPS mm (x, y, z)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ctseg_imaging.errors import GeometryError, ShearedGrid

Triple = tuple[float, float, float]
Shape = tuple[int, int, int]
Float = NDArray[np.float64]
ORTHOGONAL_TOLERANCE = 1e-4  # cosines; NIfTI keeps float32, so an exact box may be off by 1e-6
_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))  # towards minus, towards plus of LPS x, y, z


class Match(StrEnum):
    """The relation of two grids, from the best match to the worst.

    REORIENTED : the same lattice of voxels with flipped or swapped axes.
    """

    SAME = "same"
    ROUNDING = "rounding"
    REORIENTED = "reoriented"
    SHIFTED = "shifted"
    OTHER_GRID = "other grid"
    NO_OVERLAP = "no overlap"


@dataclass(frozen=True, eq=False)
class Geometry:
    """The geometry of a voxel array in the patient.

    shape : (z, y, x) voxels. affine_lps : 4x4, takes a (z, y, x, 1) index to LPS mm (x, y, z, 1); voxel
    centres. stated_mm : `spacing_mm` as the file's header has it, to the bit; None without a file, as
    `spacing_mm` computed from the affine is rounded. Raises GeometryError if an axis has no length or the
    axes are not at right angles: such a grid is not a rectangular box.
    """

    shape: Shape
    affine_lps: Float
    stated_mm: Triple | None = None

    def __post_init__(self) -> None:
        affine = np.array(self.affine_lps, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError(
                "The affine must be 4x4 with finite numbers; export the volume again with its geometry."
            )
        affine.setflags(write=False)
        object.__setattr__(self, "affine_lps", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if (lengths <= 0).any():
            raise GeometryError(
                "The voxel spacing is zero along an axis; export the volume again with its voxel size."
            )
        cosines = affine[:3, :3] / lengths
        if (shear := float(np.abs(cosines.T @ cosines - np.eye(3)).max())) > ORTHOGONAL_TOLERANCE:
            degrees = float(np.degrees(np.arcsin(min(shear, 1))))
            raise ShearedGrid(
                f"The grid is sheared by {degrees:.2g} degrees (its axes are not at right angles); "
                "resample it to a box first.",
                degrees,
            )

    @classmethod
    def from_parts(
        cls,
        shape: Sequence[int],
        spacing_mm: ArrayLike,
        origin_lps_mm: ArrayLike = (0, 0, 0),
        direction: ArrayLike | None = None,
    ) -> Geometry:
        """From spacing, origin and direction.

        shape and spacing_mm : (z, y, x). origin_lps_mm : (x, y, z), the centre of voxel 0. direction : 3x3 as
        in ITK, column j the LPS direction of the x, y or z axis (j = 0, 1, 2).
        """
        cosines = np.eye(3) if direction is None else np.asarray(direction, np.float64).reshape(3, 3)
        affine = np.eye(4)
        affine[:3, :3] = cosines[:, ::-1] * np.asarray(spacing_mm, np.float64)
        affine[:3, 3] = origin_lps_mm
        return cls((int(shape[0]), int(shape[1]), int(shape[2])), affine)

    @cached_property
    def spacing_mm(self) -> Triple:
        """Distance of voxel centres along (z, y, x), in mm."""
        z, y, x = np.linalg.norm(self.affine_lps[:3, :3], axis=0)
        return float(z), float(y), float(x)

    @property
    def origin_lps_mm(self) -> Triple:
        """The centre of voxel (0, 0, 0), LPS (x, y, z)."""
        x, y, z = self.affine_lps[:3, 3]
        return float(x), float(y), float(z)

    @property
    def direction(self) -> Float:
        """3x3 cosines as in ITK: column j is the LPS direction of the x, y or z axis."""
        return self.direction_zyx[:, ::-1]

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in mm3."""
        return float(np.prod(self.spacing_mm))

    @property
    def axis_codes(self) -> str:
        """The nearest anatomical direction of each array axis (z, y, x), e.g. "SPL" for a plain axial CT."""
        assigned = nearest_axes(self.direction_zyx)
        return "".join(
            _LETTERS[lps][int(self.direction_zyx[lps, axis] > 0)] for axis, lps in enumerate(assigned)
        )

    @property
    def direction_zyx(self) -> Float:
        """3x3 cosines, column j the LPS direction of array axis j."""
        cosines: Float = self.affine_lps[:3, :3] / np.array(self.spacing_mm)
        return cosines

    @property
    def is_oblique(self) -> bool:
        """Whether an axis is more than 0.1 degrees away from the patient's axes."""
        return bool(np.abs(self.direction).max(axis=0).min() < np.cos(np.radians(0.1)))

    def index_to_lps(self, index: ArrayLike) -> Float:
        """(..., 3) indices (z, y, x) to (..., 3) LPS points (x, y, z) in mm."""
        points: Float = np.asarray(index, np.float64) @ self.affine_lps[:3, :3].T + self.affine_lps[:3, 3]
        return points

    def lps_to_index(self, points_lps_mm: ArrayLike) -> Float:
        """(..., 3) LPS points (x, y, z) in mm to (..., 3) fractional indices (z, y, x)."""
        inverse = np.linalg.inv(self.affine_lps)
        index: Float = np.asarray(points_lps_mm, np.float64) @ inverse[:3, :3].T + inverse[:3, 3]
        return index

    def corners_lps_mm(self) -> Float:
        """(8, 3) LPS points: the outer corners of the corner voxels."""
        ends = [(-0.5, n - 0.5) for n in self.shape]
        return self.index_to_lps(np.array(list(product(*ends))))

    def crop(self, start: Sequence[int], stop: Sequence[int]) -> Geometry:
        """The sub-grid [start, stop) along (z, y, x); indices may lie outside, the lattice stays."""
        affine = self.affine_lps.copy()
        affine[:3, 3] = self.index_to_lps(start)
        shape = [int(b) - int(a) for a, b in zip(start, stop, strict=True)]
        return Geometry((shape[0], shape[1], shape[2]), affine)

    def with_spacing(self, spacing_mm: Sequence[float], shape: Sequence[int] | None = None) -> Geometry:
        """The same box (same outer faces at the low corner) with another voxel size; shape: default the
        nearest that fills it.
        """
        old, new = np.array(self.spacing_mm), np.asarray(spacing_mm, np.float64)
        if shape is None:
            shape = [max(1, round(float(n))) for n in np.array(self.shape) * old / new]
        affine = self.affine_lps.copy()
        affine[:3, :3] = self.direction_zyx * new
        affine[:3, 3] = self.index_to_lps((new / old - 1) / 2)
        return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine)

    def matches(self, other: Geometry, tolerance: float = 1e-3) -> Match:
        """The relation of `other` to this grid.

        tolerance : voxels, the largest distance of a corner that counts as rounding.
        """
        if self.shape == other.shape and np.array_equal(self.affine_lps, other.affine_lps):
            return Match.SAME
        corners, in_self = _corners(self, other)
        if self.shape == other.shape and np.abs(in_self - corners).max() < tolerance:
            return Match.ROUNDING
        if not _boxes_overlap(self, other):
            return Match.NO_OVERLAP
        if AxisView.between(other, self, tolerance) is not None:
            return Match.REORIENTED
        same_lattice = np.abs((in_self - in_self[0]) - (corners - corners[0])).max() < tolerance
        return Match.SHIFTED if same_lattice else Match.OTHER_GRID


def nearest_axes(direction_zyx: ArrayLike) -> tuple[int, int, int]:
    """For each array axis (z, y, x) the LPS axis (0 x, 1 y, 2 z) it runs along, one to one, by the largest
    summed cosine.
    """
    cosines = np.abs(np.asarray(direction_zyx, np.float64))
    orders = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    # The last candidate that is best wins ties towards (2, 1, 0), the plain axial order.
    return max(
        reversed(orders),
        key=lambda order: round(float(sum(cosines[lps, axis] for axis, lps in enumerate(order))), 9),
    )


def _corners(onto: Geometry, have: Geometry) -> tuple[Float, Float]:
    """The corner voxels of `have`, as indices of its own grid and of `onto`."""
    corners = np.array(list(product(*[(0, n - 1) for n in have.shape])), np.float64)
    return corners, onto.lps_to_index(have.index_to_lps(corners))


def _boxes_overlap(a: Geometry, b: Geometry) -> bool:
    """Separating axis test of two boxes; touching faces do not overlap."""
    corners_a, corners_b = a.corners_lps_mm(), b.corners_lps_mm()
    axes = [*a.direction_zyx.T, *b.direction_zyx.T]
    axes += [np.cross(u, v) for u in a.direction_zyx.T for v in b.direction_zyx.T]
    for axis in axes:
        if (length := np.linalg.norm(axis)) < 1e-9:
            continue
        on_a, on_b = corners_a @ axis / length, corners_b @ axis / length
        if on_a.max() <= on_b.min() + 1e-6 or on_b.max() <= on_a.min() + 1e-6:
            return False
    return True


@dataclass(frozen=True)
class AxisView:
    """The nearest axis-aligned LPS view of a grid: array axes turned to (z to superior, y to posterior, x to
    left).

    order : for each view axis the stored array axis. flips : whether that axis then runs backwards. Views,
    never copies.
    """

    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    @classmethod
    def of(cls, geometry: Geometry) -> AxisView:
        """The view that brings `geometry` closest to an upright LPS box."""
        assigned = nearest_axes(geometry.direction_zyx)  # stored axis -> LPS axis
        order = tuple(assigned.index(lps) for lps in (2, 1, 0))
        flips = tuple(
            bool(geometry.direction_zyx[lps, axis] < 0) for lps, axis in zip((2, 1, 0), order, strict=True)
        )
        return cls(order, flips)  # type: ignore[arg-type]

    @classmethod
    def between(cls, have: Geometry, onto: Geometry, tolerance: float = 1e-3) -> AxisView | None:
        """The flips and transposes that bring an array on `have` onto `onto`; None unless both are the same
        lattice of voxels. tolerance : voxels, the largest distance of a corner that counts as rounding.
        """
        matrix = np.linalg.inv(have.affine_lps) @ onto.affine_lps  # index of `onto` -> index of `have`
        order = tuple(int(axis) for axis in np.abs(matrix[:3, :3]).argmax(axis=0))
        if sorted(order) != [0, 1, 2]:
            return None
        view = cls(order, tuple(bool(matrix[axis, k] < 0) for k, axis in enumerate(order)))  # type: ignore[arg-type]
        turned = view.geometry(have)
        if turned.shape != onto.shape:
            return None
        corners, in_onto = _corners(onto, turned)
        return view if np.abs(in_onto - corners).max() < tolerance else None

    def apply(self, array: NDArray) -> NDArray:  # type: ignore[type-arg]
        """A view of `array` (..., z, y, x) along the view's axes; nothing is copied."""
        lead = array.ndim - 3
        turned = array.transpose([*range(lead), *(lead + axis for axis in self.order)])
        return turned[(..., *(slice(None, None, -1) if flip else slice(None) for flip in self.flips))]

    def invert(self, array: NDArray) -> NDArray:  # type: ignore[type-arg]
        """The array in stored order from a view (..., z, y, x); also a view."""
        lead = array.ndim - 3
        unflipped = array[(..., *(slice(None, None, -1) if flip else slice(None) for flip in self.flips))]
        back = [self.order.index(axis) for axis in range(3)]
        return unflipped.transpose([*range(lead), *(lead + axis for axis in back)])

    def geometry(self, geometry: Geometry) -> Geometry:
        """The exact geometry of the viewed array."""
        start = [
            n - 1 if flip else 0
            for n, flip in zip((geometry.shape[a] for a in self.order), self.flips, strict=True)
        ]
        stored = [0, 0, 0]
        for view_axis, axis in enumerate(self.order):
            stored[axis] = start[view_axis]
        affine = geometry.affine_lps.copy()
        signs = np.where(self.flips, -1.0, 1.0)
        affine[:3, :3] = geometry.affine_lps[:3, list(self.order)] * signs
        affine[:3, 3] = geometry.index_to_lps(stored)
        shape = [geometry.shape[axis] for axis in self.order]
        z, y, x = self.order
        stated = geometry.stated_mm
        return Geometry(
            (shape[0], shape[1], shape[2]),
            affine,
            None if stated is None else (stated[z], stated[y], stated[x]),
        )
