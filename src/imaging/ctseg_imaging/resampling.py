"""Resampling onto another grid in physical coordinates, a slice at a time, without a float copy of the
volume.

Grids with parallel axes (flipped or swapped or not) are resampled one axis after the other, which is fast;
grids oblique to each other use scipy's affine transform. Up to the outer faces of the source's border voxels
their value is extended; beyond, the result is `fill`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import ndimage

from ctseg_imaging.geometry import AxisView, Float, Geometry, Match
from ctseg_imaging.volume import LabelMap, Volume

# voxels of the source: a matrix that deviates less than this over the whole grid is a scaled permutation
_ALONG_TOLERANCE = 1e-3
_TIES = 1e-6  # voxels: rounding of coordinates, so exact halves are rounded alike on every machine
_OBLIQUE_CHUNK = 1 << 22  # voxels computed at a time between oblique grids


def resample(
    volume: Volume, onto: Geometry, order: int = 1, fill: float | None = None, dtype: DTypeLike | None = None
) -> Volume:
    """`volume` at the voxel centres of `onto`.

    order : 0 nearest (a tie goes to the higher index), 1 trilinear. fill : value outside the source; default
    its smallest finite one. dtype : of the result; default that of the source, whole numbers rounded to the
    nearest. Channels are kept. Returns the volume itself if `onto` is its own grid and no other dtype is
    asked for. No smoothing is applied before downsampling.
    """
    dtype = np.dtype(volume.array.dtype if dtype is None else dtype)
    if volume.geometry.matches(onto) == Match.SAME and dtype == volume.array.dtype:
        return volume
    outside = _smallest(volume.array) if fill is None else fill
    channels = volume.array if volume.array.ndim == 4 else volume.array[None]
    result = np.empty((len(channels), *onto.shape), dtype)
    for channel, out in zip(channels, result, strict=True):
        _resample_into(out, channel, volume.geometry, onto, order, outside)
    return replace(volume, array=result if volume.array.ndim == 4 else result[0], geometry=onto, header=None)


def resample_labels(label_map: LabelMap, onto: Geometry) -> LabelMap:
    """`label_map` at the voxel centres of `onto` by the nearest voxel; background outside.

    The map itself if `onto` is its grid.
    """
    if label_map.geometry.matches(onto) == Match.SAME:
        return label_map
    result = np.empty(onto.shape, label_map.array.dtype)
    _resample_into(result, label_map.array, label_map.geometry, onto, 0, 0)
    return replace(label_map, array=result, geometry=onto, header=None)


def reoriented(label_map: LabelMap, onto: Geometry) -> LabelMap | None:
    """`label_map` in the voxel order of `onto`, a view of the same voxels; None unless both grids are the
    same lattice, with flipped or swapped axes.
    """
    view = AxisView.between(label_map.geometry, onto)
    if view is None:
        return None
    return replace(label_map, array=view.apply(label_map.array), geometry=onto, header=None)


def resample_to_spacing(
    volume: Volume, spacing_mm: Sequence[float], order: int = 1, fill: float | None = None
) -> Volume:
    """`volume` with voxels of `spacing_mm` (z, y, x) in the same box; see `resample`."""
    return resample(volume, volume.geometry.with_spacing(spacing_mm), order, fill)


def _resample_into(
    out: NDArray[Any], source: NDArray[Any], have: Geometry, onto: Geometry, order: int, fill: float
) -> None:
    """Write the samples of `source` into `out` (z, y, x)."""
    if order not in (0, 1):
        raise ValueError(f"order is 0 (nearest) or 1 (linear), not {order}.")
    matrix = np.linalg.inv(have.affine_lps) @ onto.affine_lps  # index of `onto` -> index of `have`
    axes = _aligned_axes(matrix, onto.shape)
    if axes is None:
        _oblique(out, source, matrix, order, fill)
    else:
        turned = source.transpose(axes)
        coordinates = [
            matrix[axis, k] * np.arange(n) + matrix[axis, 3]
            for k, (axis, n) in enumerate(zip(axes, out.shape, strict=True))
        ]
        (_nearest if order == 0 else _linear)(out, turned, coordinates, fill)


def _aligned_axes(matrix: Float, shape: Sequence[int]) -> tuple[int, int, int] | None:
    """For each axis of the result the source axis it runs along, or None if the grids are oblique to each
    other.
    """
    axes = tuple(int(axis) for axis in np.abs(matrix[:3, :3]).argmax(axis=0))
    if sorted(axes) != [0, 1, 2]:
        return None
    stray = np.abs(matrix[:3, :3]).copy()
    stray[list(axes), [0, 1, 2]] = 0
    return axes if (stray @ np.asarray(shape)).max() < _ALONG_TOLERANCE else None  # type: ignore[return-value]


def _inside(coordinate: Float, size: int) -> NDArray[np.bool_]:
    """Which coordinates lie within the outer faces of the voxels 0..size-1."""
    return (coordinate >= -0.5 - _TIES) & (coordinate <= size - 0.5 + _TIES)


def _nearest(out: NDArray[Any], source: NDArray[Any], coordinates: Sequence[Float], fill: float) -> None:
    """Nearest voxel, axis by axis."""
    inside = [np.flatnonzero(_inside(c, n)) for c, n in zip(coordinates, source.shape, strict=True)]
    index = [
        np.clip(np.floor(c + 0.5 + _TIES).astype(int), 0, n - 1)
        for c, n in zip(coordinates, source.shape, strict=True)
    ]
    rows, columns = index[1][inside[1]], index[2][inside[2]]
    out[...] = fill
    where = np.ix_(inside[1], inside[2])
    for k in inside[0]:
        out[k][where] = source[index[0][k]][rows][:, columns]


def _linear(out: NDArray[Any], source: NDArray[Any], coordinates: Sequence[Float], fill: float) -> None:
    """Trilinear, axis by axis: whole numbers of the result are rounded."""
    inside = [np.flatnonzero(_inside(c, n)) for c, n in zip(coordinates, source.shape, strict=True)]
    low, high, share = zip(
        *(_neighbours(c, n) for c, n in zip(coordinates, source.shape, strict=True)), strict=True
    )
    rows, columns = inside[1], inside[2]
    out[...] = fill
    if not (len(rows) and len(columns)):
        return
    where = np.ix_(rows, columns)
    window = tuple(
        slice(int(low[axis][used].min()), int(high[axis][used].max()) + 1)
        for axis, used in ((1, rows), (2, columns))
    )
    y0, y1, wy = low[1][rows] - window[0].start, high[1][rows] - window[0].start, share[1][rows, None]
    x0, x1, wx = low[2][columns] - window[1].start, high[2][columns] - window[1].start, share[2][columns]
    for k in inside[0]:
        plane = _blend(source[low[0][k]][window], source[high[0][k]][window], share[0][k])
        plane = _blend(plane[y0], plane[y1], wy)
        out[k][where] = _as(_blend(plane.take(x0, 1), plane.take(x1, 1), wx), out.dtype)


def _neighbours(
    coordinate: Float, size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.floating[Any]]]:
    """The voxel below, the voxel above and the share of the one above; clamped to the border voxels."""
    clamped = np.clip(coordinate, 0, size - 1)
    whole = np.rint(clamped)
    clamped = np.where(np.abs(clamped - whole) < _TIES, whole, clamped)
    low = np.minimum(np.floor(clamped).astype(np.intp), max(size - 2, 0))
    return low, np.minimum(low + 1, size - 1), (clamped - low)


def _blend(a: NDArray[Any], b: NDArray[Any], share: Any) -> NDArray[Any]:
    """a + share (b - a), and exactly a or b at the ends, so NaN affects only the neighbouring voxels."""
    kind = np.float64 if a.dtype.itemsize > 4 or a.dtype in (np.int32, np.uint32) else np.float32
    share = np.asarray(share, kind)
    if share.ndim == 0 and share in (0, 1):
        return (b if share else a).astype(kind)
    a, b = a.astype(kind), b.astype(kind)
    if a.dtype.kind == "f" and not (np.isfinite(a).all() and np.isfinite(b).all()):
        mixed: NDArray[Any] = (1 - share) * np.where(share == 1, 0, a) + share * np.where(share == 0, 0, b)
        return mixed
    b -= a
    b *= share
    b += a
    return b


def _as(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """`values` in `dtype`; whole-number types are rounded to the nearest and kept in range."""
    if dtype.kind not in "iu":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    whole: NDArray[Any] = np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
    return whole


def _oblique(out: NDArray[Any], source: NDArray[Any], matrix: Float, order: int, fill: float) -> None:
    """Between grids at an angle, some slices of the result at a time."""
    depth = max(1, _OBLIQUE_CHUNK // max(1, out.shape[1] * out.shape[2]))
    kind = source.dtype if order == 0 else np.float64 if source.dtype.itemsize > 4 else np.float32
    for start in range(0, out.shape[0], depth):
        part = out[start : start + depth]
        offset = matrix[:3, 3] + matrix[:3, 0] * start
        samples = ndimage.affine_transform(
            source, matrix[:3, :3], offset, part.shape, kind, order=order, mode="nearest", prefilter=False
        )
        part[...] = _as(samples, out.dtype) if order else samples
        part[~_inside_box(matrix, offset, part.shape, source.shape)] = fill


def _inside_box(matrix: Float, offset: Float, shape: Sequence[int], size: Sequence[int]) -> NDArray[np.bool_]:
    """Which voxels of a part of the result lie within the outer faces of the source."""
    z, y, x = (np.arange(n, dtype=np.float64) for n in shape)
    inside = np.ones(tuple(shape), bool)
    for axis, n in enumerate(size):
        row = matrix[axis]
        coordinate = (row[0] * z + offset[axis])[:, None, None] + (row[1] * y)[:, None] + row[2] * x
        inside &= _inside(coordinate, n)
    return inside


def _smallest(array: NDArray[Any]) -> float:
    """The smallest finite value: air in a CT, zero in most MR. 0 where nothing is finite."""
    if array.dtype.kind != "f":
        return float(array.min()) if array.size else 0.0
    finite = np.isfinite(array)
    return float(array.min(where=finite, initial=np.inf)) if finite.any() else 0.0
