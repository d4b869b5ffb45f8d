"""The fields of a recipe. Arrays and triples run (z, y, x); every length in mm; unknown fields are refused.

A recipe trains one stage of a bundle. A further method adds its network settings, its loss terms and, where the training
itself differs, its own step function (see `ctseg_training.steps`); data, augmentation, schedule and job stay as they are.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from ctseg_models.bundles.metadata import Growth, Intensity, Sizes
from ctseg_training.data.slabs import CTCues, Generic, InPlane

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
    dimensions: ClassVar[int] = 3
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


class SUNetSettings(Settings):
    """The sU-Net of paper 1 (`ctseg_models.networks.sunet`), 2D."""

    kind: Literal["sunet"]
    filters: PositiveInt = 64
    dropout: Share = 0.2
    dimensions: ClassVar[int] = 2

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("logits",)

    def options(self) -> dict[str, Any]:
        """Keyword arguments of the network's configuration."""
        return self.model_dump(exclude={"kind"})


class DenseUNetSettings(SUNetSettings):
    """The generator of paper 4 (`ctseg_models.networks.dense_unet`), 2D: one sigmoid per foreground label."""

    kind: Literal["dense_unet"]  # type: ignore[assignment]
    filters: PositiveInt = 32
    dropout: ClassVar[float] = 0.0  # type: ignore[misc]
    convolutions: PositiveInt = 2
    poolings: PositiveInt = 4
    negative_slope: NonNegative = 0.1


class MSDNetSettings(Settings):
    """The mixed-scale dense network of paper 3 (`ctseg_models.networks.msd_net`). depth null: 100 layers in 2D, 30 in 3D."""

    kind: Literal["msd_net"]
    dimensions: Literal[2, 3] = 3
    depth: PositiveInt | None = None
    width: PositiveInt = 1
    dilations: PositiveInt = 10
    negative_slope: NonNegative = 0.01

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("logits",)

    def options(self) -> dict[str, Any]:
        """Keyword arguments of the network's configuration."""
        return self.model_dump(exclude={"kind"})


