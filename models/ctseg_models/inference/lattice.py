"""Where a network's input lies in a volume. Lengths are mm along the axes (z, y, x) of the LPS-upright view of the volume,
counted from the outer face of its first voxel: voxel i of spacing s covers [i s, (i + 1) s]."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Literal, Self, TypeVar

import numpy as np

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Geometry, Shape, Triple
from ctseg_models.bundles.metadata import Growth, Intensity, Sizes, Stage

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
VIEW_AXES = {"S": (0, False), "I": (0, True), "P": (1, False), "A": (1, True), "L": (2, False), "R": (2, True)}
ROUNDING = 1e-6  # voxels: a box of exactly n voxels must not become n + 1 by rounding
LARGEST_GROWTH = 64.0  # times the bundle's spacing; beyond that the volume is no body part


@dataclass(frozen=True)
class Box:
    """An interval per axis (z, y, x), mm in the view."""

    low: Triple
    high: Triple

    @classmethod
    def whole(cls, view: Geometry) -> Box:
        """All of a view's geometry."""
        high = [n * s for n, s in zip(view.shape, view.spacing_mm, strict=True)]
        return cls((0.0, 0.0, 0.0), (high[0], high[1], high[2]))

    @property
    def extent(self) -> Triple:
        """Lengths of the sides in mm."""
        z, y, x = (b - a for a, b in zip(self.low, self.high, strict=True))
        return z, y, x

    def grown(self, margin_mm: float) -> Box:
        """The box with a margin on every side."""
        low, high = [a - margin_mm for a in self.low], [b + margin_mm for b in self.high]
        return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))

    def cut(self, other: Box) -> Box:
        """The common part; an axis without one has no length."""
        low = [max(a, b) for a, b in zip(self.low, other.low, strict=True)]
        high = [max(a, min(b, c)) for a, b, c in zip(low, self.high, other.high, strict=True)]
        return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))

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
    """The voxels a network sees: `shape` of `spacing_mm` from the outer face `low_mm` on; may reach beyond the volume."""

    low_mm: Triple
    spacing_mm: Triple
    shape: Shape

    @property
    def box(self) -> Box:
        """What it covers."""
        high = [a + n * s for a, n, s in zip(self.low_mm, self.shape, self.spacing_mm, strict=True)]
        return Box(self.low_mm, (high[0], high[1], high[2]))

    def geometry(self, view: Geometry) -> Geometry:
        """The same voxels in the patient. view : the geometry of the LPS-upright view."""
        spacing = np.array(view.spacing_mm)
        affine = view.affine_lps.copy()
        affine[:3, :3] = view.direction_zyx * np.array(self.spacing_mm)
        affine[:3, 3] = view.index_to_lps((np.array(self.low_mm) + np.array(self.spacing_mm) / 2) / spacing - 0.5)
        return Geometry(self.shape, affine)


@dataclass(frozen=True)
class Turn:
    """The axes of a network's array within the view. order : the view axis (0 z, 1 y, 2 x) of each. flips : which of them, as axes of
    the network's array, run backwards."""

    order: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[int, ...] = ()

    @classmethod
    def of_codes(cls, codes: str) -> Self:
        """From axis codes: letter i is where axis i runs to, so that "SPL" is the view itself. Raises ValueError for other letters."""
        if len(codes) != 3 or {VIEW_AXES.get(letter, (9, False))[0] for letter in codes} != {0, 1, 2}:
            raise ValueError(f"\"{codes}\" does not name three different axes by L or R, A or P, I or S")
        first, second, third = (VIEW_AXES[letter][0] for letter in codes)
        return cls((first, second, third), tuple(number for number, letter in enumerate(codes) if VIEW_AXES[letter][1]))

    def to_network(self, x: Tensor) -> Tensor:
        """(..., z, y, x) of the view along the network's axes, contiguous."""
        lead = x.ndim - 3
        turned = x.permute(*range(lead), *(lead + axis for axis in self.order))
        return (turned.flip([lead + axis for axis in self.flips]) if self.flips else turned).contiguous()

    def back(self, maps: Tensor) -> Tensor:
        """What a network gave (..., a, b, c), along the view's axes, contiguous."""
        lead = maps.ndim - 3
        unflipped = maps.flip([lead + axis for axis in self.flips]) if self.flips else maps
        return unflipped.permute(*range(lead), *(lead + self.order.index(axis) for axis in range(3))).contiguous()

    def zyx(self, triple: tuple[T, T, T]) -> tuple[T, T, T]:
        """A triple along the network's axes, along the view's (z, y, x)."""
        z, y, x = (triple[self.order.index(axis)] for axis in range(3))
        return z, y, x


