"""How a box of a volume becomes a network's input: channels, spacing, sizes, patches."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Shape, Triple
from ctseg_models.contract.lattice import ROUNDING, Lattice, ViewBox

Sizes3 = tuple[int, int, int]
Share = Annotated[float, Field(ge=0, le=1)]


class FrozenModel(BaseModel):
    """A validated, immutable value without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Intensity(FrozenModel):
    """How one input channel is normalised: x = (clip(v, clip_low, clip_high) - shift) / scale.

    Values are in the volume's units (HU for CT).
    """

    source: int = Field(0, ge=0)  # which channel of the volume
    clip_low: float | None = None  # None: not clipped
    clip_high: float | None = None
    shift: float = 0.0
    scale: float = Field(1.0, gt=0)
    clip_quantiles: tuple[Share, Share] | None = None  # clip at these quantiles of the volume instead
    # What shift and scale are taken from instead, over the whole volume as stored, after clipping: "minmax"
    # (to 0..1), "max" (v / max), "zscore", "zscore_nonzero" (of the voxels that are not 0).
    statistics: Literal["none", "minmax", "max", "zscore", "zscore_nonzero"] = "none"

    @model_validator(mode="after")
    def _one_clip(self) -> Intensity:
        if self.clip_quantiles is not None:
            if self.clip_low is not None or self.clip_high is not None:
                raise ValueError("intensity: clip_quantiles and clip_low/clip_high exclude each other")
            if self.clip_quantiles[0] >= self.clip_quantiles[1]:
                raise ValueError("intensity: clip_quantiles must rise")
        return self


class AllowedSizes(FrozenModel):
    """The array sizes that a network takes, (z, y, x) voxels: min, min + step, ... up to max."""

    min: Sizes3
    max: Sizes3
    step: Sizes3

    @model_validator(mode="after")
    def _ordered(self) -> AllowedSizes:
        if any(
            low < 1 or step < 1 or high < low
            for low, high, step in zip(self.min, self.max, self.step, strict=True)
        ):
            raise ValueError("sizes: every axis needs 1 <= min <= max and step >= 1")
        return self

    def next_allowed(self, shape: tuple[int, ...]) -> Sizes3 | None:
        """The smallest allowed size that holds `shape` (z, y, x); None when there is none."""
        sizes = [
            low + -(-max(0, n - low) // step) * step
            for n, low, step in zip(shape, self.min, self.step, strict=True)
        ]
        if any(n > high for n, high in zip(sizes, self.max, strict=True)):
            return None
        return sizes[0], sizes[1], sizes[2]


class Growth(FrozenModel):
    """How the spacing of every axis grows until a box fits the largest size: times `factor` plus `add_mm`."""

    factor: float = Field(1.02, ge=1.0)
    add_mm: float = Field(0.0, ge=0.0)

    @model_validator(mode="after")
    def _grows(self) -> Growth:
        if self.factor == 1.0 and self.add_mm == 0.0:
            raise ValueError(
                "spacing_growth: factor 1 and 0 mm do not grow, so a large volume would never fit"
            )
        return self


LARGEST_GROWTH = 64.0  # times the bundle's spacing: no body part is larger


@dataclass(frozen=True)
class StagePlan:
    """How a box of a volume becomes the input of one network, from a bundle's metadata or a side file.

    Triples are (z, y, x). Exactly one of spacing_mm and fixed_shape is set.
    """

    name: Literal["localise", "segment"]
    channels: tuple[Intensity, ...]
    spacing_mm: Triple | None
    fixed_shape: Shape | None = None  # the box is resized to an array of this shape
    sizes: AllowedSizes | None = None
    growth: Growth = field(default_factory=Growth)
    smoothing_sigma_mm: float = 0.0  # of a Gaussian before resampling
    margin_mm: float = 0.0  # of a localiser, around its foreground
    patch: Shape | None = None  # of the sliding window; None: the whole array at once
    overlap: float = 0.5  # of neighbouring windows, as a share of a side
    pad: float = -1024.0  # the value outside the volume, in its units
    interpolation: Literal["area", "linear", "nearest"] = "area"

    def lattice(self, box: ViewBox, *, divide_evenly: bool) -> Lattice:
        """The lattice of an allowed size over `box`, centred on it to half a voxel.

        The spacing grows until a size fits. divide_evenly : for a whole volume, divide its extent into a
        whole number of voxels, as resizing an array does; any extra size is padding outside the volume.
        Otherwise the spacing is exact and the lattice at least as large as the box. Raises BundleError when
        no size fits.
        """
        if self.fixed_shape is not None:
            z, y, x = (e / n for e, n in zip(box.extent, self.fixed_shape, strict=True))
            return Lattice(box.low, (z, y, x), self.fixed_shape)
        assert self.spacing_mm is not None
        spacing = self.spacing_mm
        while True:
            count = [_voxels(e, s, divide_evenly) for e, s in zip(box.extent, spacing, strict=True)]
            if (shape := self._allowed(count)) is not None:
                break
            z, y, x = (s * self.growth.factor + self.growth.add_mm for s in spacing)
            spacing = z, y, x
            if z > LARGEST_GROWTH * self.spacing_mm[0]:
                raise BundleError(
                    f"A volume of {' x '.join(f'{e:.0f}' for e in box.extent)} mm (z, y, x) does not fit "
                    "this bundle; choose a smaller region."
                )
        low = []
        final = []
        for axis in range(3):
            n, extent = count[axis], box.extent[axis]
            step = extent / n if divide_evenly else spacing[axis]
            overhang = (
                n * step - extent
            ) / 2  # less than half a voxel, so the centre of every voxel needed lies in the box
            final.append(step)
            low.append(box.low[axis] - overhang - (shape[axis] - n) // 2 * step)
        return Lattice((low[0], low[1], low[2]), (final[0], final[1], final[2]), shape)

    def _allowed(self, count: list[int]) -> Shape | None:
        if self.patch is not None:
            z, y, x = (max(n, p) for n, p in zip(count, self.patch, strict=True))
            return z, y, x
        if self.sizes is None:
            return count[0], count[1], count[2]
        return self.sizes.next_allowed(tuple(count))


def _voxels(extent_mm: float, spacing_mm: float, divide_evenly: bool) -> int:
    exact = extent_mm / spacing_mm
    return max(1, math.floor(exact + 0.5) if divide_evenly else math.ceil(exact - ROUNDING))
