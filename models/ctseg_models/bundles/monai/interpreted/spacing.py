"""The grid that MONAI's Spacingd resamples to.

Source: MONAI 1.6.1, monai/data/utils.py and transforms/spatial/array.py.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Float, Shape, Triple
from ctseg_models.bundles.monai.interpreted.nearest import Placement
from ctseg_models.contract.axis_order import AxisOrder
from ctseg_models.contract.lattice import Lattice

LARGEST_SIDE = 4096  # voxels
SAME_SPACING = 1e-3  # mm: closer than this MONAI leaves an axis as it is


def resampled(shape: Shape, axes: Float, turn: AxisOrder, wanted: Triple) -> tuple[Lattice, Placement]:
    """The lattice that Spacingd resamples an array to, mm from the array's own first face.

    wanted : along the view's (z, y, x), 0: as it is. It has as many voxels as fit with their centres between
    the first and the last one, rounded. The centre of the first voxel (in the transform's order) stays. Where
    the axes are at right angles only up to rounding, as in every oblique NIfTI file, MONAI computes it
    differently: index n / 2 stays, which lies half a voxel behind the middle (compute_shape_offset). Raises
    BundleError for an absurd spacing.
    """
    backwards = np.isin(range(3), [turn.order[axis] for axis in turn.flips])
    order = list(turn.order)
    old = np.linalg.norm(axes, axis=0)
    new = np.array(
        [
            want if want > 0 and abs(want - have) > SAME_SPACING else have
            for want, have in zip(wanted, old, strict=True)
        ]
    )
    n = np.array(shape)
    count = np.maximum(1, np.round((n - 1) * old / new + 1).astype(int))
    if count.max() > LARGEST_SIDE:
        raise BundleError(
            f"The bundle asks for voxels of {' x '.join(f'{s:.3g}' for s in new)} mm (z, y, x), which makes "
            f"an array of {' x '.join(str(side) for side in count)}; choose a smaller region, or another "
            "bundle."
        )
    step = _steps((axes * np.where(backwards, -1, 1))[:, order], new[order])
    start = np.zeros(3) if _has_a_first_corner(n[order], step) else count[order] / 2 - step @ (n[order] / 2)
    first = np.zeros(3)  # the position of the first old voxel, in mm after the first new one
    first[order] = start * new[order]
    low = old / 2 - first - new / 2
    low = np.where(backwards, n * old - low - count * new, low)
    z, y, x = (float(one) for one in low)
    dz, dy, dx = (float(one) for one in new)
    to = (int(count[0]), int(count[1]), int(count[2]))
    return Lattice((z, y, x), (dz, dy, dx), to), Placement(step, start, shape, to, turn)


def _steps(have: Float, new: Float) -> Float:
    """3x3: old voxels in new ones, as MONAI computes it (zoom_affine), with its rounding. have : columns in
    mm.
    """
    upper = np.linalg.cholesky(have.T @ have).T
    rotation = have @ np.linalg.inv(upper)
    return np.asarray(np.linalg.solve(rotation @ np.diag(np.sign(np.diag(upper)) * new), have), np.float64)


def _has_a_first_corner(n: NDArray[np.int64], step: Float) -> bool:
    """Whether MONAI finds a corner voxel that no other one precedes, seen along the new axes.

    To 1e-8 voxels, which rounding decides.
    """
    corners = step @ np.array(np.meshgrid(*((0.0, count - 1.0) for count in n), indexing="ij")).reshape(3, -1)
    return bool((np.abs((corners[:, None, :] - corners[:, :, None]).min(axis=2)) <= 1e-8).all(axis=0).any())