@dataclass(frozen=True)
class StagePlan:
    """How a box of a volume becomes the input of one network: a Stage, or what a side file says. Triples are (z, y, x).

    Exactly one of spacing_mm and fixed_shape is set: fixed_shape resizes the box to that array.
    """

    name: Literal["localise", "segment"]
    channels: tuple[Intensity, ...]
    spacing_mm: Triple | None
    fixed_shape: Shape | None = None
    sizes: Sizes | None = None
    growth: Growth = field(default_factory=Growth)
    smoothing_sigma_mm: float = 0.0
    margin_mm: float = 0.0
    patch: Shape | None = None
    overlap: float = 0.5
    pad: float = -1024.0
    interpolation: Literal["area", "linear", "nearest"] = "area"

    @classmethod
    def of(cls, stage: Stage) -> StagePlan:
        """From a bundle's stage."""
        return cls(stage.name, stage.channels, stage.spacing_mm, None, stage.sizes, stage.spacing_growth, stage.smoothing_sigma_mm,
                   stage.margin_mm, stage.patch if stage.inferer == "sliding_window" else None, stage.overlap, stage.pad_hu)

    def lattice(self, box: Box, *, divide_evenly: bool) -> Lattice:
        """The lattice over `box`, centred on it to half a voxel, of an allowed size; the spacing grows until one fits.

        divide_evenly : for a whole volume: its extent is divided into a whole number of voxels (as resizing an array does), and what
        an allowed size needs more is padding outside. Otherwise the spacing is exact and the lattice at least as large as the box.
        """
        if self.fixed_shape is not None:
            z, y, x = (e / n for e, n in zip(box.extent, self.fixed_shape, strict=True))
            return Lattice(box.low, (z, y, x), self.fixed_shape)
        assert self.spacing_mm is not None
        spacing = self.spacing_mm
        while True:
            count = [_voxels(e, s, divide_evenly) for e, s in zip(box.extent, spacing, strict=True)]
            if (shape := self._allowed(count)) is not None:
                break
            z, y, x = (s * self.growth.factor + self.growth.add_mm for s in spacing)
            spacing = z, y, x
            if z > LARGEST_GROWTH * self.spacing_mm[0]:
                raise BundleError(f"A volume of {' x '.join(f'{e:.0f}' for e in box.extent)} mm (z, y, x) does not fit this bundle; "
                                  "choose a smaller region.")
        low = []
        final = []
        for axis in range(3):
            n, extent = count[axis], box.extent[axis]
            step = extent / n if divide_evenly else spacing[axis]
            overhang = (n * step - extent) / 2  # less than half a voxel, so that the centre of every voxel needed lies in the box
            final.append(step)
            low.append(box.low[axis] - overhang - (shape[axis] - n) // 2 * step)
        return Lattice((low[0], low[1], low[2]), (final[0], final[1], final[2]), shape)

    def _allowed(self, count: list[int]) -> Shape | None:
        if self.patch is not None:
            z, y, x = (max(n, p) for n, p in zip(count, self.patch, strict=True))
            return z, y, x
        if self.sizes is None:
            return count[0], count[1], count[2]
        return self.sizes.next_allowed(tuple(count))


def _voxels(extent_mm: float, spacing_mm: float, divide_evenly: bool) -> int:
    exact = extent_mm / spacing_mm
    return max(1, math.floor(exact + 0.5) if divide_evenly else math.ceil(exact - ROUNDING))


@dataclass(frozen=True)
class Region:
    """Where a person wants the bundle to look, as an axis-aligned box in LPS mm: corners (x, y, z)."""

    low_lps_mm: Triple
    high_lps_mm: Triple

    @classmethod
    def from_index(cls, geometry: Geometry, start: Shape, stop: Shape) -> Region:
        """From a box of stored voxels [start, stop), (z, y, x); of an oblique grid, the upright box that holds it."""
        corners = geometry.crop(start, stop).corners_lps_mm()
        (x0, y0, z0), (x1, y1, z1) = corners.min(axis=0), corners.max(axis=0)
        return cls((float(x0), float(y0), float(z0)), (float(x1), float(y1), float(z1)))

    @classmethod
    def whole(cls, geometry: Geometry) -> Region:
        """All of the volume: no localiser is asked."""
        return cls.from_index(geometry, (0, 0, 0), geometry.shape)

    def box(self, view: Geometry) -> Box:
        """In a view's mm, cut to the volume. Raises BundleError when nothing is left."""
        ends = zip(self.low_lps_mm, self.high_lps_mm, strict=True)
        index = view.lps_to_index(np.array(list(product(*ends))))
        spacing = np.array(view.spacing_mm)
        low, high = (index.min(axis=0) + 0.5) * spacing, (index.max(axis=0) + 0.5) * spacing
        box = Box((low[0], low[1], low[2]), (high[0], high[1], high[2])).cut(Box.whole(view))
        start, stop = box.voxels(view)
        if any(a >= b for a, b in zip(start, stop, strict=True)):
            raise BundleError("The region holds no voxel of the volume; give its corners in LPS mm, within the volume.")
        return box