class NNUNetSettings(Settings):
    """nnU-Net's U-Net (`ctseg_models.networks.nnunet`), one entry of strides, kernels and filters per level, (z,) y, x."""

    kind: Literal["nnunet"]
    dimensions: Literal[2, 3] = 3
    strides: tuple[tuple[PositiveInt, ...], ...]
    kernels: tuple[tuple[PositiveInt, ...], ...]
    filters: tuple[PositiveInt, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("logits",)

    def options(self) -> dict[str, Any]:
        """Keyword arguments of the network's configuration."""
        return self.model_dump(exclude={"kind"})


class BackboneSettings(Settings):
    """A backbone of paper 2 by itself (`ctseg_models.networks.backbones`): what the edge stream is compared with."""

    kind: Literal["backbone"]
    backbone: Literal["unet", "vnet", "segnet"]
    dimensions: Literal[2, 3] = 3
    levels: PositiveInt = 4
    filters: PositiveInt = 16

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("logits",)

    def options(self) -> dict[str, Any]:
        """Keyword arguments of the network's configuration."""
        return self.model_dump(exclude={"kind"})


class EdgeGatedSettings(BackboneSettings):
    """A backbone with the edge stream of paper 2 (`ctseg_models.networks.edge_gated`). shared_edge: one edge map for all labels."""

    kind: Literal["edge_gated"]  # type: ignore[assignment]
    shared_edge: bool = False

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("logits", "edges")


NetworkSettings = Annotated[UNetSettings | SCNSettings | SUNetSettings | DenseUNetSettings | MSDNetSettings | NNUNetSettings
                            | BackboneSettings | EdgeGatedSettings, Field(discriminator="kind")]


class SampleStatistics(Settings):
    """Mean and standard deviation of the windowed values of a random sample of the training cases: shift and scale of every channel.

    Source: paper 3, section "Data Preprocessing".
    """

    cases: PositiveInt = 20
    seed: int = 0


class Data(Settings):
    """How a case becomes the network's input; all of it goes into the bundle's `Stage`, so that inference does the same.

    sizes, spacing_growth, intensity, smoothing_sigma_mm, inferer, patch, overlap, outside (pad_hu) : as the `Stage` of
    `ctseg_models.bundles.metadata` has them. margin_mm : around the box that the localiser finds.
    label_smoothing_voxels : of the true labels, in training only. zscore_sample : takes the place of every channel's shift and scale.
    """

    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    sizes: Sizes
    spacing_growth: Growth = Growth(factor=1.02, add_mm=0.0)
    intensity: Intensity
    more_channels: tuple[Intensity, ...] = ()  # further channels of the network's input: other windows, or other channels of the image
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


class Sampling(Settings):
    """Which part of a case is one training sample.

    whole : all of it. roi : the box of the ground truth plus margin. patch : a box of `size` voxels, in `near_label` of the
    draws centred near a voxel of a label, else anywhere in the box of the ground truth plus margin. slices : size[0] random slices of the
    whole volume, in their order and with a label in each (`empty_slices`: any), of size[1] x size[2] voxels around the labels (paper 3).
    versions : so many fixed samples per case, drawn once, instead of a new one each time; paper 1's duals belong to them.
    """

    mode: Literal["whole", "roi", "patch", "slices"]
    size: Sizes3 | None = None  # voxels; for whole and roi: instead of the size that fits
    margin_mm: NonNegative = 32.0
    near_label: Share = 0.7
    near_distance_mm: Triple = (45, 25, 25)
    label_weights: dict[str, PositiveFloat] = {}  # by name; 1 where none is given
    empty_slices: bool = False
    versions: PositiveInt | None = None

    @model_validator(mode="after")
    def _patch_has_size(self) -> Self:
        if self.mode in ("patch", "slices") and self.size is None:
            raise ValueError(f"mode {self.mode} needs a size")
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
    input_noise: NonNegative = 0.0  # of the network's input: largest standard deviation
    slab: CTCues | Generic | InPlane | None = Field(default=None, discriminator="kind")  # of papers 3 and 4, after the above


LossKind = Literal[
    "generalised_dice", "soft_dice", "squared_dice", "tversky", "tanimoto_cross_entropy", "cross_entropy", "dice_cross_entropy",
    "sigmoid_cross_entropy", "mumford_shah_image", "mumford_shah_label", "edge", "consistency", "content",
]


class LossTerm(Settings):
    """One term of the objective and the output of the network it looks at.

    softness : labels are softness and 1 - softness instead of 0 and 1 (paper 4: 0.1). smooth : where the default of the loss is not meant.
    combine : of tanimoto_cross_entropy.
    """

    kind: LossKind
    output: str = "logits"
    weight: PositiveFloat = 1.0
    smooth: PositiveFloat | None = None
    softness: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    combine: Literal["weights", "power"] = "weights"

    @model_validator(mode="after")
    def _knows_its_options(self) -> Self:
        for name, kinds in OPTIONS.items():
            if getattr(self, name) != type(self).model_fields[name].default and self.kind not in kinds:
                raise ValueError(f"losses: {self.kind} has no {name}")
        return self

    def options(self) -> dict[str, Any]:
        """Keyword arguments of the loss."""
        given = {name: getattr(self, name) for name, kinds in OPTIONS.items() if self.kind in kinds}
        return {name: value for name, value in given.items() if value is not None}


OPTIONS: dict[str, tuple[str, ...]] = {
    "smooth": ("generalised_dice", "soft_dice", "squared_dice", "tversky", "tanimoto_cross_entropy"),
    "softness": ("generalised_dice", "squared_dice", "tversky", "content"),
    "combine": ("tanimoto_cross_entropy",),
}


class Content(Settings):
    """The Siamese network of paper 4. features : a file with VGG-19's weights, whose SHA-256 may be given; none is ever downloaded, and
    training without one is refused.
    trainable : the paper's min-max game, in which the features learn to see differences, with learning_rate."""

    features: str | None = None
    sha256: str | None = None
    trainable: bool = False
    learning_rate: PositiveFloat = 1e-5


class Geometric(Settings):
    """ADMM with a weighted-TV prior and the true area of every label, paper 1; every slice by itself for a 2D network. Needs
    sampling.versions. mu : of the quadratic term. tolerance, max_iterations : of Douglas-Rachford, which starts at the last u."""

    mu: PositiveFloat = 0.5
    tolerance: PositiveFloat = 1e-3
    max_iterations: PositiveInt = 200


class Optimiser(Settings):
    """adam and sgd add weight_decay to the gradient (L2), adamw takes it off the weights. momentum, nesterov : of sgd."""

    kind: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: PositiveFloat = 1e-4
    betas: tuple[Share, Share] = (0.9, 0.999)
    momentum: Share = 0.9
    nesterov: bool = False
    weight_decay: NonNegative = 0.0


class Schedule(Settings):
    """The learning rate over the budget, after a linear warm-up.

    poly : (1 - spent) ** power. linear : poly with power 1. cosine : half a period. plateau : times `factor` whenever the validation has
    not become better for `patience` validations.
    """

    kind: Literal["constant", "linear", "poly", "cosine", "plateau"] = "constant"
    power: PositiveFloat = 0.9
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: PositiveInt = 10
    warmup_steps: int = 0


class Budget(Settings):
    """When training ends: the first of the two that is reached."""

    steps: PositiveInt | None = None
    minutes: PositiveFloat | None = None


class Validation(Settings):
    """Held-out cases: for the curve and for the score before and after.

    They are drawn from `training` (`share`, seeded; at least 1) or named; the data set's own `validation` list is left alone unless
    split says so. every_minutes / every_steps : how often the curve gets a point; both empty: only before and after.
    smoothing : weight of the past in the moving average of the curve's mean Dice. patience : training ends after so many points without
    a better average; null: never early. keep : the weights that go into the bundle, the last or those of the best point by that average.
    """

    split: Literal["training", "validation"] = "training"
    share: Share = 0.1
    at_most: PositiveInt = 8
    cases: tuple[str, ...] = ()
    every_steps: PositiveInt | None = None
    every_minutes: PositiveFloat | None = None
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.5
    patience: PositiveInt | None = None
    keep: Literal["last", "best"] = "last"


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
    content: Content | None = None
    geometric: Geometric | None = None
    batch: PositiveInt = 1
    accumulate: PositiveInt = 1  # batches per step of the optimiser
    workers: Annotated[int, Field(ge=0, le=8)] = 1  # processes that make samples; 0: made between the steps
    clip_at: PositiveFloat | None = 5.0  # times the moving mean of the gradient's norm
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    trainable: Literal["all", "decoder", "head"] = "all"
    validation: Validation = Validation()
    checkpoints: Checkpoints = Checkpoints()
    seed: int = 0

    @property
    def sees_whole(self) -> bool:
        """Whether the network sees whole images, and not only the box where the labels are."""
        return self.sampling.mode in ("whole", "slices")

    @model_validator(mode="after")
    def _losses_fit_network(self) -> Self:
        known = self.network.outputs
        for term in self.losses:
            if term.output not in known:
                raise ValueError(f"losses: this network has the outputs {', '.join(known)}, not {term.output!r}")
            if term.kind == "sigmoid_cross_entropy" and term.output == "merged":
                raise ValueError("losses: sigmoid_cross_entropy needs logits, and merged has probabilities")
            if (term.kind == "edge") != (term.output == "edges"):
                raise ValueError("losses: the loss edge is the one that looks at the output edges")
            if term.kind == "content" and self.content is None:
                raise ValueError("losses: the content loss needs VGG-19's features; name the file of the weights in content.features")
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.schedule.kind in ("linear", "poly", "cosine") and self.budget == Budget():
            raise ValueError(f"schedule: {self.schedule.kind} runs over the budget; give budget.steps or budget.minutes")
        curve = self.validation.every_steps is not None or self.validation.every_minutes is not None
        if not curve and (self.schedule.kind == "plateau" or self.validation.patience is not None or self.validation.keep == "best"):
            raise ValueError("validation: plateau, patience and keep best look at the curve; give validation.every_steps or every_minutes")
        if self.batch > 1 and self.sampling.size is None:
            raise ValueError("batch: samples of one batch have one size; give sampling.size")
        if self.geometric is not None and self.sampling.versions is None:
            raise ValueError("geometric: a dual belongs to one sample; give sampling.versions")
        if self.content is not None and (self.network.dimensions != 2 or 1 + len(self.data.more_channels) != 3):
            raise ValueError("content: VGG-19 takes slices of 3 channels; use a 2D network and repeat the channel in data.more_channels")
        return self
