"""Regions drawn on a slice: which voxels they hold, and their area.

Polygons that cross themselves are filled by the even-odd rule, in the area as in the voxels.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ctseg_imaging.geometry import Float, Geometry
from ctseg_imaging.measurements.shapes import DrawnShape, Kind

Mask = NDArray[np.bool_]


def voxels_inside(shape: DrawnShape, size: tuple[int, int]) -> tuple[tuple[slice, slice], Mask]:
    """The voxels of the slice whose centres lie inside a region: a box of the slice, and a mask of it.

    size : of the slice along `shape.in_plane`. A centre on a side counts as inside at the low end and as
    outside at the high end, as in a pixel's own square; on an ellipse it counts as inside.
    """
    flat = shape.array[:, shape.in_plane]
    low = np.clip(np.ceil(flat.min(axis=0)), 0, size).astype(int)
    high = np.clip(np.floor(flat.max(axis=0)) + 1, low, size).astype(int)
    rows, columns = (np.arange(a, b, dtype=np.float64) for a, b in zip(low, high, strict=True))
    box = slice(low[0], high[0]), slice(low[1], high[1])
    if shape.kind is Kind.ELLIPSE:
        return box, _in_ellipse(flat, rows, columns)
    return box, _in_polygon(flat, rows, columns)


def area_mm2(geometry: Geometry, shape: DrawnShape) -> float:
    """Area of a region in mm2, of the outline as drawn and not of its voxels."""
    flat = shape.array[:, shape.in_plane]
    if shape.kind is Kind.ELLIPSE:
        (a, b), (c, d) = (flat[1] - flat[0]) / 2, (flat[3] - flat[0]) / 2
        pixels = np.pi * abs(a * d - b * c)
    else:
        pixels = even_odd_area(flat)
    first, second = (geometry.affine_lps[:3, axis] for axis in shape.in_plane)
    return float(pixels * np.linalg.norm(np.cross(first, second)))


def even_odd_area(corners: ArrayLike) -> float:
    """Area that a closed polygon (n, 2) covers by the even-odd rule.

    The plane is cut into bands at every corner and every crossing of two sides. Within a band no sides cross,
    so every second gap between them is inside, and each of those is a trapezium.
    """
    points = np.asarray(corners, np.float64)
    start, end = points, np.roll(points, -1, axis=0)
    levels = np.unique(np.concatenate([points[:, 0], _crossings(start, end)]))
    total = 0.0
    for low, high in itertools.pairwise(levels):
        middle = (low + high) / 2
        crosses = (start[:, 0] <= middle) != (end[:, 0] <= middle)
        a, b = start[crosses], end[crosses]
        at = np.sort(a[:, 1] + (middle - a[:, 0]) * (b[:, 1] - a[:, 1]) / (b[:, 0] - a[:, 0]))
        total += float((high - low) * (at[1::2] - at[::2]).sum())
    return total


def _crossings(start: Float, end: Float) -> Float:
    """The first coordinate of every point where two sides cross."""
    way = end - start
    apart = start[None] - start[:, None]
    across = way[:, None, 0] * way[None, :, 1] - way[:, None, 1] * way[None, :, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (apart[..., 0] * way[None, :, 1] - apart[..., 1] * way[None, :, 0]) / across
        u = (apart[..., 0] * way[:, None, 1] - apart[..., 1] * way[:, None, 0]) / across
    met = (across != 0) & (t > 0) & (t < 1) & (u > 0) & (u < 1)
    one, _ = np.nonzero(met)
    crossings: Float = start[one, 0] + t[met] * way[one, 0]
    return crossings


def _in_polygon(corners: Float, rows: Float, columns: Float) -> Mask:
    """Even-odd rule: a centre is inside if an odd number of sides crosses its row at or before it."""
    start, end = corners, np.roll(corners, -1, axis=0)
    crosses = (start[None, :, 0] <= rows[:, None]) != (end[None, :, 0] <= rows[:, None])
    row, side = np.nonzero(crosses)
    a, b = start[side], end[side]
    at = a[:, 1] + (rows[row] - a[:, 0]) * (b[:, 1] - a[:, 1]) / (b[:, 0] - a[:, 0])
    changes = np.zeros((len(rows), len(columns) + 1), np.int64)
    first = columns[0] if len(columns) else 0
    np.add.at(changes, (row, np.clip(np.ceil(at) - first, 0, len(columns)).astype(int)), 1)
    inside: Mask = changes.cumsum(axis=1)[:, :-1] % 2 == 1
    return inside


def _in_ellipse(corners: Float, rows: Float, columns: Float) -> Mask:
    """The ellipse inscribed in a parallelogram: |a|^2 + |b|^2 <= 1 in the frame of its half sides."""
    centre = corners.mean(axis=0)
    halves = np.stack([(corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2], axis=1)
    if abs(np.linalg.det(halves)) < 1e-12:
        return np.zeros((len(rows), len(columns)), bool)
    (a, b), (c, d) = np.linalg.inv(halves)
    y, x = rows[:, None] - centre[0], columns[None, :] - centre[1]
    inside: Mask = (a * y + b * x) ** 2 + (c * y + d * x) ** 2 <= 1
    return inside
