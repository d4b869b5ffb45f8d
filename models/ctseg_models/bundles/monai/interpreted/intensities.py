"""MONAI's transforms of values alone. Source: MONAI 1.6.1, monai/transforms/intensity/array.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ctseg_models.bundles.monai.config.arguments import Arguments, NotHereError, Numbers
from ctseg_models.bundles.monai.config.components import Component

if TYPE_CHECKING:
    from torch import Tensor

Intensity = Callable[["Tensor"], "Tensor"]


def _scale_range(component: Component) -> Intensity:
    arguments = Arguments(component, ignored=("dtype",))
    low, high = arguments.take("a_min", None, int, float), arguments.take("a_max", None, int, float)
    to_low, to_high = arguments.take("b_min", None, int, float), arguments.take("b_max", None, int, float)
    clip = arguments.take("clip", False, bool)
    arguments.end()
    if low is None or high is None or low == high or (clip and to_low is None and to_high is None):
        raise NotHereError(f"{component.target} without a range")

    def change(x: Tensor) -> Tensor:
        x = x.sub_(low).div_(high - low)
        if to_low is not None and to_high is not None:
            x = x.mul_(to_high - to_low).add_(to_low)
        return x.clamp_(to_low, to_high) if clip else x

    return change


def _scale(component: Component) -> Intensity:
    arguments = Arguments(component, ignored=("dtype",))
    low, high = arguments.take("minv", 0.0, int, float), arguments.take("maxv", 1.0, int, float)
    channel_wise = arguments.take("channel_wise", False, bool)
    arguments.end()
    if low is None or high is None:
        raise NotHereError(f"{component.target} without minv and maxv")

    def change(x: Tensor) -> Tensor:
        for part in x if channel_wise else (x,):
            smallest, largest = float(part.min()), float(part.max())
            if smallest == largest:
                part.mul_(low)
            else:
                part.sub_(smallest).div_(largest - smallest).mul_(high - low).add_(low)
        return x

    return change


def _normalise(component: Component) -> Intensity:
    arguments = Arguments(component, ignored=("dtype",))
    mean, deviation = arguments.numbers("subtrahend", None), arguments.numbers("divisor", None)
    nonzero, channel_wise = (
        arguments.take("nonzero", False, bool),
        arguments.take("channel_wise", False, bool),
    )
    arguments.end()

    def one(values: Numbers | float | None, channel: int) -> float | None:
        return values[channel] if isinstance(values, tuple) else values

    def change(x: Tensor) -> Tensor:
        for channel, part in enumerate(x if channel_wise else (x,)):
            inside = part != 0 if nonzero else None
            values = part if inside is None else part[inside]
            if not values.numel():
                continue
            given, spread = one(mean, channel), one(deviation, channel)
            centre = float(values.double().mean()) if given is None else given
            scale = float(values.double().std(unbiased=False)) if spread is None else spread
            changed = (part - centre) / (scale or 1.0)
            part.copy_(changed if inside is None else changed.where(inside, part))
        return x

    return change


def _percentiles(component: Component) -> Intensity:
    """ClipIntensityPercentilesd, and ScaleIntensityRangePercentilesd, which then scales to b_min..b_max."""
    arguments = Arguments(component, ignored=("dtype",))
    lower, upper = arguments.take("lower", None, int, float), arguments.take("upper", None, int, float)
    scales = component.name == "ScaleIntensityRangePercentilesd"
    to_low, to_high = (
        arguments.take(name, None, int, float) if scales else None for name in ("b_min", "b_max")
    )
    clip = arguments.take("clip", False, bool) if scales else True
    channel_wise = arguments.take("channel_wise", False, bool)
    arguments.end()
    if lower is None or upper is None or (scales and (to_low is None or to_high is None)):
        raise NotHereError(f"{component.target} without both ends")

    def change(x: Tensor) -> Tensor:
        for part in x if channel_wise else (x,):
            low, high = (float(end) for end in np.percentile(part.numpy(), (lower, upper)))
            if not scales:
                part.clamp_(low, high)
                continue
            assert to_low is not None
            assert to_high is not None
            part.sub_(low).div_((high - low) or 1.0).mul_(to_high - to_low).add_(to_low)
            if clip:
                part.clamp_(to_low, to_high)
        return x

    return change


def _threshold(component: Component) -> Intensity:
    arguments = Arguments(component)
    threshold, above = arguments.take("threshold", None, int, float), arguments.take("above", True, bool)
    value = arguments.take("cval", 0.0, int, float)
    arguments.end()
    if threshold is None:
        raise NotHereError(f"{component.target} without threshold")
    return lambda x: x.where(x > threshold if above else x < threshold, x.new_tensor(value))


def _shift(component: Component) -> Intensity:
    arguments = Arguments(component)
    offset = arguments.take("offset", None, int, float)
    arguments.end()
    if offset is None:
        raise NotHereError(f"{component.target} without offset")
    return lambda x: x.add_(offset)


# By MONAI's name. Each changes (C, z, y, x) in place or returns another; statistics are those of the array
# given.
INTENSITIES: dict[str, Callable[[Component], Intensity]] = {
    "ScaleIntensityRanged": _scale_range,
    "ScaleIntensityd": _scale,
    "NormalizeIntensityd": _normalise,
    "ClipIntensityPercentilesd": _percentiles,
    "ScaleIntensityRangePercentilesd": _percentiles,
    "ThresholdIntensityd": _threshold,
    "ShiftIntensityd": _shift,
}
