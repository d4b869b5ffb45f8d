"""nnU-Net's crop to the nonzero region, and its normalisation of a channel slice by slice, without a float
copy.

Source: nnU-Net v2 (2.8.1), `cropping.py` and `default_normalization_schemes.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.geometry import Shape
from ctseg_models.bundles.nnunet.plan import Normalisation

SMALLEST_DEVIATION = 1e-8
Pixels = NDArray[np.float32]
# Float32 pixels, and which of them are inside the nonzero region (None: not needed), to normalised pixels,
# perhaps in place.
Change = Callable[[Pixels, NDArray[np.bool_] | None], Pixels]


@dataclass(frozen=True, eq=False)
class Cropped:
    """A volume cropped to its nonzero region.

    channels : (c, z, y, x) of a view. [start, stop) : the box of the voxels where any channel is not 0; the
    whole volume if all are 0.
    """

    channels: NDArray[Any]
    start: Shape
    stop: Shape

    @classmethod
    def of(cls, channels: NDArray[Any]) -> Cropped:
        """The crop of a view; voxels that are not finite count as 0."""
        shape = channels.shape[1:]
        used = [np.zeros(n, bool) for n in shape]
        for z in range(shape[0]):
            some = np.zeros(shape[1:], bool)
            for channel in channels:
                some |= finite(channel[z]) != 0
            used[0][z] = some.any()
            used[1] |= some.any(axis=1)
            used[2] |= some.any(axis=0)
        ends = [np.flatnonzero(axis) for axis in used]
        if not len(ends[0]):
            return cls(channels, (0, 0, 0), (shape[0], shape[1], shape[2]))
        (z0, z1), (y0, y1), (x0, x1) = ((int(each[0]), int(each[-1]) + 1) for each in ends)
        return cls(channels, (z0, y0, x0), (z1, y1, x1))

    def within(self, low: Shape, high: Shape) -> tuple[Shape, Shape]:
        """The part of a box that is in the crop; the box itself if none is."""
        a, b, c = (max(one, other) for one, other in zip(low, self.start, strict=True))
        d, e, f = (min(one, other) for one, other in zip(high, self.stop, strict=True))
        return ((a, b, c), (d, e, f)) if a < d and b < e and c < f else (low, high)

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """(z, y, x) bool: where a channel is not 0, with holes filled."""
        place = tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        some = np.zeros([b - a for a, b in zip(self.start, self.stop, strict=True)], bool)
        for channel in self.channels:
            some |= finite(channel[place]) != 0
        inside = np.zeros(self.channels.shape[1:], bool)
        inside[place] = holes_filled(some)
        return inside

    def normaliser(self, number: int, way: Normalisation) -> Change:
        """How the pixels of a channel are changed; statistics are those of the whole crop."""
        if way.scheme == "CTNormalization":
            assert way.intensities is not None  # the plans were checked
            stated = way.intensities
            return _shifted(stated.mean, max(stated.std, SMALLEST_DEVIATION), stated.low, stated.high)
        if way.scheme == "ZScoreNormalization":
            mean, deviation = self._moments(number, way.masked)
            change = _shifted(mean, max(deviation, SMALLEST_DEVIATION))
            return _only_inside(change) if way.masked else change
        if way.scheme == "RescaleTo01Normalization":
            lowest = min(float(pixels.min()) for pixels in self._slices(number, False))
            highest = max(float(pixels.max()) for pixels in self._slices(number, False))
            return _shifted(lowest, max(highest - lowest, SMALLEST_DEVIATION))
        return _shifted(0.0, 255.0) if way.scheme == "RGBTo01Normalization" else _unchanged

    def _moments(self, number: int, masked: bool) -> tuple[float, float]:
        """Mean and population standard deviation of a channel."""
        count = sum(pixels.size for pixels in self._slices(number, masked))
        mean = sum(float(pixels.sum(dtype=np.float64)) for pixels in self._slices(number, masked)) / max(
            1, count
        )
        square = sum(
            float(np.square(pixels - mean, dtype=np.float64).sum()) for pixels in self._slices(number, masked)
        ) / max(1, count)
        return mean, square**0.5

    def _slices(self, number: int, masked: bool) -> Iterator[Pixels]:
        """The slices of a channel's crop along z; only the pixels inside where `masked`."""
        plane = tuple(slice(a, b) for a, b in zip(self.start[1:], self.stop[1:], strict=True))
        for z in range(self.start[0], self.stop[0]):
            pixels = finite(self.channels[number, z][plane])
            yield pixels[self.inside[z][plane]] if masked else pixels


@dataclass(frozen=True, eq=False)
class SliceReader:
    """Normalised slices of the box [low, high) of a channel (z, y, x), along `axis` (None: z).

    inside : for `change`.
    """

    channel: NDArray[Any]
    low: Shape
    high: Shape
    axis: int | None
    change: Change
    inside: NDArray[np.bool_] | None = None

    def __call__(self, number: int) -> Pixels:
        """Slice `number` of the box, (n, m) float32, contiguous and writable."""
        place: list[slice | int] = [slice(a, b) for a, b in zip(self.low, self.high, strict=True)]
        axis = self.axis or 0
        place[axis] = self.low[axis] + number
        pixels = finite(self.channel[tuple(place)])
        return self.change(pixels, None if self.inside is None else self.inside[tuple(place)])


def finite(values: NDArray[Any]) -> Pixels:
    """A float32 copy in which values that are not finite are 0."""
    pixels = np.array(values, np.float32, order="C")
    if values.dtype.kind == "f":
        pixels[~np.isfinite(pixels)] = 0
    return pixels


def holes_filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(z, y, x) bool with every part of the background filled that does not touch a face of the array.

    Connected by steps along the axes.
    """
    from scipy import ndimage

    parts, count = ndimage.label(~mask)
    open_parts = np.zeros(count + 1, bool)
    for axis in range(3):
        for face in (0, -1):
            open_parts[np.unique(parts.take(face, axis=axis))] = True
    open_parts[0] = False
    return np.asarray(~open_parts[parts])


def _shifted(shift: float, scale: float, low: float = -np.inf, high: float = np.inf) -> Change:
    """Clipped, minus `shift`, over `scale`."""

    def change(pixels: Pixels, _: NDArray[np.bool_] | None) -> Pixels:
        if np.isfinite(low) or np.isfinite(high):
            np.clip(pixels, low, high, out=pixels)
        pixels -= np.float32(shift)
        pixels /= np.float32(scale)
        return pixels

    return change


def _only_inside(change: Change) -> Change:
    """Pixels outside keep their value."""

    def changed(pixels: Pixels, inside: NDArray[np.bool_] | None) -> Pixels:
        assert inside is not None
        pixels[inside] = change(pixels[inside], None)
        return pixels

    return changed


def _unchanged(pixels: Pixels, _: NDArray[np.bool_] | None) -> Pixels:
    return pixels
