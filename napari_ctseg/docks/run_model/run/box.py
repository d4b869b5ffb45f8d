"""From the rectangles that a user drew to a box of voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.geometry import AxisView, Geometry

if TYPE_CHECKING:
    from napari.layers import Shapes

ROUNDING = 1e-6  # voxels
IndexBox = tuple[tuple[int, int, int], tuple[int, int, int]]  # [start, stop) of the shown array, (z, y, x)


def drawn_box(layer: Shapes, geometry: Geometry) -> IndexBox:
    """The box that a user's shapes span, [start, stop) on the shown grid of a volume, cut to it.

    A voxel belongs to it when its centre does. A rectangle drawn in one plane does not limit the axis
    across it: without another shape that does, that axis is taken whole. Raises CtsegError when the box
    misses the volume.
    """
    shown = AxisView.of(geometry).geometry(geometry)
    origin, spacing = np.array(shown.origin_lps_mm[::-1]), np.array(shown.spacing_mm)
    start, stop = [0, 0, 0], list(shown.shape)
    corners = [
        (np.array([layer.data_to_world(point) for point in shape])[:, -3:] - origin) / spacing
        for shape in layer.data
    ]
    for axis in range(3):
        spans = [(c[:, axis].min(), c[:, axis].max()) for c in corners if np.ptp(c[:, axis]) > 0.5]
        if spans:
            start[axis] = int(np.clip(np.ceil(min(low for low, _ in spans) - ROUNDING), 0, shown.shape[axis]))
            stop[axis] = int(
                np.clip(np.floor(max(high for _, high in spans) + ROUNDING) + 1, 0, shown.shape[axis])
            )
    if any(a >= b for a, b in zip(start, stop, strict=True)):
        raise CtsegError(
            f'The box in "{layer.name}" lies outside the image; draw it over the part to segment.'
        )
    return (start[0], start[1], start[2]), (stop[0], stop[1], stop[2])
