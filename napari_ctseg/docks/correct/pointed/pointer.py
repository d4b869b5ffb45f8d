"""Which voxel of a mask is under the pointer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_ctseg.viewer.planes import planes_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels as LabelsLayer

Voxel = tuple[int, int, int]


@dataclass(frozen=True)
class Pointed:
    """voxel : (z, y, x) of the mask's array. axis : across the slice that is shown there, 0 z, 1 y, 2 x."""

    voxel: Voxel
    axis: int


def pointed(viewer: napari.viewer.Viewer, layer: LabelsLayer) -> Pointed | None:
    """What is under the pointer, in whichever plane it is; None outside of the mask and in 3D."""
    model = planes_of(viewer).pointed
    dims = model.dims
    if dims.ndisplay != 2 or len(model.cursor.position) != dims.ndim:
        return None
    # The cursor is as old as the last move of the mouse; the slider may have moved since.
    world = np.array(dims.point, float)
    shown = list(dims.displayed)
    world[shown] = np.asarray(model.cursor.position)[shown]
    z, y, x = (round(float(i)) for i in layer.world_to_data(world)[-3:])
    if any(not 0 <= i < n for i, n in zip((z, y, x), layer.data.shape, strict=True)):
        return None
    return Pointed((z, y, x), dims.not_displayed[-1] - (dims.ndim - 3))
