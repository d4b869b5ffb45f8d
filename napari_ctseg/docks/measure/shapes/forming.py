"""How a drag becomes a shape, and how a shape follows one of its handles. Points are mm within a plane."""

from __future__ import annotations

import numpy as np

from ctseg_imaging.geometry import Float
from ctseg_imaging.measurements import DrawnShape, Kind
from ctseg_imaging.measurements.lengths import short_diameter
from napari_ctseg.docks.measure.plane import Plane

CLICKED = (Kind.ANGLE, Kind.POLYGON)  # drawn point by point; the others by one drag
FEWEST = {Kind.ANGLE: 3, Kind.POLYGON: 3}
SHORT = 0.5  # of a RECIST pair's long diameter, until it is moved
ROUND = 1e-6  # relative difference of the half axes of a circle
BODY = -1  # in place of a handle: the shape as a whole


def formed(kind: Kind, plane: Plane, points: Float, free: bool = False) -> DrawnShape:
    """The shape of the points set so far, at least one; the last one follows the pointer.

    free : an ellipse instead of a circle.
    """
    if kind in CLICKED:
        missing = max(0, FEWEST[kind] - len(points))
        return plane.shape(kind, np.concatenate([points, np.repeat(points[-1:], missing, axis=0)]))
    start, end = points[0], points[-1]
    if kind is Kind.ELLIPSE:
        radius = float(np.linalg.norm(end - start))
        return _ellipse(plane, start, np.abs(end - start) if free else np.array([radius, radius]))
    if kind is Kind.RECTANGLE:
        return plane.shape(kind, np.array([start, [start[0], end[1]], end, [end[0], start[1]]]))
    if kind is Kind.RECIST:
        arm = float(np.linalg.norm(end - start)) * SHORT / 2
        return _recist(plane, np.stack([start, end]), 0.5, (arm, arm))
    return plane.shape(kind, np.stack([start, end]))


def handles(shape: DrawnShape, plane: Plane) -> Float:
    """(n, 2) points by which a shape can be dragged: its own, or the ends of an ellipse's axes."""
    points = plane.flat_mm(shape.array)
    return (points + np.roll(points, -1, axis=0)) / 2 if shape.kind is Kind.ELLIPSE else points


def moved(shape: DrawnShape, plane: Plane, handle: int, to: Float, free: bool = False) -> DrawnShape:
    """The shape after one of its handles was dragged to a point. free : of an ellipse one axis alone."""
    points = plane.flat_mm(shape.array)
    if shape.kind is Kind.ELLIPSE:
        return _resized_ellipse(plane, points, handle, to, free)
    if shape.kind is Kind.RECTANGLE:
        return _resized_rectangle(plane, points, handle, to)
    if shape.kind is Kind.RECIST:
        return _moved_recist(plane, points, handle, to)
    points[handle] = to
    return plane.shape(shape.kind, points)


def shifted(shape: DrawnShape, plane: Plane, by: Float) -> DrawnShape:
    """The shape moved within its slice."""
    return plane.shape(shape.kind, plane.flat_mm(shape.array) + by)


def taken_at(shape: DrawnShape, plane: Plane, at: Float, reach_mm: float) -> int | None:
    """The handle within reach of a point, BODY where it is near a line of the shape, None elsewhere."""
    ends = handles(shape, plane)
    distances = np.linalg.norm(ends - at, axis=1)
    if distances.min() <= reach_mm:
        return int(distances.argmin())
    start, end = _segments(shape, plane)
    way = end - start
    share = ((at - start) * way).sum(axis=1) / np.maximum((way**2).sum(axis=1), 1e-12)
    nearest = start + np.clip(share, 0, 1)[:, None] * way
    return BODY if np.linalg.norm(nearest - at, axis=1).min() <= reach_mm else None


