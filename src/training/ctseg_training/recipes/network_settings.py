"""The networks of a recipe, one class each, with the papers' defaults. in_channels and outputs follow from
the data.
"""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from ctseg_training.recipes.settings import NonNegative, Share, StrictSettings

MOST_LEVELS = 12  # halves 2048 voxels to one
Depth = Annotated[int, Field(gt=0, le=MOST_LEVELS)]


class AnyNetwork(StrictSettings):
    """The properties of every network."""

    def options(self) -> dict[str, Any]:
        """Keyword arguments of the network's configuration."""
        return self.model_dump(exclude={"kind"})

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs that a loss may use."""
        return ("logits",)

    @property
    def divisors(self) -> tuple[int, ...]:
        """The numbers that the last sides of a sample have to be multiples of, (z,) y, x; empty: any size
        works.
        """
        return ()


class UNetSettings(AnyNetwork):
    """The U-Net of paper 5 (`ctseg_models.networks.unet`); in_channels and outputs follow from the data."""

    kind: Literal["unet"]
    dimensions: ClassVar[int] = 3
    levels: Depth = 5
    filters: PositiveInt = 32
    dropout: Share = 0.1
    negative_slope: NonNegative = 0.1
    norm: Literal["none", "instance"] = "none"


class SCNSettings(UNetSettings):
    """The SpatialConfiguration-Net of paper 5 (`ctseg_models.networks.scn`)."""

    kind: Literal["scn"]  # type: ignore[assignment]
    spatial_levels: Depth = 4
    spatial_filters: PositiveInt = 16
    label_dropout: Share = 0.25
    image_dropout: Share = 0.5
    salt_and_pepper: Share = 0.01

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("merged", "local", "spatial")


class SUNetSettings(AnyNetwork):
    """The sU-Net of paper 1 (`ctseg_models.networks.sunet`), 2D."""

    kind: Literal["sunet"]
    filters: PositiveInt = 64
    dropout: Share = 0.2
    dimensions: ClassVar[int] = 2


class DenseUNetSettings(SUNetSettings):
    """The generator of paper 4 (`ctseg_models.networks.dense_unet`), 2D: one sigmoid per foreground label."""

    kind: Literal["dense_unet"]  # type: ignore[assignment]
    filters: PositiveInt = 32
    dropout: ClassVar[float] = 0.0  # type: ignore[misc]
    convolutions: PositiveInt = 2
    poolings: Depth = 4
    negative_slope: NonNegative = 0.1


class MSDNetSettings(AnyNetwork):
    """The mixed-scale dense network of paper 3 (`ctseg_models.networks.msd_net`). depth null: 100 layers in
    2D, 30 in 3D.
    """

    kind: Literal["msd_net"]
    dimensions: Literal[2, 3] = 3
    depth: PositiveInt | None = None
    width: PositiveInt = 1
    dilations: PositiveInt = 10
    negative_slope: NonNegative = 0.01


class NNUNetSettings(AnyNetwork):
    """nnU-Net's U-Net (`ctseg_models.networks.nnunet`), one entry of strides, kernels and filters per level,
    (z,) y, x.
    """

    kind: Literal["nnunet"]
    dimensions: Literal[2, 3] = 3
    strides: tuple[tuple[PositiveInt, ...], ...] = Field(min_length=3)
    kernels: tuple[tuple[PositiveInt, ...], ...]
    filters: tuple[PositiveInt, ...]

    @model_validator(mode="after")
    def _one_entry_a_level(self) -> Self:
        if not len(self.strides) == len(self.kernels) == len(self.filters):
            raise ValueError("nnunet: strides, kernels and filters have one entry per level each")
        if any(len(size) != self.dimensions for size in (*self.strides, *self.kernels)) or any(
            n != 1 for n in self.strides[0]
        ):
            raise ValueError(
                f"nnunet: every stride and kernel has {self.dimensions} numbers, and the first stride is all "
                "1"
            )
        return self

    @property
    def divisors(self) -> tuple[int, ...]:
        return tuple(prod(steps) for steps in zip(*self.strides, strict=True))


class BackboneSettings(AnyNetwork):
    """A backbone of paper 2 without the edge stream (`ctseg_models.networks.backbones`), for comparison."""

    kind: Literal["backbone"]
    backbone: Literal["unet", "vnet", "segnet"]
    dimensions: Literal[2, 3] = 3
    levels: Annotated[int, Field(ge=2, le=MOST_LEVELS)] = 4
    filters: Annotated[int, Field(multiple_of=8, gt=0)] = 16

    @property
    def divisors(self) -> tuple[int, ...]:
        return (2 ** (self.levels - 1),) * self.dimensions


class EdgeGatedSettings(BackboneSettings):
    """A backbone with the edge stream of paper 2 (`ctseg_models.networks.edge_gated`). shared_edge: one edge
    map for all labels.
    """

    kind: Literal["edge_gated"]  # type: ignore[assignment]
    levels: Annotated[int, Field(ge=3, le=MOST_LEVELS)] = 4
    shared_edge: bool = False

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("logits", "edges")


NetworkSettings = Annotated[
    UNetSettings
    | SCNSettings
    | SUNetSettings
    | DenseUNetSettings
    | MSDNetSettings
    | NNUNetSettings
    | BackboneSettings
    | EdgeGatedSettings,
    Field(discriminator="kind"),
]
