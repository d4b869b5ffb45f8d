"""The fields of a recipe.

Arrays and triples are (z, y, x), lengths in mm; unknown fields are refused. A recipe trains one stage of a
bundle. A further method adds its network's settings and its loss terms (see docs/training.md); data,
augmentation, schedule and job stay as they are.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from ctseg_training.recipes.data_settings import Augmentation, Data, Sampling
from ctseg_training.recipes.loss_settings import Content, Geometric, LossTerm
from ctseg_training.recipes.network_settings import NetworkSettings
from ctseg_training.recipes.settings import NonNegative, Share, StrictSettings


class Optimiser(StrictSettings):
    """adam and sgd add weight_decay to the gradient (L2), adamw takes it off the weights.

    momentum, nesterov : of sgd.
    """

    kind: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: PositiveFloat = 1e-4
    betas: tuple[Share, Share] = (0.9, 0.999)
    momentum: Share = 0.9
    nesterov: bool = False
    weight_decay: NonNegative = 0.0


class Schedule(StrictSettings):
    """The learning rate over the budget, after a linear warm-up.

    poly : (1 - spent) ** power. linear : poly with power 1. cosine : half a period. plateau : times `factor`
    whenever the validation has not become better for `patience` validations.
    """

    kind: Literal["constant", "linear", "poly", "cosine", "plateau"] = "constant"
    power: PositiveFloat = 0.9
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: PositiveInt = 10
    warmup_steps: int = 0


class Budget(StrictSettings):
    """When training ends: the first of the two that is reached."""

    steps: PositiveInt | None = None
    minutes: PositiveFloat | None = None


class Validation(StrictSettings):
    """Held-out cases, for the curve and for the score before and after.

    They are drawn from `training` (`share`, seeded; at least 1) or named; the data set's own `validation`
    list is used only if `split` is "validation". every_minutes / every_steps : how often the curve gets a
    point; both empty: only before and after. region : the region in which a network without a localiser is
    scored: whole images, or the true box plus data.margin_mm; auto: as it is sampled. smoothing : weight of
    the past in the moving average of the curve's mean Dice. patience : training ends after so many points
    without a better average; null: never early. keep : the weights that go into the bundle, the last or those
    of the best point by that average.
    """

    split: Literal["training", "validation"] = "training"
    region: Literal["auto", "whole", "box"] = "auto"
    share: Share = 0.1
    at_most: PositiveInt = 8
    cases: tuple[str, ...] = ()
    every_steps: PositiveInt | None = None
    every_minutes: PositiveFloat | None = None
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.5
    patience: PositiveInt | None = None
    keep: Literal["last", "best"] = "last"


class Checkpoints(StrictSettings):
    """How often the state is written; it is also written at the end and on a stop."""

    every_steps: PositiveInt | None = None
    every_minutes: PositiveFloat = 2.0


class Task(StrictSettings):
    """What is learned, by which network, from which data."""

    name: str
    description: str = ""
    stage: Literal["localise", "segment"]
    modality: str = "CT"
    network: NetworkSettings
    data: Data
    sampling: Sampling
    augmentation: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _sizes_fit_network(self) -> Self:
        if not (divisors := self.network.divisors):
            return self
        sizes = self.data.sizes
        seen = (
            (("data.patch", self.data.patch),)
            if self.data.inferer == "sliding_window"
            else (("data.sizes.min", sizes.min), ("data.sizes.step", sizes.step))
        )
        for name, size in (("sampling.size", self.sampling.size), *seen):
            if size is not None and any(
                n % divisor for n, divisor in zip(size[-len(divisors) :], divisors, strict=True)
            ):
                raise ValueError(
                    f"{name}: this network takes multiples of {' x '.join(map(str, divisors))} voxels, not "
                    f"{list(size)}"
                )
        return self


class Optimisation(StrictSettings):
    """What is minimised, how, and for how long."""

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

    @model_validator(mode="after")
    def _schedule_fits_budget(self) -> Self:
        if self.schedule.kind in ("linear", "poly", "cosine") and self.budget == Budget():
            raise ValueError(
                f"schedule: {self.schedule.kind} runs over the budget; give budget.steps or budget.minutes"
            )
        return self


class Recipe(Optimisation, Task):
    """One training run of one stage; all fields of the file at one level."""

    validation: Validation = Validation()
    checkpoints: Checkpoints = Checkpoints()
    seed: int = 0

    @property
    def sees_whole(self) -> bool:
        """Whether the network is scored on whole images, and not only in the box of the labels."""
        if self.validation.region != "auto":
            return self.validation.region == "whole"
        return self.stage == "localise" or self.sampling.mode in ("whole", "slices")

    @model_validator(mode="after")
    def _losses_fit_network(self) -> Self:
        known = self.network.outputs
        for term in self.losses:
            if term.output not in known:
                raise ValueError(
                    f"losses: this network has the outputs {', '.join(known)}, not {term.output!r}"
                )
            if term.kind == "sigmoid_cross_entropy" and term.output not in ("local", "spatial"):
                raise ValueError(
                    f"losses: sigmoid_cross_entropy needs one sigmoid per label, which {term.output} does "
                    "not have"
                )
            if (term.kind == "edge") != (term.output == "edges"):
                raise ValueError("losses: only the loss edge uses the output edges")
            if term.kind == "content" and self.content is None:
                raise ValueError(
                    "losses: the content loss needs VGG-19's features; name the file of the weights in "
                    "content.features"
                )
        return self

    @model_validator(mode="after")
    def _curve_is_measured(self) -> Self:
        curve = self.validation.every_steps is not None or self.validation.every_minutes is not None
        if not curve and (
            self.schedule.kind == "plateau"
            or self.validation.patience is not None
            or self.validation.keep == "best"
        ):
            raise ValueError(
                "validation: plateau, patience and keep best need the curve; give validation.every_steps "
                "or every_minutes"
            )
        return self

    @model_validator(mode="after")
    def _samples_fit(self) -> Self:
        if self.batch > 1 and self.sampling.size is None:
            raise ValueError("batch: samples of one batch have one size; give sampling.size")
        if self.geometric is not None and (self.sampling.versions is None or self.sampling.size is None):
            raise ValueError(
                "geometric: a dual belongs to one sample of one size; give sampling.versions and "
                "sampling.size"
            )
        if self.content is not None and (
            self.network.dimensions != 2 or 1 + len(self.data.more_channels) != 3
        ):
            raise ValueError(
                "content: VGG-19 takes slices of 3 channels; use a 2D network and repeat the channel in "
                "data.more_channels"
            )
        return self