def _segments(shape: DrawnShape, plane: Plane) -> tuple[Float, Float]:
    """Starts and ends of the lines that are drawn."""
    points = plane.flat_mm(shape.array)
    if shape.kind is Kind.RECIST:
        return points[[0, 2]], points[[1, 3]]
    if shape.kind is Kind.ELLIPSE:
        turn = np.linspace(0, 2 * np.pi, 73)[:, None]
        halves = (points[1] - points[0]) / 2, (points[3] - points[0]) / 2
        points = points.mean(axis=0) + np.cos(turn) * halves[0] + np.sin(turn) * halves[1]
    elif shape.kind in (Kind.RECTANGLE, Kind.POLYGON):
        points = np.concatenate([points, points[:1]])
    return points[:-1], points[1:]


def _ellipse(plane: Plane, centre: Float, half: Float) -> DrawnShape:
    corners = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * half
    return plane.shape(Kind.ELLIPSE, centre + corners)


def _resized_ellipse(plane: Plane, corners: Float, handle: int, to: Float, free: bool) -> DrawnShape:
    centre = corners.mean(axis=0)
    halves = np.stack([(corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2])  # along sides 0 and 1
    lengths = np.linalg.norm(halves, axis=1)
    along = 1 - handle % 2  # the middle of side 0 ends the half axis that runs along side 1
    wanted = float(np.linalg.norm(to - centre))
    round_ = abs(lengths[0] - lengths[1]) <= ROUND * lengths.max()
    units = np.eye(2) if lengths.min() == 0 else halves / lengths[:, None]
    new = np.full(2, wanted) if round_ and not free else lengths
    new[along] = wanted if round_ and not free else abs(float((to - centre) @ units[along]))
    a, b = units * new[:, None]
    return plane.shape(Kind.ELLIPSE, centre + np.array([-a - b, a - b, a + b, -a + b]))


def _resized_rectangle(plane: Plane, corners: Float, handle: int, to: Float) -> DrawnShape:
    """The opposite corner stays, and so do the directions of the sides."""
    fixed = corners[(handle + 2) % 4]
    side = corners[1] - corners[0]
    length = np.linalg.norm(side)
    u = side / length if length else np.array([0.0, 1.0])
    if (handle % 2) == 1:
        u = np.array([-u[1], u[0]])
    v = np.array([-u[1], u[0]])
    a, b = float((to - fixed) @ u), float((to - fixed) @ v)
    around = [fixed, fixed + a * u, fixed + a * u + b * v, fixed + b * v]
    turned = [around[(k - handle - 2) % 4] for k in range(4)]
    return plane.shape(Kind.RECTANGLE, np.array(turned))


def _moved_recist(plane: Plane, points: Float, handle: int, to: Float) -> DrawnShape:
    """An end of the long diameter turns the pair; one of the short one sets its arm and where they cross."""
    long, short = points[:2], points[2:]
    way = long[1] - long[0]
    length = max(float(np.linalg.norm(way)), 1e-9)
    crossing = np.clip((short - long[0]) @ way / length**2, 0, 1).mean()
    foot = long[0] + crossing * way
    arms = [float(np.linalg.norm(end - foot)) for end in short]
    if handle < 2:
        long = np.where(np.arange(2)[:, None] == handle, to, long)
        return _recist(plane, long, float(crossing), (arms[0], arms[1]))
    across = np.array([-way[1], way[0]]) / length
    share = float(np.clip((to - long[0]) @ way / length**2, 0, 1))
    arms[handle - 2] = abs(float((to - long[0]) @ across))
    return _recist(plane, long, share, (arms[0], arms[1]))


def _recist(plane: Plane, long: Float, at: float, arms_mm: tuple[float, float]) -> DrawnShape:
    ends = plane.shape(Kind.RULER, long).array
    short = short_diameter(plane.geometry, plane.axis, ends, at, arms_mm)
    return plane.shape(Kind.RECIST, plane.flat_mm(np.concatenate([ends, short])))
