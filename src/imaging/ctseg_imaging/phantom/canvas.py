"""The phantom's painter: parts laid over each other in order, with partial volume at every edge and exact
labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.phantom.shapes import BodyBox, Field, Points, ShapeFunction, Tissue
from ctseg_imaging.phantom.texture import Texture

FAR_MM = np.float32(60.0)  # farther than any rim


@dataclass(frozen=True)
class Part:
    """One thing to paint."""

    name: str
    shape: ShapeFunction  # implicit function, negative inside
    tissue: Tissue | float  # HU, a number or a function of the points and of the shape's value
    box: BodyBox | None = None  # where it can be; None: everywhere
    label: int | None = None  # its value in the label map (0 erases); None: the label map is unchanged
    rim_mm: float | None = None  # its distance from all earlier solid parts (None: it is painted over them)
    solid: bool = False  # later parts keep away from it


@dataclass(frozen=True, eq=False)
class Warp:
    """A smooth deformation: plane waves.

    vectors : (n, 3) 1/mm (x, y, z), shifts : (n, 3) mm, phases : (n,).
    """

    vectors: NDArray[np.float64]
    shifts: NDArray[np.float64]
    phases: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator, waves: int = 9, amplitude_mm: float = 2.2) -> Warp:
        """Wavelengths of 90 to 260 mm, each wave shifting points by about `amplitude_mm`."""
        directions = rng.normal(size=(waves, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = rng.uniform(90, 260, (waves, 1))
        shifts = rng.normal(0, amplitude_mm, (waves, 3)) * (lengths / 180)
        return cls(2 * np.pi * directions / lengths, np.clip(shifts, -6, 6), rng.uniform(0, 2 * np.pi, waves))

    @property
    def reach_mm(self) -> float:
        """A bound, met in practice, of how far a point moves along an axis."""
        return float(2.5 * np.sqrt((self.shifts**2).sum(axis=0) / 2).max())


class Canvas:
    """A slab of the volume that parts are painted on.

    At an edge, a voxel is a mixture in proportion to the volume on each side.
    """

    def __init__(
        self,
        geometry: Geometry,
        warp: Warp,
        textures: Mapping[str, Texture],
        centre_lps_mm: NDArray[np.float64],
        texture_axes_mm: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
        air: float = -1000,
        blur_mm: float = 1.2,
    ) -> None:
        self.geometry, self.warp, self.blur_mm = geometry, warp, np.float32(blur_mm)
        self.centre = np.asarray(centre_lps_mm, np.float64)
        self.image: Field = np.full(geometry.shape, air, np.float32)
        self.labels = np.zeros(geometry.shape, np.uint8)
        self.free: Field = np.full(geometry.shape, FAR_MM, np.float32)  # distance to the nearest solid part
        self.fields = {name: texture.sample(texture_axes_mm) for name, texture in textures.items()}
        self.x, self.y, self.z = self._body_frame()

    def _body_frame(self) -> tuple[Field, Field, Field]:
        """Body-frame coordinates of every voxel: its LPS point from the body centre, moved by the warp."""
        affine = self.geometry.affine_lps
        steps = [np.arange(n, dtype=np.float64) for n in self.geometry.shape]
        start = affine[:3, 3] - self.centre
        self.raw = [
            self._outer_sum(start[lps], [affine[lps, axis] * steps[axis] for axis in range(3)])
            for lps in range(3)
        ]
        moved = [raw.copy() for raw in self.raw]
        for vector, shift, phase in zip(self.warp.vectors, self.warp.shifts, self.warp.phases, strict=True):
            angles = [(vector @ affine[:3, axis]) * steps[axis] for axis in range(3)]
            rows = (
                np.exp(1j * (angles[0] + vector @ start + phase))[:, None] * np.exp(1j * angles[1])[None, :]
            )
            column = np.exp(1j * angles[2])
            wave = rows.real.astype(np.float32)[..., None] * column.real.astype(np.float32)
            wave -= rows.imag.astype(np.float32)[..., None] * column.imag.astype(np.float32)
            for lps in range(3):
                moved[lps] += wave * np.float32(shift[lps])
        return moved[0], moved[1], moved[2]

    @staticmethod
    def _outer_sum(start: float, steps: Sequence[NDArray[np.float64]]) -> Field:
        z, y, x = steps
        return ((start + z)[:, None, None] + y[None, :, None] + x[None, None, :]).astype(np.float32)

    def share_shapes(self, shapes: Mapping[str, ShapeFunction]) -> None:
        """Evaluate shapes once, in order, for all parts to use as `Points.fields`."""
        for name, shape in shapes.items():
            self.fields[name] = shape(Points(self.x, self.y, self.z, self.fields))

    def paint(self, part: Part, *, warped: bool = True) -> None:
        """Paint `part` over the earlier parts."""
        where = self._where(part.box)
        if where is None:
            return
        x, y, z = (self.x, self.y, self.z) if warped else self.raw
        points = Points(
            x[where], y[where], z[where], {name: field[where] for name, field in self.fields.items()}
        )
        field = part.shape(points)
        if part.rim_mm is not None:
            field = np.maximum(field, np.float32(part.rim_mm) - self.free[where])
        if part.solid:
            np.minimum(self.free[where], field, out=self.free[where])
        share = self._share(field)
        tissue = part.tissue if isinstance(part.tissue, float | int) else part.tissue(points, field)
        image = self.image[where]
        image += share * (tissue - image)
        if part.label is not None:
            self.labels[where][field < 0] = part.label

    def _share(self, field: Field) -> Field:
        """How much of each voxel lies inside, from the field's change over one voxel along each axis and the
        scanner's blur.
        """
        width = np.full(field.shape, self.blur_mm**2, np.float32)
        for axis in range(3):
            if (n := field.shape[axis]) > 1:
                change = np.diff(field, axis=axis) ** 2
                front, last = [slice(None)] * 3, [slice(None)] * 3
                front[axis], last[axis] = slice(0, n - 1), slice(n - 1, n)
                width[tuple(front)] += change
                final = [slice(None)] * 3
                final[axis] = slice(n - 2, n - 1)
                width[tuple(last)] += change[tuple(final)]
        return np.asarray(np.clip(np.float32(0.5) - field / np.sqrt(width), 0, 1), np.float32)

    def _where(self, box: BodyBox | None) -> tuple[slice, slice, slice] | None:
        """The sub-array that holds `box` after the warp, or None where it misses the slab."""
        if box is None:
            return slice(None), slice(None), slice(None)
        low, high = np.array(box.low) - self.warp.reach_mm, np.array(box.high) + self.warp.reach_mm
        corners = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), axis=-1).reshape(-1, 3)
        index = self.geometry.lps_to_index(corners + self.centre)
        start = np.maximum(np.floor(index.min(axis=0)).astype(int) - 1, 0)
        stop = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 2, self.geometry.shape)
        if (start >= stop).any():
            return None
        return slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2])
