"""Implicit shapes of the phantom: negative inside, positive outside, close to a signed distance in mm near
the surface.

Points are LPS mm of the body frame (x to the left, y to the back, z to the head), as three float32 arrays of
one shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Point = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Points:
    """Where a shape is evaluated.

    x, y, z : body-frame mm. fields : values on the same points by name: textures (smooth noise of unit
    variance) and the shapes that many parts share ("skin", "wall", "cavity", "dome").
    """

    x: Field
    y: Field
    z: Field
    fields: Mapping[str, Field]


ShapeFunction = Callable[[Points], Field]
Tissue = Callable[[Points, Field], Field]


@dataclass(frozen=True)
class BodyBox:
    """An axis-aligned box in body-frame mm; low and high are (x, y, z)."""

    low: Point
    high: Point

    @classmethod
    def around(cls, points: Sequence[Point], margin_mm: float) -> BodyBox:
        """The smallest box that holds `points` with a margin."""
        array = np.asarray(points, np.float64)
        low, high = array.min(axis=0) - margin_mm, array.max(axis=0) + margin_mm
        return cls((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def ellipsoid(p: Points, centre: Point, radii: Point, axes: NDArray[np.float64] | None = None) -> Field:
    """An ellipsoid; axes : 3x3, row j the LPS direction of radius j.

    The distance is Quilez' first-order bound.
    """
    offsets = [p.x - np.float32(centre[0]), p.y - np.float32(centre[1]), p.z - np.float32(centre[2])]
    if axes is not None:
        turned = np.asarray(axes, np.float32)
        offsets = [row[0] * offsets[0] + row[1] * offsets[1] + row[2] * offsets[2] for row in turned]
    near = np.float32(1e-6)
    k0 = near + sum((o * np.float32(1 / r)) ** 2 for o, r in zip(offsets, radii, strict=True))
    k1 = near**2 + sum((o * np.float32(1 / r**2)) ** 2 for o, r in zip(offsets, radii, strict=True))
    return np.asarray((k0 - np.sqrt(k0)) / np.sqrt(k1), np.float32)


def ellipse(
    u: Field, v: Field, radius_u: Field | np.float32 | float, radius_v: Field | np.float32 | float
) -> Field:
    """An elliptic cylinder over the plane (u, v); radii may vary from point to point."""
    ru, rv = np.asarray(radius_u, np.float32), np.asarray(radius_v, np.float32)
    u2, v2 = (u / ru) ** 2, (v / rv) ** 2
    k0 = u2 + v2 + np.float32(1e-6)
    k1 = u2 / ru**2 + v2 / rv**2 + np.float32(1e-10)
    return np.asarray((k0 - np.sqrt(k0)) / np.sqrt(k1), np.float32)


def capsule(p: Points, a: Point, b: Point, radius_a: float, radius_b: float) -> Field:
    """A round cone: the points nearer to the segment from a to b than a radius that runs from radius_a to
    radius_b.
    """
    ab = np.subtract(b, a).astype(np.float32)
    dx, dy, dz = p.x - np.float32(a[0]), p.y - np.float32(a[1]), p.z - np.float32(a[2])
    along = np.clip(
        (dx * ab[0] + dy * ab[1] + dz * ab[2]) / max(float(ab @ ab), 1e-6), 0, 1, dtype=np.float32
    )
    distance = np.sqrt((dx - along * ab[0]) ** 2 + (dy - along * ab[1]) ** 2 + (dz - along * ab[2]) ** 2)
    return np.asarray(distance - np.float32(radius_a) - along * np.float32(radius_b - radius_a), np.float32)


def tube(p: Points, path: Sequence[Point], radii: Sequence[float]) -> Field:
    """A tube along a polyline whose radius is given at each of its points."""
    field = capsule(p, path[0], path[1], radii[0], radii[1])
    for i in range(1, len(path) - 1):
        np.minimum(field, capsule(p, path[i], path[i + 1], radii[i], radii[i + 1]), out=field)
    return field


def smooth_min(a: Field, b: Field, blend_mm: float) -> Field:
    """The union of two shapes with a fillet (polynomial smooth minimum)."""
    h = np.maximum(np.float32(blend_mm) - np.abs(a - b), 0)
    return np.asarray(np.minimum(a, b) - h * h * np.float32(0.25 / blend_mm), np.float32)


def smooth_max(a: Field, b: Field, blend_mm: float) -> Field:
    """The intersection of two shapes with a rounded edge."""
    return -smooth_min(-a, -b, blend_mm)


def curve(control: Sequence[Point], count: int) -> list[Point]:
    """A Catmull-Rom spline through `control`, as `count` points at equal parameter steps, with both ends."""
    points = np.asarray([control[0], *control, control[-1]], np.float64)
    places = np.linspace(0, len(control) - 1 - 1e-9, count)
    result = []
    for place in places:
        i, t = int(place), place - int(place)
        a, b, c, d = points[i : i + 4]
        q = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        result.append((float(q[0]), float(q[1]), float(q[2])))
    return result


def blend(low: Field | float, high: Field | float, depth_mm: Field, width_mm: float = 1.5) -> Field:
    """`low` where depth_mm < 0, `high` where it is > 0, linear over width_mm between."""
    t = np.clip(depth_mm / np.float32(width_mm) + np.float32(0.5), 0, 1, dtype=np.float32)
    return np.asarray(low + (high - low) * t, np.float32)


def rotation(rng: np.random.Generator, degrees: float) -> NDArray[np.float64]:
    """A random rotation with an angle of about `degrees` (normal) about each axis."""
    a, b, c = np.radians(rng.normal(0, degrees, 3))
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    turned: NDArray[np.float64] = about_x @ about_y @ about_z
    return turned
