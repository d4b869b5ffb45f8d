"""The three encoder-decoders of paper 2 (U-Net, V-Net, Seg-Net; 2D and 3D) by one protocol, which an edge stream can be fed from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol

import torch
from monai.networks.nets import SegResNet
from torch import Tensor, nn

from ctseg_models.networks.sound import Conv3d, mend

GROUPS = 8
MOST_V_NET_CONVOLUTIONS = 3
SEG_NET_BLOCKS = (1, 2, 2, 4)  # residual blocks of the encoder's levels; deeper levels have as many as the last
CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: Conv3d}
TRANSPOSED: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MAX_POOLING: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}

Kind = Literal["unet", "vnet", "segnet"]


class Features(NamedTuple):
    """encoder : the map of every level, finest first. first_decoder : what the decoder upsamples first, at the last level but one,
    before it meets the encoder's map. decoder : the last features before the classifier, at full resolution."""

    encoder: list[Tensor]
    first_decoder: Tensor
    decoder: Tensor


class EncoderDecoder(Protocol):
    """A network without its classifier: (B, C, [Z,] Y, X) image to Features. The channels are those of the features, in their order."""

    dimensions: int
    divisor: int
    encoder_channels: tuple[int, ...]
    first_decoder_channels: int
    decoder_channels: int

    def forward_features(self, image: Tensor) -> Features: ...


@dataclass(frozen=True)
class BackboneConfig:
    """filters : channels of the finest level, doubled at every further one. outputs counts the background."""

    backbone: Kind = "unet"
    in_channels: int = 1
    outputs: int = 2
    dimensions: int = 3
    levels: int = 4
    filters: int = 16

    def __post_init__(self) -> None:
        if self.levels < 2 or self.filters % GROUPS:
            raise ValueError(f"A backbone has 2 or more levels and a multiple of {GROUPS} filters, not {self.levels} and {self.filters}.")

    @property
    def divisor(self) -> int:
        """What the sides of an image have to be a multiple of."""
        return int(2 ** (self.levels - 1))

    @property
    def channels(self) -> tuple[int, ...]:
        """Of the encoder's levels, finest first."""
        return tuple(self.filters * 2**level for level in range(self.levels))


class Backbone(nn.Module):
    """(B, C, [Z,] Y, X) image to (B, outputs, [Z,] Y, X) logits: a backbone by itself, the baseline without an edge stream."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config)
        self.prediction = CONVOLUTION[config.dimensions](self.backbone.decoder_channels, config.outputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.prediction(self.backbone.forward_features(image).decoder)  # type: ignore[no-any-return]


def build_backbone(config: BackboneConfig) -> UNetBackbone | VNetBackbone | SegNetBackbone:
    """The encoder-decoder that the configuration names, without a classifier."""
    if config.backbone == "unet":
        return UNetBackbone(config)
    return VNetBackbone(config) if config.backbone == "vnet" else SegNetBackbone(config)


class Ladder(nn.Module):
    """What U-Net and V-Net share: contracting{level} down, expanding{level} up, concatenation at every level between."""

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
    """One step of a decoder: `up` doubles the resolution, `block` works on the encoder's map and what came up."""

    def __init__(self, up: nn.Module, block: nn.Module) -> None:
        super().__init__()
        self.up, self.block = up, block


