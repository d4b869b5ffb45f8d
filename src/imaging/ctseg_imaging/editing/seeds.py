"""A shape grown from a few strokes inside and outside of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.editing.geodesic import SeedLabels, nearest_seed
from ctseg_imaging.editing.morphology import Mask, Slices, bounding_box
from ctseg_imaging.geometry import Triple

INSIDE, OUTSIDE = 1, 2
# One mm of way costs as much as this share of the median difference between neighbouring voxels: the best of
# 0.1 to 30 in docs/correcting-tools.md.
DIFFERENCE_PER_MM = 0.3


def grow_from_seeds(image: NDArray[np.number], seeds: SeedLabels, spacing_mm: Triple) -> Mask:
    """The voxels of a box that are nearer to a stroke inside than to one outside, by geodesic distance.

    image : (z, y, x), a box of the volume; its intensities need no particular unit. seeds : alike, INSIDE,
    OUTSIDE or 0. spacing_mm : (z, y, x). The faces of the box count as outside, except where a stroke inside
    meets them. Empty without a stroke inside. Raises ValueError if the shapes differ or the image is not
    finite.
    """
    if not (seeds == INSIDE).any():
        return np.zeros(seeds.shape, bool)
    values = np.asarray(image, np.float32)
    if not np.isfinite(values).all():
        raise ValueError("The box holds NaN or infinite values; choose one without them.")
    framed = with_outside_faces(seeds)
    _, nearest = nearest_seed(values / _difference_of_one_mm(values), framed, spacing_mm)
    grown: Mask = nearest == INSIDE
    return grown


def box_of_seeds(seeds: SeedLabels, reach_mm: float, spacing_mm: Triple) -> Slices | None:
    """The box of all strokes, widened by `reach_mm` within the volume; None without a stroke."""
    z, y, x = (int(np.ceil(reach_mm / step)) for step in spacing_mm)
    return bounding_box(seeds > 0, (z, y, x))


def with_outside_faces(seeds: SeedLabels) -> SeedLabels:
    """A copy whose faces are OUTSIDE where they hold no seed."""
    framed = seeds.copy()
    for axis in range(3):
        for face in (0, -1):
            plane = framed.swapaxes(0, axis)[face]
            plane[plane == 0] = OUTSIDE
    return framed


def _difference_of_one_mm(values: NDArray[np.float32]) -> float:
    """The intensity difference that costs as much as 1 mm; 1 for a box without differences."""
    steps = np.concatenate([np.abs(np.diff(values, axis=axis)).ravel() for axis in range(3)])
    differing = steps[steps > 0]  # padding beyond the body has none
    return DIFFERENCE_PER_MM * float(np.median(differing)) if len(differing) else 1.0
