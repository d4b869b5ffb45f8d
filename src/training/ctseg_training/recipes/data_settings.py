"""How cases become samples: the network's input, the sampled part, and its augmentation."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from ctseg_models.contract.plan import AllowedSizes, Growth, Intensity
from ctseg_training.recipes.settings import NonNegative, Share, Sizes3, StrictSettings, Triple
from ctseg_training.recipes.slab_settings import CTCues, Generic, InPlane


class SampleStatistics(StrictSettings):
    """Mean and standard deviation of the windowed values of a random sample of the training cases: shift and
    scale of every channel.

    Source: paper 3, section "Data Preprocessing".
    """

    cases: PositiveInt = 20
    seed: int = 0


class Data(StrictSettings):
    """How a case becomes the network's input; all of it goes into the bundle's `Stage`, so inference does the
    same.

    sizes, spacing_growth, intensity, smoothing_sigma_mm, inferer, patch, overlap, outside (pad_hu) : as the
    `Stage` of `ctseg_models.bundles.own.metadata` has them. margin_mm : around the box that the localiser
    finds. label_smoothing_voxels : of the true labels, in training only. zscore_sample : takes the place of
    every channel's shift and scale.
    """

    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    sizes: AllowedSizes
    spacing_growth: Growth = Growth(factor=1.02, add_mm=0.0)
    intensity: Intensity
    more_channels: tuple[
        Intensity, ...
    ] = ()  # further channels of the network's input: other windows, or other channels of the image
    outside: float = -1024.0
    smoothing_sigma_mm: NonNegative = 0.0
    label_smoothing_voxels: NonNegative = 0.0
    margin_mm: NonNegative = 0.0
    inferer: Literal["whole", "sliding_window"] = "whole"
    patch: Sizes3 | None = None
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    require: tuple[str, ...] = ()  # a case is used only if these labels were contoured
    require_count: int = 0  # ... and at least so many labels altogether
    zscore_sample: SampleStatistics | None = None

    @model_validator(mode="after")
    def _window(self) -> Self:
        if self.inferer == "sliding_window" and self.patch is None:
            raise ValueError("inferer sliding_window needs a patch")
        return self


class Sampling(StrictSettings):
    """The part of a case that is one training sample.

    whole : all of it. roi : the box of the ground truth plus margin. patch : a box of `size` voxels, in
    `near_label` of the draws centred near a voxel of a label, else anywhere in the box of the ground truth
    plus margin. slices : size[0] random slices of the whole volume, in their order and with a label in each
    (`empty_slices`: any), of size[1] x size[2] voxels around the labels (paper 3). versions : this many fixed
    samples per case, drawn once, instead of new ones; paper 1's duals belong to them.
    """

    mode: Literal["whole", "roi", "patch", "slices"]
    size: Sizes3 | None = None  # voxels; for whole and roi: instead of the size that fits
    margin_mm: NonNegative = 32.0
    near_label: Share = 0.7
    near_distance_mm: Triple = (45, 25, 25)
    label_weights: dict[str, PositiveFloat] = Field(default_factory=dict)  # by name; 1 where none is given
    empty_slices: bool = False
    versions: PositiveInt | None = None

    @model_validator(mode="after")
    def _patch_has_size(self) -> Self:
        if self.mode in ("patch", "slices") and self.size is None:
            raise ValueError(f"mode {self.mode} needs a size")
        return self


class Elastic(StrictSettings):
    """A cubic B-spline through `grid` control points per axis, moved by up to amplitude_mm."""

    grid: Sizes3 = (8, 8, 8)
    amplitude_mm: Triple = (15, 15, 15)
    share: Share = 1.0  # of samples


class Augmentation(StrictSettings):
    """The largest random changes; all spatial ones are applied in a single resampling. mirror: share of
    samples turned left to right.
    """

    translation_mm: Triple = (0, 0, 0)
    rotation_rad: Triple = (0, 0, 0)
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    scale_per_axis: Annotated[float, Field(ge=0, lt=1)] = 0.0
    elastic: Elastic | None = None
    mirror: Share = 0.0
    mirror_pairs: tuple[tuple[str, str], ...] = ()  # labels that change places then
    value_shift: NonNegative = 0.0  # before clipping, in the units of the volume (HU): standard deviation
    noise: NonNegative = 0.0  # before clipping, in the units of the volume: largest standard deviation
    intensity_shift: NonNegative = 0.0  # of the network's input
    intensity_scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    input_noise: NonNegative = 0.0  # of the network's input: largest standard deviation
    slab: CTCues | Generic | InPlane | None = Field(
        default=None, discriminator="kind"
    )  # of papers 3 and 4, after the above
