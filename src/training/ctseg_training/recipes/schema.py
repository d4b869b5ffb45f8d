"""The fields of a recipe. Arrays and triples run (z, y, x); every length in mm; unknown fields are refused.

A recipe trains one stage of a bundle. A further method adds its network settings, its loss terms and, where the training
itself differs, its own step function (see `ctseg_training.steps`); data, augmentation, schedule and job stay as they are.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from ctseg_models.bundles.metadata import Growth, Intensity, Sizes

Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Triple = tuple[NonNegative, NonNegative, NonNegative]
Sizes3 = tuple[PositiveInt, PositiveInt, PositiveInt]


class Settings(BaseModel):
    """Frozen, and strict about names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class UNetSettings(Settings):
    """The U-Net of paper 5 (`ctseg_models.networks.unet`); in_channels and outputs follow from the data."""

    kind: Literal["unet"]
    levels: PositiveInt = 5
    filters: PositiveInt = 32
    dropout: Share = 0.1
    negative_slope: NonNegative = 0.1
    norm: Literal["none", "instance"] = "none"

    def options(self) -> dict[str, Any]:
        """Keyword arguments of the network's configuration."""
        return self.model_dump(exclude={"kind"})

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names a loss may look at."""
        return ("logits",)


class SCNSettings(UNetSettings):
    """The SpatialConfiguration-Net of paper 5 (`ctseg_models.networks.scn`)."""

    kind: Literal["scn"]  # type: ignore[assignment]
    spatial_levels: PositiveInt = 4
    spatial_filters: PositiveInt = 16
    label_dropout: Share = 0.25
    image_dropout: Share = 0.5
    salt_and_pepper: Share = 0.01

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("merged", "local", "spatial")


NetworkSettings = Annotated[UNetSettings | SCNSettings, Field(discriminator="kind")]


class Data(Settings):
    """How a case becomes the network's input; all of it goes into the bundle's `Stage`, so that inference does the same.

    sizes, spacing_growth, intensity, smoothing_sigma_mm, inferer, patch, overlap, outside (pad_hu) : as the `Stage` of
    `ctseg_models.bundles.metadata` has them. margin_mm : around the box that the localiser finds.
    label_smoothing_voxels : of the true labels, in training only.
    """

    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    sizes: Sizes
    spacing_growth: Growth = Growth(factor=1.02, add_mm=0.0)
    intensity: Intensity
    outside: float = -1024.0
    smoothing_sigma_mm: NonNegative = 0.0
    label_smoothing_voxels: NonNegative = 0.0
    margin_mm: NonNegative = 0.0
    inferer: Literal["whole", "sliding_window"] = "whole"
    patch: Sizes3 | None = None
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    require: tuple[str, ...] = ()  # a case is used only if these labels were contoured
    require_count: int = 0  # ... and at least so many labels altogether
    cache_mb: PositiveFloat = 2000.0

    @model_validator(mode="after")
    def _window(self) -> Self:
        if self.inferer == "sliding_window" and self.patch is None:
            raise ValueError("inferer sliding_window needs a patch")
        return self


class Sampling(Settings):
    """Which part of a case is one training sample.

    whole : all of it. roi : the box of the ground truth plus margin. patch : a box of `size` voxels, in `near_label` of the
    draws centred near a voxel of a label, else anywhere in the box of the ground truth plus margin.
    """

    mode: Literal["whole", "roi", "patch"]
    size: Sizes3 | None = None  # voxels; for whole and roi: instead of the size that fits
    margin_mm: NonNegative = 32.0
    near_label: Share = 0.7
    near_distance_mm: Triple = (45, 25, 25)
    label_weights: dict[str, PositiveFloat] = {}  # by name; 1 where none is given

    @model_validator(mode="after")
    def _patch_has_size(self) -> Self:
        if self.mode == "patch" and self.size is None:
            raise ValueError("mode patch needs a size")
        return self


class Elastic(Settings):
    """A cubic B-spline through `grid` control points per axis, moved by up to amplitude_mm."""

    grid: Sizes3 = (8, 8, 8)
    amplitude_mm: Triple = (15, 15, 15)
    share: Share = 1.0  # of samples


class Augmentation(Settings):
    """Largest draws; all spatial ones are applied in a single resampling. mirror: share of samples turned left to right."""

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


class LossTerm(Settings):
    """One term of the objective and the output of the network it looks at."""

    kind: Literal["generalised_dice", "dice_cross_entropy", "sigmoid_cross_entropy"]
    output: str
    weight: PositiveFloat = 1.0


class Optimiser(Settings):
    """adam adds weight_decay to the gradient (L2), adamw takes it off the weights."""

    kind: Literal["adam", "adamw"] = "adam"
    learning_rate: PositiveFloat = 1e-4
    betas: tuple[Share, Share] = (0.9, 0.999)
    weight_decay: NonNegative = 0.0


class Schedule(Settings):
    """The learning rate over the budget, after a linear warm-up."""

    kind: Literal["constant", "linear"] = "constant"
    warmup_steps: int = 0


class Budget(Settings):
    """When training ends: the first of the two that is reached."""

    steps: PositiveInt | None = None
    minutes: PositiveFloat | None = None


class Validation(Settings):
    """Held-out cases: for the curve and for the score before and after.

    They are drawn from `training` (`share`, seeded; at least 1) or named; the data set's own `validation` list is left alone unless
    split says so. every_minutes / every_steps : how often the curve gets a point; both empty: only before and after.
    """

    split: Literal["training", "validation"] = "training"
    share: Share = 0.1
    at_most: PositiveInt = 8
    cases: tuple[str, ...] = ()
    every_steps: PositiveInt | None = None
    every_minutes: PositiveFloat | None = None


class Checkpoints(Settings):
    """How often the state is written; it is also written at the end and on a stop."""

    every_steps: PositiveInt | None = None
    every_minutes: PositiveFloat = 2.0


class Recipe(Settings):
    """One training run of one stage."""

    name: str
    description: str = ""
    stage: Literal["localise", "segment"]
    modality: str = "CT"
    network: NetworkSettings
    data: Data
    sampling: Sampling
    augmentation: Augmentation = Augmentation()
    losses: tuple[LossTerm, ...] = Field(min_length=1)
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    budget: Budget = Budget()
    batch: PositiveInt = 1
    clip_at: PositiveFloat | None = 5.0  # times the moving mean of the gradient's norm
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    trainable: Literal["all", "decoder", "head"] = "all"
    validation: Validation = Validation()
    checkpoints: Checkpoints = Checkpoints()
    seed: int = 0

    @model_validator(mode="after")
    def _losses_fit_network(self) -> Self:
        for term in self.losses:
            if term.output not in self.network.outputs:
                raise ValueError(f"losses: this network has the outputs {', '.join(self.network.outputs)}, not {term.output!r}")
            if term.kind == "sigmoid_cross_entropy" and term.output == "merged":
                raise ValueError("losses: sigmoid_cross_entropy needs logits, and merged has probabilities")
        if self.schedule.kind == "linear" and self.budget == Budget():
            raise ValueError("schedule: linear falls over the budget; give budget.steps or budget.minutes")
        if self.batch > 1 and self.sampling.size is None:
            raise ValueError("batch: samples of one batch have one size; give sampling.size")
        return self
