"""The connected parts of a mask, numbered."""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import NDArray


def connected_parts(mask: NDArray[np.bool_], connectivity: int = 26) -> tuple[NDArray[np.integer], int]:
    """The parts of a mask (z, y, x), numbered from 1 in no particular order, 0 outside; how many there are.

    connectivity : 6, 18 or 26 neighbours.
    """
    # cc3d 4.1.1 makes too few numbers for masks of single voxels that touch the array's border.
    padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    numbers, count = cc3d.connected_components(padded, connectivity=connectivity, return_N=True)
    return np.ascontiguousarray(numbers[:, 1:-1, 1:-1]), int(count)
