"""Slices that do not form a regular grid, arranged for viewing only: each voxel shows the nearest slice,
moved in its plane by whole pixels.

Planes lie along the normal at the smallest common step of the slices. A plane farther from every slice than
half a slice (its thickness, or the step where that is larger) stays empty, so a missing slice is visible as a
gap. In the plane a tilt of the gantry moves each slice by its offset, rounded to whole pixels. No value is
interpolated.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.formats.dicom.pixels import StoredPixels, decoding
from ctseg_imaging.formats.dicom.stacking.slices import Slice
from ctseg_imaging.formats.dicom.stacking.stack import (
    along_columns,
    along_rows,
    grid,
    normal_of,
    position,
    spacing,
)
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import Progress

MOST_PLANES = 4  # times the number of slices
MOST_PIXELS = 4  # times those of a slice

Placed = tuple[NDArray[Any], Geometry, str]


def placing(slices: Sequence[Slice], pixels: StoredPixels) -> Generator[Progress, None, Placed]:
    """The array (z, y, x), its grid and a sentence about how it was made.

    slices : in order along their normal, two at least.

    Raises GeometryError if the slices lie so far apart that nearly all of the array would be empty.
    """
    first = slices[0]
    offsets = np.array([position(one) for one in slices]) - position(first)
    along = offsets @ normal_of(first)
    rows = np.rint(offsets @ along_columns(first) / spacing(first)[0]).astype(int)
    columns = np.rint(offsets @ along_rows(first) / spacing(first)[1]).astype(int)
    step = max(float(np.diff(along).min()), float(along[-1]) / (MOST_PLANES * len(slices)))
    planes = round(float(along[-1]) / step) + 1
    height, width = first.shape[0] + int(np.ptp(rows)), first.shape[1] + int(np.ptp(columns))
    if height * width > MOST_PIXELS * first.shape[0] * first.shape[1]:
        raise GeometryError(
            f"{pixels.path}: the slices lie too far to the side of each other to be shown together; is it a "
            "rotating or a radial acquisition?"
        )
    stored = yield from decoding(slices, pixels)
    array: NDArray[Any] = np.full((planes, height, width), stored.min(), stored.dtype)
    down, right = rows - rows.min(), columns - columns.min()
    reach = max(step, first.thickness_mm or 0.0) / 2 * 1.001
    filled = 0
    for plane in range(planes):
        k = int(np.abs(along - plane * step).argmin())
        if abs(along[k] - plane * step) <= reach:
            array[plane, down[k] : down[k] + first.shape[0], right[k] : right[k] + first.shape[1]] = stored[k]
            filled += 1
    corner = (
        position(first)
        + along_columns(first) * spacing(first)[0] * int(rows.min())
        + along_rows(first) * spacing(first)[1] * int(columns.min())
    )
    how = (
        f"View only: {len(slices)} slices are shown in {planes} planes of {step:.2f} mm, each plane as the "
        f"nearest slice moved by whole pixels; {planes - filled} planes without a slice are empty."
    )
    return array, grid((planes, height, width), first, corner, step), how
