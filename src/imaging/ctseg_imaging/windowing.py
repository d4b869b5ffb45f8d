"""Display windows: presets for CT in HU, and windows from the quantiles of any volume."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.volume import Volume, Window

PRESETS: tuple[Window, ...] = (
    Window("brain", 80, 40),
    Window("subdural", 200, 80),
    Window("stroke", 40, 40),
    Window("bone", 1800, 400),
    Window("temporal bone", 2800, 600),
    Window("lung", 1500, -600),
    Window("mediastinum", 350, 50),
    Window("abdomen", 400, 50),
    Window("liver", 150, 30),
)
"""For CT in HU, in the order of their keys 1 to 9."""

MR_QUANTILES = (0.005, 0.995)
# Paper 3, section on windowing: the bright part of a volume that is mostly background.
PAPER3_QUANTILES = (0.6, 0.99)
QUANTILES = {"0.5-99.5 %": MR_QUANTILES, "60-99 %": PAPER3_QUANTILES}
_LARGEST_EXACT = 1 << 22  # voxels; for larger float volumes, an even sample of about this many is ranked


def preset(name: str) -> Window:
    """The preset called `name`. Raises KeyError if there is none."""
    return {window.name: window for window in PRESETS}[name]


def quantile_window(array: NDArray[Any], low: float, high: float, name: str) -> Window:
    """The window from the `low` to the `high` quantile (0 <= low < high <= 1) of the finite values.

    Linear between ranks, as numpy's default. Exact for whole numbers of up to 16 bits and for up to 4 million
    voxels, else of an even sample. Without finite values, or where both quantiles agree, the window is 1
    wide.
    """
    if not 0 <= low < high <= 1:
        raise ValueError(f"Quantiles are 0 <= low < high <= 1, not {low} and {high}.")
    bottom, top = _quantiles(array, (low, high))
    return Window(name, top - bottom, (bottom + top) / 2) if top > bottom else Window(name, 1.0, bottom)


def default_window(volume: Volume) -> Window:
    """The initial window: the file's first one, else abdomen for CT, else the 0.5 to 99.5 % quantiles."""
    if volume.windows:
        return volume.windows[0]
    return preset("abdomen") if is_hu(volume) else quantile_window(volume.array, *MR_QUANTILES, "0.5-99.5 %")


def suggested_windows(volume: Volume) -> tuple[Window, ...]:
    """Windows to offer for a volume: the file's own, the presets for CT, and the two quantile windows."""
    presets = PRESETS if is_hu(volume) else ()
    return (*volume.windows, *presets, *quantile_windows(volume.array))


def quantile_windows(array: NDArray[Any]) -> tuple[Window, ...]:
    """The windows of QUANTILES."""
    return tuple(quantile_window(array, low, high, name) for name, (low, high) in QUANTILES.items())


def is_hu(volume: Volume) -> bool:
    """Whether the values are HU: the modality is CT, or it is unknown and they range from air (-500 or less)
    to above water.
    """
    if volume.modality or not volume.array.size:
        return volume.modality == "CT"
    array = volume.array
    if array.dtype.kind == "f":
        finite = np.isfinite(array)
        return bool(finite.any()) and bool(
            array.min(where=finite, initial=np.inf) <= -500 and array.max(where=finite, initial=-np.inf) > 0
        )
    return bool(array.min() <= -500 and array.max() > 0)


def _quantiles(array: NDArray[Any], shares: tuple[float, float]) -> tuple[float, float]:
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 2 and array.size:
        return _quantiles_of_counts(array, shares)
    flat = array.reshape(-1)
    flat = flat[:: max(1, flat.size // _LARGEST_EXACT)]
    finite = flat[np.isfinite(flat)]
    if not finite.size:
        return 0.0, 0.0
    low, high = np.quantile(finite.astype(np.float64), shares)
    return float(low), float(high)


def _quantiles_of_counts(array: NDArray[Any], shares: tuple[float, float]) -> tuple[float, float]:
    """From a histogram with one bin a value: exact, and one pass over the volume."""
    lowest = int(array.min())
    counts = np.zeros(int(array.max()) - lowest + 1, np.int64)
    for plane in array.reshape(-1, *array.shape[-2:]) if array.ndim > 2 else array[None]:
        counts += np.bincount((plane.astype(np.int32) - lowest).ravel(), minlength=counts.size)
    below = np.cumsum(counts)
    low, high = (_at_rank(below, share * (array.size - 1)) + lowest for share in shares)
    return float(low), float(high)


def _at_rank(below: NDArray[np.int64], rank: float) -> float:
    """The value at a fractional rank (from 0), linear between the two ranks around it."""
    first = int(np.floor(rank))
    value, following = np.searchsorted(below, [first, min(first + 1, int(below[-1]) - 1)], side="right")
    return float(value + (rank - first) * (following - value))