class UNetBackbone(Ladder):
    """The 3D U-Net: two Conv 3x3x3 - GroupNorm - ReLU a level, the first to half the width; max pooling, transposed convolution 2x2x2.

    Source: Çiçek et al. 2016, arXiv:1606.06650, figure 2 (with 64 filters, 3 channels and 3 outputs its 19,069,955 parameters
    besides those of the norms); GroupNorm as paper 2, section 4, and padded convolutions.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__(config)
        channels, dimensions = config.channels, config.dimensions
        for level, width in enumerate(channels):
            before, half = channels[level - 1] if level else config.in_channels, width // 2
            block = nn.Sequential(*_convolution(dimensions, before, half), *_convolution(dimensions, half, width))
            self.add_module(f"contracting{level}", nn.Sequential(MAX_POOLING[dimensions](2), *block) if level else block)
        for level, (width, below) in enumerate(pairwise(channels)):
            block = nn.Sequential(*_convolution(dimensions, width + below, width), *_convolution(dimensions, width, width))
            self.add_module(f"expanding{level}", Expanding(TRANSPOSED[dimensions](below, below, 2, stride=2, bias=False), block))
        self.encoder_channels, self.first_decoder_channels, self.decoder_channels = channels, channels[-1], channels[0]
        self.apply(_he_initialisation)


def _convolution(dimensions: int, before: int, after: int) -> tuple[nn.Module, ...]:
    """Convolution, norm and activation."""
    return CONVOLUTION[dimensions](before, after, 3, padding=1), group_norm(after), nn.ReLU(inplace=True)


class VNetBackbone(Ladder):
    """V-Net: residual blocks of up to three Conv 5x5x5, strided convolution down, transposed convolution up; PReLU.

    The decoder's blocks keep the width of what was concatenated, twice that of their level.
    Source: Milletari et al. 2016, arXiv:1606.04797, figure 2; GroupNorm and adjustable depth as paper 2, section 4.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__(config)
        channels, dimensions = config.channels, config.dimensions
        for level, width in enumerate(channels):
            convolutions = min(level + 1, MOST_V_NET_CONVOLUTIONS)
            if level == 0:
                self.add_module("contracting0", ResidualStage(dimensions, config.in_channels, width, convolutions))
                continue
            down = CONVOLUTION[dimensions](channels[level - 1], width, 2, stride=2)
            stage = ResidualStage(dimensions, width, width, convolutions)
            self.add_module(f"contracting{level}", nn.Sequential(down, group_norm(width), nn.PReLU(width), stage))
        for level, width in enumerate(channels[:-1]):
            below = channels[-1] if level == config.levels - 2 else 2 * channels[level + 1]
            up = nn.Sequential(TRANSPOSED[dimensions](below, width, 2, stride=2), group_norm(width), nn.PReLU(width))
            stage = ResidualStage(dimensions, 2 * width, 2 * width, min(level + 1, MOST_V_NET_CONVOLUTIONS))
            self.add_module(f"expanding{level}", Expanding(up, stage))
        self.encoder_channels, self.first_decoder_channels, self.decoder_channels = channels, channels[-2], 2 * channels[0]
        self.apply(_he_initialisation)


class ResidualStage(nn.Module):
    """A few Conv 5x5x5 - GroupNorm - PReLU; the input is added before the last PReLU, its channels repeated where they are fewer."""

    def __init__(self, dimensions: int, before: int, width: int, convolutions: int) -> None:
        super().__init__()
        self.convolutions, self.norms, self.activations = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for index in range(convolutions):
            self.convolutions.append(CONVOLUTION[dimensions](width if index else before, width, 5, padding=2))
            self.norms.append(group_norm(width))
            self.activations.append(nn.PReLU(width))

    def forward(self, x: Tensor) -> Tensor:
        residual = x
        last = len(self.convolutions) - 1
        for index, (convolution, norm, activation) in enumerate(zip(self.convolutions, self.norms, self.activations, strict=True)):
            residual = norm(convolution(residual))
            if index == last:
                repeats = torch.arange(residual.shape[1], device=x.device) % x.shape[1]
                residual = residual + (x if x.shape[1] == residual.shape[1] else x.index_select(1, repeats))
            residual = activation(residual)
        return residual


class SegNetBackbone(SegResNet):  # type: ignore[misc]
    """Seg-Net: MONAI's SegResNet, its parameters under MONAI's names, without the last convolution.

    Source: Myronenko 2018, arXiv:1810.11654; blocks 1, 2, 2, 4 down (4 in further levels) and 1 up.
    """

    conv_final: nn.Sequential
    encoder_channels: tuple[int, ...]
    first_decoder_channels: int
    decoder_channels: int

    def __init__(self, config: BackboneConfig) -> None:
        blocks = (*SEG_NET_BLOCKS, *[SEG_NET_BLOCKS[-1]] * config.levels)[: config.levels]
        super().__init__(config.dimensions, config.filters, config.in_channels, config.outputs, norm=("GROUP", {"num_groups": GROUPS}),
                         blocks_down=blocks, blocks_up=(1,) * (config.levels - 1))
        self.conv_final = nn.Sequential(*list(self.conv_final)[:-1])  # the classifier belongs to whoever wraps this
        self.dimensions, self.divisor = config.dimensions, config.divisor
        self.encoder_channels = config.channels
        self.first_decoder_channels, self.decoder_channels = config.channels[-2], config.channels[0]
        mend(self)

    def forward_features(self, image: Tensor) -> Features:
        """The image to Features; the decoder's features are those after SegResNet's last norm and ReLU."""
        refuse_odd_sides(image, self.divisor)
        x, encoder = self.encode(image)
        upsampled = []
        for up, blocks, skip in zip(self.up_samples, self.up_layers, encoder[-2::-1], strict=True):
            upsampled.append(up(x))
            x = blocks(upsampled[-1] + skip)
        return Features(encoder, upsampled[0], self.conv_final(x))


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm of 8 groups, or of as many as divide the channels."""
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels)


def refuse_odd_sides(image: Tensor, divisor: int) -> None:
    """ValueError if a side of (B, C, ...) does not divide."""
    if any(side % divisor for side in image.shape[2:]):
        raise ValueError(f"An image of {tuple(image.shape[2:])} voxels does not divide by {divisor}; pad it.")


def _he_initialisation(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
