"""Stored numbers and their real values: value = stored * slope + inter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_SCALE = 1e28  # of a slope or an intercept; 32-bit numbers times this still fit float32


def real_values(stored: NDArray[Any], slope: float, inter: float) -> NDArray[Any]:
    """The values of `stored` (z, y, x); the same array when slope is 1 and inter 0.

    Whole numbers stay whole (int16 where they fit, else int32 or int64) if slope and inter are whole; else
    float32, or float64 where float32 would merge two stored numbers.
    """
    if slope == 1 and inter == 0:
        return stored
    dtype = _value_type(stored, slope, inter)
    values = np.empty(stored.shape, dtype)
    for plane, out in zip(stored, values, strict=True):
        out[...] = _scaled(plane, slope, inter, dtype)
    return values


def stored_values(
    values: NDArray[Any], dtype: np.dtype[Any], slope: float, inter: float
) -> NDArray[Any] | None:
    """The numbers of type `dtype` (native order) that give back exactly `values`, or None where there are
    none.
    """
    native = dtype.newbyteorder("=")
    if slope == 1 and inter == 0 and values.dtype == native:
        return values
    stored = np.empty(values.shape, native)
    limits = np.iinfo(native) if native.kind in "iu" else None
    for plane, out in zip(values, stored, strict=True):
        wanted = plane.astype(np.float64) if (slope, inter) != (1, 0) else plane
        wanted = (wanted - inter) / slope if (slope, inter) != (1, 0) else wanted
        if limits is not None:
            if wanted.dtype.kind == "f":
                wanted = np.rint(wanted)
                if not np.isfinite(wanted).all():
                    return None
            if wanted.min() < limits.min or wanted.max() > limits.max:
                return None
        out[...] = wanted.astype(native)
        if not np.array_equal(
            _scaled(out, slope, inter, values.dtype), plane, equal_nan=values.dtype.kind == "f"
        ):
            return None
    return stored


def smallest_integer(low: int, high: int) -> np.dtype[Any]:
    """int16 if [low, high] fits, else int32 or int64."""
    return next(
        np.dtype(kind)
        for kind in (np.int16, np.int32, np.int64)
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max
    )


def _value_type(stored: NDArray[Any], slope: float, inter: float) -> np.dtype[Any]:
    if stored.dtype.kind == "f":
        return stored.dtype
    if slope.is_integer() and inter.is_integer():
        ends = [int(end) * int(slope) + int(inter) for end in (stored.min(), stored.max())]
        if max(map(abs, ends)) < 2**62:
            return smallest_integer(min(ends), max(ends))
    return np.dtype(np.float32 if stored.dtype.itemsize <= 2 else np.float64)


def _scaled(plane: NDArray[Any], slope: float, inter: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    if (slope, inter) == (1, 0):
        return plane.astype(dtype)
    if dtype.kind in "iu":
        whole: NDArray[Any] = plane.astype(np.int64) * int(slope) + int(inter)
        return whole.astype(dtype)
    return (plane.astype(np.float64) * slope + inter).astype(dtype)
