"""The three encoder-decoders of paper 2 (U-Net, V-Net, Seg-Net; 2D and 3D), each with features for an edge
stream.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from monai.networks.nets import SegResNet
from torch import Tensor, nn

from ctseg_models.networks.backbone_parts import (
    CONVOLUTION,
    GROUPS,
    MAX_POOLING,
    TRANSPOSED,
    BackboneConfig,
    Expanding,
    Features,
    Ladder,
    conv_layer,
    group_norm,
    he_initialisation,
    refuse_odd_sides,
)
from ctseg_models.networks.patched_layers import patch_layers

MOST_V_NET_CONVOLUTIONS = 3
SEG_NET_BLOCKS = (
    1,
    2,
    2,
    4,
)  # residual blocks of the encoder's levels; deeper levels have as many as the last


class Backbone(nn.Module):
    """(B, C, [Z,] Y, X) image to (B, outputs, [Z,] Y, X) logits: a backbone with a classifier.

    The baseline without an edge stream of paper 2.
    """

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


class UNetBackbone(Ladder):
    """The 3D U-Net: two Conv 3x3x3 - GroupNorm - ReLU a level, the first to half the width.

    Max pooling, transposed convolution 2x2x2. Source: Çiçek et al. 2016, arXiv:1606.06650, figure 2 (with 64
    filters, 3 channels and 3 outputs its 19,069,955 parameters besides those of the norms); GroupNorm as in
    paper 2, section 4, and padded convolutions.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__(config)
        channels, dimensions = config.channels, config.dimensions
        for level, width in enumerate(channels):
            before, half = channels[level - 1] if level else config.in_channels, width // 2
            block = nn.Sequential(*conv_layer(dimensions, before, half), *conv_layer(dimensions, half, width))
            self.add_module(
                f"contracting{level}", nn.Sequential(MAX_POOLING[dimensions](2), *block) if level else block
            )
        for level, (width, below) in enumerate(pairwise(channels)):
            block = nn.Sequential(
                *conv_layer(dimensions, width + below, width), *conv_layer(dimensions, width, width)
            )
            self.add_module(
                f"expanding{level}",
                Expanding(TRANSPOSED[dimensions](below, below, 2, stride=2, bias=False), block),
            )
        self.encoder_channels, self.first_decoder_channels, self.decoder_channels = (
            channels,
            channels[-1],
            channels[0],
        )
        self.apply(he_initialisation)


class VNetBackbone(Ladder):
    """V-Net: residual blocks of up to three Conv 5x5x5, strided convolution down, transposed convolution up;
    PReLU.

    The decoder's blocks keep the width of the concatenated maps, twice that of their level. Source: Milletari
    et al. 2016, arXiv:1606.04797, figure 2; GroupNorm and adjustable depth as in paper 2, section 4.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__(config)
        channels, dimensions = config.channels, config.dimensions
        for level, width in enumerate(channels):
            convolutions = min(level + 1, MOST_V_NET_CONVOLUTIONS)
            if level == 0:
                self.add_module(
                    "contracting0", ResidualConvStage(dimensions, config.in_channels, width, convolutions)
                )
                continue
            down = CONVOLUTION[dimensions](channels[level - 1], width, 2, stride=2)
            stage = ResidualConvStage(dimensions, width, width, convolutions)
            self.add_module(
                f"contracting{level}", nn.Sequential(down, group_norm(width), nn.PReLU(width), stage)
            )
        for level, width in enumerate(channels[:-1]):
            below = channels[-1] if level == config.levels - 2 else 2 * channels[level + 1]
            up = nn.Sequential(
                TRANSPOSED[dimensions](below, width, 2, stride=2), group_norm(width), nn.PReLU(width)
            )
            stage = ResidualConvStage(
                dimensions, 2 * width, 2 * width, min(level + 1, MOST_V_NET_CONVOLUTIONS)
            )
            self.add_module(f"expanding{level}", Expanding(up, stage))
        self.encoder_channels, self.first_decoder_channels, self.decoder_channels = (
            channels,
            channels[-2],
            2 * channels[0],
        )
        self.apply(he_initialisation)


class ResidualConvStage(nn.Module):
    """A few Conv 5x5x5 - GroupNorm - PReLU; the input is added before the last PReLU.

    Its channels are repeated where they are fewer than the block's.
    """

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
        for index, (convolution, norm, activation) in enumerate(
            zip(self.convolutions, self.norms, self.activations, strict=True)
        ):
            residual = norm(convolution(residual))
            if index == last:
                repeats = torch.arange(residual.shape[1], device=x.device) % x.shape[1]
                residual = residual + (x if x.shape[1] == residual.shape[1] else x.index_select(1, repeats))
            residual = activation(residual)
        return residual


class SegNetBackbone(SegResNet):  # type: ignore[misc]
    """Seg-Net: MONAI's SegResNet, with MONAI's parameter names, without the last convolution.

    Source: Myronenko 2018, arXiv:1810.11654; blocks 1, 2, 2, 4 down (4 in further levels) and 1 up.
    """

    conv_final: nn.Sequential
    encoder_channels: tuple[int, ...]
    first_decoder_channels: int
    decoder_channels: int

    def __init__(self, config: BackboneConfig) -> None:
        blocks = (*SEG_NET_BLOCKS, *[SEG_NET_BLOCKS[-1]] * config.levels)[: config.levels]
        super().__init__(
            config.dimensions,
            config.filters,
            config.in_channels,
            config.outputs,
            norm=("GROUP", {"num_groups": GROUPS}),
            blocks_down=blocks,
            blocks_up=(1,) * (config.levels - 1),
        )
        self.conv_final = nn.Sequential(
            *list(self.conv_final)[:-1]
        )  # the wrapping network brings its own classifier
        self.dimensions, self.divisor = config.dimensions, config.divisor
        self.encoder_channels = config.channels
        self.first_decoder_channels, self.decoder_channels = config.channels[-2], config.channels[0]
        patch_layers(self)

    def forward_features(self, image: Tensor) -> Features:
        """(B, C, [Z,] Y, X) image to Features; the decoder's follow SegResNet's last norm and ReLU."""
        refuse_odd_sides(image, self.divisor)
        x, encoder = self.encode(image)
        upsampled = []
        for up, blocks, skip in zip(self.up_samples, self.up_layers, encoder[-2::-1], strict=True):
            upsampled.append(up(x))
            x = blocks(upsampled[-1] + skip)
        return Features(encoder, upsampled[0], self.conv_final(x))
