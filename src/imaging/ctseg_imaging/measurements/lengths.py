"""Lengths and angles between points of an image, in the patient: oblique grids and unequal spacing
included.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ctseg_imaging.geometry import Float, Geometry


def length_mm(geometry: Geometry, points: ArrayLike) -> float:
    """Length of the line through `points`, (n, 3) indices (z, y, x) of the image, in mm."""
    steps = np.diff(geometry.index_to_lps(points), axis=0)
    return float(np.linalg.norm(steps, axis=1).sum())


def angle_degrees(geometry: Geometry, points: ArrayLike) -> float:
    """Angle at the second of three points, 0 to 180 degrees; 0 where an arm has no length.

    The angle between u and v is 2 atan2(|u/|u| - v/|v||, |u/|u| + v/|v||), which is accurate also near 0 and
    180 degrees. Source: Kahan, "How futile are mindless assessments of roundoff", 2006, section 12.
    """
    end, vertex, other = geometry.index_to_lps(points)
    u, v = end - vertex, other - vertex
    lengths = np.linalg.norm(u), np.linalg.norm(v)
    if min(lengths) == 0:
        return 0.0
    u, v = u / lengths[0], v / lengths[1]
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))))


def recist_mm(geometry: Geometry, points: ArrayLike) -> tuple[float, float]:
    """The longer and the shorter of two diameters in mm. points : both ends of one, then of the other.

    Source: RECIST 1.1, Eisenhauer et al. 2009 (Eur J Cancer 45:228): lesions by the longest diameter, lymph
    nodes by the short axis, perpendicular to it.
    """
    ends = np.asarray(points, np.float64)
    both = length_mm(geometry, ends[:2]), length_mm(geometry, ends[2:])
    return max(both), min(both)


def short_diameter(
    geometry: Geometry, axis: int, long: ArrayLike, at: float, arms_mm: tuple[float, float]
) -> Float:
    """The ends of the diameter perpendicular to `long` within a slice, (2, 3) indices.

    axis : the one across the slice. long : both ends of the long diameter, (2, 3) indices. at : where the two
    cross, as a share of the long one. arms_mm : from there to either end. A long diameter without length has
    a short one without length.
    """
    first, second = (k for k in range(3) if k != axis)
    spacing = np.array(geometry.spacing_mm)
    ends = np.asarray(long, np.float64)
    along = (ends[1] - ends[0]) * spacing
    length = float(np.linalg.norm(along))
    crossing = ends[0] + at * (ends[1] - ends[0])
    across = np.zeros(3)
    if length > 0:
        across[first], across[second] = -along[second] / length, along[first] / length
    offsets = np.array([[-arms_mm[0]], [arms_mm[1]]]) * across / spacing
    placed: Float = crossing + offsets
    return placed
