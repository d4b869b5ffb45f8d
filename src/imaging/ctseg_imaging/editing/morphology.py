"""Holes, islands, and margins in mm."""

from __future__ import annotations

import edt
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ctseg_imaging.editing.connected_parts import connected_parts
from ctseg_imaging.geometry import Triple

Mask = NDArray[np.bool_]
Slices = tuple[slice, slice, slice]


def fill_holes(mask: Mask) -> Mask:
    """Fill what is enclosed within each slice along axis 0 (4-connected background that does not reach the
    slice's edge).

    mask : (z, y, x) bool. Slice by slice, because a reader sees a hole in a slice even where it opens through
    the next one.
    """
    filled = mask.copy()
    box = bounding_box(mask)
    if box is None:
        return filled
    for k in range(box[0].start, box[0].stop):
        plane = mask[k, box[1], box[2]]
        filled[k, box[1], box[2]] = ndimage.binary_fill_holes(plane)
    return filled


def drop_islands(mask: Mask, least_volume_ml: float, spacing_mm: Triple) -> Mask:
    """Remove the connected parts (26 neighbours) smaller than `least_volume_ml`; the largest part always
    stays.

    mask : (z, y, x) bool. spacing_mm : (z, y, x). Raises ValueError for a volume that is not positive.
    """
    if not least_volume_ml > 0:
        raise ValueError(f"The least volume is {least_volume_ml} ml; give one above 0.")
    kept = mask.copy()
    box = bounding_box(mask)
    if box is None:
        return kept
    parts, count = connected_parts(mask[box])
    voxels = np.bincount(parts.ravel(), minlength=count + 1)
    voxels[0] = 0
    stays = voxels * float(np.prod(spacing_mm)) / 1000 >= least_volume_ml
    stays[voxels.argmax()] = True
    stays[0] = False
    kept[box] = stays[parts]
    return kept


def grow(mask: Mask, margin_mm: float, spacing_mm: Triple) -> Mask:
    """Add every voxel whose centre lies within `margin_mm` of the centre of a voxel of the mask.

    mask : (z, y, x) bool. spacing_mm : (z, y, x). A margin below the spacing of an axis adds nothing along
    it. Raises ValueError for a margin that is not positive. An empty mask stays empty.
    """
    _check_margin(margin_mm)
    grown = mask.copy()
    if (box := bounding_box(mask, _reach(margin_mm, spacing_mm))) is not None:
        outside = np.ascontiguousarray(~mask[box])
        grown[box] = (
            edt.edt(outside, anisotropy=spacing_mm, black_border=False, parallel=1) <= margin_mm + 1e-4
        )
    return grown


def shrink(mask: Mask, margin_mm: float, spacing_mm: Triple) -> Mask:
    """Remove every voxel whose centre lies within `margin_mm` of the centre of a voxel outside the mask.

    The complement of growing the complement. The volume's own border does not count as outside: an organ that
    is cut off by the field of view does not recede from it. Raises ValueError for a margin that is not
    positive.
    """
    _check_margin(margin_mm)
    shrunk = mask.copy()
    if (box := bounding_box(mask, (1, 1, 1))) is not None:
        inside = np.ascontiguousarray(mask[box])
        shrunk[box] = inside & (
            edt.edt(inside, anisotropy=spacing_mm, black_border=False, parallel=1) > margin_mm + 1e-4
        )
    return shrunk


def smooth(mask: Mask, sigma_mm: float, spacing_mm: Triple) -> Mask:
    """The mask after Gaussian smoothing with `sigma_mm`, cut at a half; flat surfaces stay where they are.

    mask : (z, y, x) bool. spacing_mm : (z, y, x). Raises ValueError for a sigma that is not positive.
    """
    _check_margin(sigma_mm)
    smoothed = mask.copy()
    if (box := bounding_box(mask, _reach(3 * sigma_mm, spacing_mm))) is not None:
        sigma = [sigma_mm / step for step in spacing_mm]
        smoothed[box] = (
            ndimage.gaussian_filter(mask[box].astype(np.float32), sigma, truncate=3.0, mode="nearest") > 0.5
        )
    return smoothed


def bounding_box(mask: Mask, margin: tuple[int, int, int] = (0, 0, 0)) -> Slices | None:
    """The smallest box that holds the mask, widened by `margin` voxels within the volume; None for an empty
    mask.
    """
    spans = []
    for axis in range(3):
        others = tuple(k for k in range(3) if k != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        if not len(hit):
            return None
        spans.append(
            slice(max(0, int(hit[0]) - margin[axis]), min(mask.shape[axis], int(hit[-1]) + 1 + margin[axis]))
        )
    return spans[0], spans[1], spans[2]


def _reach(margin_mm: float, spacing_mm: Triple) -> tuple[int, int, int]:
    z, y, x = (int(np.ceil(margin_mm / step)) + 1 for step in spacing_mm)
    return z, y, x


def _check_margin(margin_mm: float) -> None:
    if not margin_mm > 0:
        raise ValueError(f"The distance is {margin_mm} mm; give one above 0.")
