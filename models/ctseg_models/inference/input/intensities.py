"""From a volume's values to a network's input.

What depends on the whole volume is computed first (`settle`); then every part is normalised alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ctseg_imaging.errors import BundleError
from ctseg_models.contract.plan import Intensity

SAMPLE = 2_000_000  # voxels that the quantiles of a floating-point volume are computed from


def settle(intensity: Intensity, channel: NDArray[np.generic]) -> Intensity:
    """`intensity` with its clip, shift and scale as numbers.

    channel : (z, y, x), the whole volume as stored, whichever part is segmented. Voxels that are not finite
    are ignored. Raises BundleError when no voxel is left for the statistics.
    """
    if intensity.statistics == "none" and intensity.clip_quantiles is None:
        return intensity
    low, high = intensity.clip_low, intensity.clip_high
    if intensity.clip_quantiles is not None:
        low, high = quantiles(channel, intensity.clip_quantiles)
    shift, scale = intensity.shift, intensity.scale
    if intensity.statistics in ("minmax", "max"):
        smallest, largest = _extremes(channel, low, high)
        shift, scale = (0.0, largest) if intensity.statistics == "max" else (smallest, largest - smallest)
    elif intensity.statistics != "none":
        shift, scale = moments(channel, low, high, nonzero=intensity.statistics == "zscore_nonzero")
    return intensity.model_copy(
        update={
            "clip_low": low,
            "clip_high": high,
            "clip_quantiles": None,
            "statistics": "none",
            "shift": shift,
            "scale": scale if scale > 0 else 1.0,
        }
    )


def normalise(values: Tensor, intensity: Intensity) -> Tensor:
    """Apply a settled `intensity` in place, in float32. Raises ValueError for one that was not settled."""
    if intensity.statistics != "none" or intensity.clip_quantiles is not None:
        raise ValueError(
            "The statistics of the volume are not settled; call settle() with the whole volume first."
        )
    if intensity.clip_low is not None or intensity.clip_high is not None:
        values = values.clamp_(intensity.clip_low, intensity.clip_high)
    return values.sub_(intensity.shift).div_(intensity.scale)


def quantiles(channel: NDArray[np.generic], wanted: tuple[float, float]) -> tuple[float, float]:
    """Quantiles of the finite voxels, or of an evenly spread sample if there are more than two million."""
    flat = channel.reshape(-1)
    sample = flat[:: max(1, flat.size // SAMPLE)].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    _refuse_empty(sample.size)
    low, high = np.quantile(sample, wanted)
    return float(low), float(high)


def moments(
    channel: NDArray[np.generic], low: float | None, high: float | None, *, nonzero: bool = False
) -> tuple[float, float]:
    """Mean and standard deviation of the finite voxels after clipping, slice by slice.

    nonzero : only of those that are not 0 as stored.
    """
    count, total, squares = 0, 0.0, 0.0
    for plane in channel:
        values = _finite(plane)
        values = _clipped(values[values != 0] if nonzero else values, low, high)
        count, total = count + values.size, total + float(values.sum())
        squares += float(np.square(values).sum())
    _refuse_empty(count)
    mean = total / count
    return mean, float(np.sqrt(max(0.0, squares / count - mean * mean)))


def _extremes(channel: NDArray[np.generic], low: float | None, high: float | None) -> tuple[float, float]:
    smallest, largest, count = np.inf, -np.inf, 0
    for plane in channel:
        values = _finite(plane)
        count += values.size
        smallest, largest = (
            min(smallest, float(values.min(initial=np.inf))),
            max(largest, float(values.max(initial=-np.inf))),
        )
    _refuse_empty(count)
    ends = _clipped(np.array([smallest, largest]), low, high)
    return float(ends[0]), float(ends[1])


def _finite(plane: NDArray[np.generic]) -> NDArray[np.float64]:
    values = plane.astype(np.float64)
    return values[np.isfinite(values)]


def _clipped(values: NDArray[np.float64], low: float | None, high: float | None) -> NDArray[np.float64]:
    return values if low is None and high is None else np.clip(values, low, high)


def _refuse_empty(count: int) -> None:
    if count == 0:
        raise BundleError(
            "The image has no value (or, where only those count, none that is not 0) to normalise by; check "
            "the image."
        )
