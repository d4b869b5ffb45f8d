"""What the encoder-decoders of paper 2 share: levels, convolutions, norms, initial weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ctseg_models.networks.patched_layers import Conv3d

GROUPS = 8
CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: Conv3d}
TRANSPOSED: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
MAX_POOLING: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
Architecture = Literal["unet", "vnet", "segnet"]


class Features(NamedTuple):
    """The maps of a backbone.

    encoder : of every level, finest first. first_decoder : what the decoder upsamples first, at the last
    level but one, before it is concatenated with the encoder's map. decoder : the last features before the
    classifier, at full resolution.
    """

    encoder: list[Tensor]
    first_decoder: Tensor
    decoder: Tensor


class EncoderDecoder(Protocol):
    """A network without its classifier: (B, C, [Z,] Y, X) image to Features, whose channels it names in
    order.
    """

    dimensions: int
    divisor: int
    encoder_channels: tuple[int, ...]
    first_decoder_channels: int
    decoder_channels: int

    def forward_features(self, image: Tensor) -> Features: ...


@dataclass(frozen=True)
class BackboneConfig:
    """filters : channels of the finest level, doubled at every further one. outputs counts the background."""

    backbone: Architecture = "unet"
    in_channels: int = 1
    outputs: int = 2
    dimensions: int = 3
    levels: int = 4
    filters: int = 16

    def __post_init__(self) -> None:
        if self.levels < 2 or self.filters % GROUPS:
            raise ValueError(
                f"A backbone has 2 or more levels and a multiple of {GROUPS} filters, not {self.levels} and "
                f"{self.filters}."
            )

    @property
    def divisor(self) -> int:
        """The sides of an image have to be multiples of this."""
        return int(2 ** (self.levels - 1))

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels of the encoder's levels, finest first."""
        return tuple(self.filters * 2**level for level in range(self.levels))


class Ladder(nn.Module):
    """What U-Net and V-Net share: contracting{level} down, expanding{level} up, skips at every level."""

    encoder_channels: tuple[int, ...]
    first_decoder_channels: int
    decoder_channels: int

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.dimensions, self.divisor, self.levels = config.dimensions, config.divisor, config.levels

    def forward_features(self, image: Tensor) -> Features:
        refuse_odd_sides(image, self.divisor)
        encoder: list[Tensor] = []
        for level in range(self.levels):
            encoder.append(self.get_submodule(f"contracting{level}")(encoder[-1] if encoder else image))
        x, upsampled = encoder[-1], []
        for level in reversed(range(self.levels - 1)):
            expanding = self.get_submodule(f"expanding{level}")
            upsampled.append(expanding.get_submodule("up")(x))
            x = expanding.get_submodule("block")(torch.cat([encoder[level], upsampled[-1]], dim=1))
        return Features(encoder, upsampled[0], x)


class Expanding(nn.Module):
    """One step of a decoder: `up` doubles the resolution, `block` takes the encoder's map and the result."""

    def __init__(self, up: nn.Module, block: nn.Module) -> None:
        super().__init__()
        self.up, self.block = up, block


def conv_layer(dimensions: int, before: int, after: int) -> tuple[nn.Module, ...]:
    """Convolution, norm and activation."""
    return CONVOLUTION[dimensions](before, after, 3, padding=1), group_norm(after), nn.ReLU(inplace=True)


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm of 8 groups, or of as many as divide the channels."""
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels)


def refuse_odd_sides(image: Tensor, divisor: int) -> None:
    """Raise ValueError if a side of (B, C, ...) is not a multiple of `divisor`."""
    if any(side % divisor for side in image.shape[2:]):
        raise ValueError(f"An image of {tuple(image.shape[2:])} voxels does not divide by {divisor}; pad it.")


def he_initialisation(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
