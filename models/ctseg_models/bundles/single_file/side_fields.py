"""The fields of a side file; see docs/side-files.md.

Triples run along the axes of the network's array, as `orientation` names them: letter i names the side that
axis i runs to, so "SPL" is this project's (z, y, x) and "RAS" is nibabel's (x, y, z).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ctseg_imaging.geometry import Triple
from ctseg_imaging.volume import Labels
from ctseg_models.contract.axis_order import AxisOrder
from ctseg_models.contract.bundle import LARGEST_LABEL
from ctseg_models.contract.plan import Intensity, Share

MOST_SOURCES = 64  # channels of a volume that a network may read
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
ArrayLayout = Literal["NCDHW", "NDHWC", "CDHW", "DHWC", "DHW", "NCHW", "NHWC"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Channel(_Strict):
    """One input channel: a channel of the volume, clipped to [low, high], then normalised.

    The ways of `normalise`: "range" maps the ends of `clip` to `to`; "minmax" maps the image's own ends to
    `to`; "max" is v / largest; "zscore" is (v - mean) / deviation, "zscore_nonzero" of the voxels that are
    not 0; "fixed" is (v - shift) / scale.
    """

    name: str = "CT"
    source: int = Field(0, ge=0, lt=MOST_SOURCES)  # which channel of the volume
    clip: tuple[float, float] | None = None  # in the volume's units
    clip_quantiles: tuple[Share, Share] | None = None  # at these quantiles of the image instead
    normalise: Literal["none", "range", "minmax", "max", "zscore", "zscore_nonzero", "fixed"] = "none"
    to: tuple[float, float] = (0.0, 1.0)
    shift: float = 0.0
    scale: Positive = 1.0
    # What statistics and quantiles are computed from: the volume as it is, or the network's input (resampled,
    # of the segmented region, without padding).
    statistics: Literal["volume", "input"] = "volume"
    # Which slice, counted along the array's first axis, for 2D networks that see their neighbours: -1 the one
    # before, 1 the one after. At the ends the last slice replaces missing ones.
    slice: int = Field(0, ge=-32, le=32)

    @model_validator(mode="after")
    def _range_needs_ends(self) -> Channel:
        if self.clip is not None and self.clip_quantiles is not None:
            raise ValueError("give either clip or clip_quantiles")
        for name, ends in (("clip", self.clip), ("clip_quantiles", self.clip_quantiles), ("to", self.to)):
            if ends is not None and ends[0] >= ends[1]:
                raise ValueError(f"{name} needs its lower end first")
        if self.normalise == "range" and self.clip is None:
            raise ValueError('normalise "range" needs clip, whose ends go to `to`')
        return self

    def intensity(self) -> Intensity:
        """The same as an Intensity; without the `to` of "minmax"."""
        low, high = self.clip if self.clip is not None else (None, None)
        shift, scale = 0.0, 1.0
        if self.normalise == "fixed":
            shift, scale = self.shift, self.scale
        elif self.normalise == "range" and low is not None and high is not None:
            scale = (high - low) / (self.to[1] - self.to[0])
            shift = low - self.to[0] * scale
        statistics = (
            self.normalise if self.normalise in ("minmax", "max", "zscore", "zscore_nonzero") else "none"
        )
        return Intensity(
            source=self.source,
            clip_low=low,
            clip_high=high,
            clip_quantiles=self.clip_quantiles,
            shift=shift,
            scale=scale,
            statistics=statistics,
        )


class OutputEntry(_Strict):
    """What the network gives: logits, probabilities, or one array of class numbers, as after an argmax."""

    kind: Literal["logits", "probabilities", "labels"]
    # The label value of class 0, 1, ...; a value given twice merges classes, 0 and null are background.
    classes: tuple[int | None, ...] = Field(min_length=1)
    # Merged classes count as their strongest, so the labels are those of an argmax over all classes, or as
    # their sum.
    merge: Literal["strongest", "sum"] = "strongest"
    # Classes exclude each other (softmax); false: one sigmoid each, background where all are below one half.
    exclusive: bool = True
    index: int = Field(0, ge=0)  # which output, if there are several; or by its name
    name: str = ""
    interpolation: Literal["linear", "nearest"] = "linear"  # of the maps to the image's grid

    @model_validator(mode="after")
    def _possible(self) -> OutputEntry:
        if any(value is not None and not 0 <= value <= LARGEST_LABEL for value in self.classes):
            raise ValueError(f"classes are label values of 0 to {LARGEST_LABEL}, or null")
        if self.kind == "labels" and not self.exclusive:
            raise ValueError('kind "labels" has one class a voxel, so exclusive cannot be false')
        if self.exclusive and len(self.classes) < 2:
            raise ValueError(
                "classes names one class, and at least two can exclude each other; a single sigmoid is "
                "exclusive: false"
            )
        return self


class NetworkMeaning(_Strict):
    """What the network reads and what it gives."""

    labels: dict[int, str] = Field(min_length=1)
    channels: tuple[Channel, ...] = Field(min_length=1)
    output: OutputEntry

    @field_validator("labels")
    @classmethod
    def _foreground(cls, labels: dict[int, str]) -> dict[int, str]:
        if min(labels) < 1:
            raise ValueError(
                "the labels are those of the foreground, 1 or more; the background (0) has no name"
            )
        return labels

    def label_set(self) -> Labels:
        """The labels as the viewer and the writers use them."""
        return Labels.from_names(self.labels)

    @property
    def images(self) -> tuple[str, ...]:
        """The name of each channel of the volume; several network channels may read one (`source`)."""
        names: list[dict[str, None]] = [
            {} for _ in range(1 + max(channel.source for channel in self.channels))
        ]
        for channel in self.channels:
            names[channel.source][channel.name] = None
        return tuple(" / ".join(own) or "not used" for own in names)


class InputGrid(_Strict):
    """How a volume becomes the network's array. Exactly one of `spacing` and `size` is given."""

    # mm; a null leaves the axis as the volume has it.
    spacing: tuple[Positive | None, Positive | None, Positive | None] | None = None
    # The whole volume is resized to this array; a null leaves the axis as the volume has it.
    size: tuple[Count | None, Count | None, Count | None] | None = None
    orientation: str = "SPL"
    interpolation: Literal["area", "linear", "nearest"] = "linear"
    # What a resized array shares with the volume: its outer edges, or the centres of its first and last
    # voxels (as in scipy.ndimage.zoom and MONAI).
    align: Literal["edges", "centres"] = "edges"
    # The axes of the network's array: N (1), C, and D H W in the order of `orientation`; without D the first
    # axis runs over slices, `batch` of them at a time.
    layout: ArrayLayout = "NCDHW"
    batch: Count = 1
    # Sides are padded to multiples of this, and to at least min_size, with `pad`.
    multiple_of: Count | tuple[Count, Count, Count] = 1
    min_size: tuple[Count, Count, Count] = (1, 1, 1)
    smoothing: float = Field(0.0, ge=0.0)  # sigma in mm of a Gaussian before resampling
    patch: tuple[Count, Count, Count] | None = None  # of a sliding window, blended with `weights`
    overlap: float = Field(0.5, ge=0.0, lt=1.0)
    weights: Literal["gaussian", "constant"] = "gaussian"
    pad: float = -1024.0  # in the volume's units

    @field_validator("orientation")
    @classmethod
    def _axis_codes(cls, codes: str) -> str:
        AxisOrder.of_codes(codes)
        return codes

    @model_validator(mode="after")
    def _spacing_or_size(self) -> Self:
        if (self.spacing is None) == (self.size is None):
            raise ValueError("give either spacing or size")
        if self.size is not None and (
            self.patch is not None or self.multiple_of != 1 or self.min_size != (1, 1, 1)
        ):
            raise ValueError("a fixed size goes with none of patch, multiple_of and min_size")
        return self

    @property
    def turn(self) -> AxisOrder:
        """The axes of the network's array within the view."""
        return AxisOrder.of_codes(self.orientation)

    @property
    def spacing_zyx_mm(self) -> Triple | None:
        """`spacing` along the view's (z, y, x); None where it depends on the volume."""
        if self.spacing is None:
            return None
        z, y, x = self.turn.zyx(self.spacing)
        return None if z is None or y is None or x is None else (z, y, x)


class SideFile(InputGrid, NetworkMeaning):
    """A validated side file: all fields at one level."""

    name: str = ""
    modality: str = "CT"
    version: str = ""
    card: str = ""
    sha256: str = ""  # of the network's file followed by its arrays

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.layout == "DHW" and len(self.channels) > 1:
            raise ValueError('layout "DHW" has no axis for several channels; name one that has a C')
        unknown = sorted({value for value in self.output.classes if value} - set(self.labels))
        if unknown:
            raise ValueError(f"output.classes has the values {unknown}, which labels does not name")
        return self
