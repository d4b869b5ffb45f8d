"""A correction of one slice, carried on to its neighbours."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ctseg_imaging.editing.interpolate import Float, signed_distance
from ctseg_imaging.editing.morphology import Mask
from ctseg_imaging.geometry import Triple


def carry_correction(
    before: Mask,
    after: Mask,
    slice_index: int,
    spacing_mm: Triple,
    reach_mm: float,
    fixed: Collection[int] = (),
) -> Mask:
    """`after` with the change of one slice made in its neighbours too, less and less up to `reach_mm`.

    before, after : (z, y, x) bool, the mask without and with the correction of slice `slice_index`.
    spacing_mm : (z, y, x). fixed : slices that stay as they are. In every neighbour the signed in-plane
    distance to the outline changes by what the correction changed it, times a weight that falls linearly from
    1 to 0 at `reach_mm` along axis 0. Distances are cut at `reach_mm`, which also stands for an empty slice,
    so a drawn shape tapers off into empty slices. Raises ValueError for a reach that is not positive.
    """
    if not reach_mm > 0:
        raise ValueError(f"The reach is {reach_mm} mm; give one above 0.")
    carried = after.copy()
    change = _outline(after, slice_index, spacing_mm, reach_mm) - _outline(
        before, slice_index, spacing_mm, reach_mm
    )
    away = int(reach_mm / spacing_mm[0])
    for k in range(max(0, slice_index - away), min(len(after), slice_index + away + 1)):
        weight = np.float32(1 - abs(k - slice_index) * spacing_mm[0] / reach_mm)
        if k != slice_index and k not in fixed and weight > 0:
            carried[k] = _outline(after, k, spacing_mm, reach_mm) + weight * change > 0
    return carried


def _outline(mask: Mask, k: int, spacing_mm: Triple, reach_mm: float) -> Float:
    plane = mask[k]
    if not plane.any():
        return np.full(plane.shape, -reach_mm, np.float32)
    distance: Float = signed_distance(plane, spacing_mm[1:]).clip(-reach_mm, reach_mm)
    return distance
