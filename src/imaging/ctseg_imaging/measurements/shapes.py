"""What can be drawn on a slice to measure it: a kind and its points."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ctseg_imaging.geometry import AxisView, Float, Shape, Triple

FLAT = 1e-3  # voxels; points of one slice may differ by this much across it
SKEW = 1e-3  # voxels by which four corners may miss a parallelogram


class Kind(StrEnum):
    """What is drawn, and what its points are.

    RULER : two ends, or more points along a line. ANGLE : end, vertex, end. RECIST : both ends of the long
    diameter, then of the short one. ELLIPSE : the corners of the rectangle around it. RECTANGLE : its
    corners, in order. POLYGON : its corners.
    """

    RULER = "ruler"
    ANGLE = "angle"
    RECIST = "recist"
    ELLIPSE = "ellipse"
    RECTANGLE = "rectangle"
    POLYGON = "polygon"


REGIONS = (Kind.ELLIPSE, Kind.RECTANGLE, Kind.POLYGON)
POINTS = {  # the fewest and the most
    Kind.RULER: (2, None),
    Kind.ANGLE: (3, 3),
    Kind.RECIST: (4, 4),
    Kind.ELLIPSE: (4, 4),
    Kind.RECTANGLE: (4, 4),
    Kind.POLYGON: (3, None),
}


@dataclass(frozen=True)
class DrawnShape:
    """A shape on one slice of an image.

    kind : what is drawn. axis : 0 z, 1 y or 2 x of the image's array, the one across the slice. points : at
    least two (z, y, x) indices of the image, fractions allowed, all on one slice. Raises ValueError if the
    points do not fit the kind or do not lie on one slice.
    """

    kind: Kind
    axis: int
    points: tuple[Triple, ...]

    def __post_init__(self) -> None:
        fewest, most = POINTS[self.kind]
        if len(self.points) < fewest or (most is not None and len(self.points) > most):
            wanted = str(fewest) if most == fewest else f"at least {fewest}"
            raise ValueError(f"a {self.kind} has {wanted} points, not {len(self.points)}")
        if self.axis not in (0, 1, 2):
            raise ValueError(f"axis is 0, 1 or 2, not {self.axis}")
        points = self.array
        if points.shape != (len(self.points), 3) or not np.isfinite(points).all():
            raise ValueError("a point is three finite numbers (z, y, x)")
        if np.ptp(points[:, self.axis]) > FLAT:
            raise ValueError(f"the points do not lie on one slice across axis {self.axis}")
        if self.kind in (Kind.ELLIPSE, Kind.RECTANGLE):
            a, b, c, d = points
            if np.abs(a + c - b - d).max() > SKEW * max(1.0, float(np.ptp(points, axis=0).max())):
                raise ValueError(f"the corners of a {self.kind} are those of a parallelogram, in order")

    @property
    def array(self) -> Float:
        """The points as (n, 3)."""
        return np.array(self.points, np.float64)

    @property
    def index(self) -> int:
        """The slice across `axis` that it lies on, from 0."""
        return round(self.points[0][self.axis])

    @property
    def in_plane(self) -> tuple[int, int]:
        """The two array axes that the slice spans, ascending."""
        first, second = (axis for axis in range(3) if axis != self.axis)
        return first, second

    def seen_in(self, view: AxisView, shape: Shape) -> DrawnShape:
        """The same shape in the indices of `view` of an array of `shape`."""
        points = self.array[:, list(view.order)]
        for axis, flip in enumerate(view.flips):
            if flip:
                points[:, axis] = shape[view.order[axis]] - 1 - points[:, axis]
        return DrawnShape(self.kind, view.order.index(self.axis), as_points(points))


def as_points(array: Float) -> tuple[Triple, ...]:
    """(n, 3) numbers as a tuple of points."""
    return tuple((float(z), float(y), float(x)) for z, y, x in array)
