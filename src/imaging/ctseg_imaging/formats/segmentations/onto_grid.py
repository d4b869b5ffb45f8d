"""Moving label maps onto another grid of the same lattice: shifted, cropped, flipped or with its axes
permuted.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap

TOLERANCE = 0.1  # voxels: how far a voxel centre may lie from one of the target grid
MOST_GROWTH = 8  # of a common grid beyond the two that it holds


def place(label_map: LabelMap, target: Geometry) -> LabelMap:
    """`label_map` on the grid of `target`, voxel for voxel; voxels that its grid does not cover are
    background.

    Labels outside `target` are dropped with a note. Raises GeometryError where the voxel centres of the two
    grids do not coincide.
    """
    own = label_map.geometry
    ends = np.array([[0, 0, 0], *np.diag([max(n - 1, 1) for n in own.shape])], float)
    exact = target.lps_to_index(own.index_to_lps(ends))
    steps = np.array([(exact[1 + axis] - exact[0]) / max(own.shape[axis] - 1, 1) for axis in range(3)])
    turn, start = np.rint(steps).astype(int), np.rint(exact[0]).astype(int)
    off = np.abs(exact - (start + ends @ turn)).max()
    if (
        off > TOLERANCE
        or not np.array_equal(np.abs(turn).sum(0), [1, 1, 1])
        or not np.array_equal(np.abs(turn).sum(1), [1, 1, 1])
    ):
        raise GeometryError(
            f"{label_map.source or 'The segmentation'}: its voxels do not lie on those of the image (another "
            "spacing, direction or a shift by a part of a voxel); resample it onto the image's grid first."
        )
    order = [int(np.flatnonzero(turn[:, axis])[0]) for axis in range(3)]
    signs = [int(turn[order[axis], axis]) for axis in range(3)]
    turned = label_map.array.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
    low = [int(start[axis]) - (turned.shape[axis] - 1 if signs[axis] < 0 else 0) for axis in range(3)]
    array = np.zeros(target.shape, label_map.array.dtype)
    there = [
        slice(max(a, 0), max(min(a + n, full), 0))
        for a, n, full in zip(low, turned.shape, target.shape, strict=True)
    ]
    here = [slice(one.start - a, max(one.stop - a, one.start - a)) for one, a in zip(there, low, strict=True)]
    array[tuple(there)] = turned[tuple(here)]
    notes = list(label_map.notes)
    if lost := int(np.count_nonzero(label_map.array)) - int(np.count_nonzero(array)):
        notes.append(f"{lost} labelled voxels lie outside the image and were left out.")
    if off > 1e-3:
        notes.append(
            f"The segmentation lies up to {off * max(target.spacing_mm):.3f} mm from the image's voxels; it "
            "was aligned with them."
        )
    return replace(label_map, array=array, geometry=target, header=None, notes=tuple(notes))


def together(a: LabelMap, b: LabelMap) -> tuple[LabelMap, LabelMap]:
    """Both on the smallest grid of `a`'s lattice that holds them, or as they are where their voxel centres do
    not coincide.
    """
    corners = np.array(list(product(*[(0, n - 1) for n in b.geometry.shape])), float)
    reached = np.rint(a.geometry.lps_to_index(b.geometry.index_to_lps(corners))).astype(int)
    low = np.minimum(reached.min(axis=0), 0)
    high = np.maximum(reached.max(axis=0) + 1, a.geometry.shape)
    if np.prod((high - low).astype(float)) > MOST_GROWTH * (a.array.size + b.array.size):
        return a, b
    whole = (
        a.geometry if (low == 0).all() and (high == a.geometry.shape).all() else a.geometry.crop(low, high)
    )
    try:
        return (a if whole is a.geometry else place(a, whole)), place(b, whole)
    except GeometryError:
        return a, b
