"""Edge-gated CNN of paper 2 (Hatamizadeh et al. 2020): an edge stream for any encoder-decoder, 2D and 3D."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctseg_models.networks.backbone_parts import CONVOLUTION, BackboneConfig, EncoderDecoder, group_norm
from ctseg_models.networks.backbones import build_backbone

FEWEST_LEVELS = 3  # the stream starts at the last level but one and is gated at every finer one
INTERPOLATION = {2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True)
class EdgeGatedConfig(BackboneConfig):
    """Of the backbone. shared_edge : one edge map for all labels instead of one for each foreground label."""

    shared_edge: bool = False

    @property
    def edges(self) -> int:
        """The number of edge maps."""
        return 1 if self.shared_edge else self.outputs - 1


class EdgeGatedOutput(NamedTuple):
    """logits : (B, outputs, [Z,] Y, X), of a softmax. edges : (B, E, [Z,] Y, X), each of a sigmoid."""

    logits: Tensor
    edges: Tensor


class EdgeGated(nn.Module):
    """(B, C, [Z,] Y, X) image to EdgeGatedOutput.

    The backbone is unchanged; the edge stream reads its maps, and the edge stream's last features are
    concatenated to the backbone's last ones before the 1x1x1 classifier `prediction`. backbone : any
    EncoderDecoder that is an nn.Module; None: the one that the configuration names. Source: paper 2, section
    2 and figure 1.
    """

    def __init__(self, config: EdgeGatedConfig, backbone: EncoderDecoder | None = None) -> None:
        super().__init__()
        self.config = config
        self.backbone: EncoderDecoder = build_backbone(config) if backbone is None else backbone
        self.expanding_edges = EdgeStream(self.backbone, config.edges)
        channels = self.backbone.decoder_channels + self.expanding_edges.channels
        self.prediction = CONVOLUTION[config.dimensions](channels, config.outputs, 1)

    def forward(self, image: Tensor) -> EdgeGatedOutput:
        features = self.backbone.forward_features(image)
        edge_features, edges = self.expanding_edges(features.first_decoder, features.encoder)
        logits = self.prediction(torch.cat([features.decoder, edge_features], dim=1))
        return EdgeGatedOutput(logits, edges)


class EdgeStream(nn.Module):
    """The first decoder map and the encoder's maps (finest first) to edge features and edge logits.

    (B, channels, ...) and (B, edges, ...), at the finest map's resolution. A step to the next finer level:
    residual block, 1x1x1 to that level's channels, linear upsampling, gate with its encoder map.
    """

    def __init__(self, backbone: EncoderDecoder, edges: int) -> None:
        super().__init__()
        widths, dimensions = backbone.encoder_channels, backbone.dimensions
        if len(widths) < FEWEST_LEVELS:
            raise ValueError(
                f"An edge stream needs a backbone of {FEWEST_LEVELS} or more levels, not {len(widths)}."
            )
        self.gated_levels = range(len(widths) - 3, -1, -1)  # coarse to fine
        self.channels, self.mode = widths[0], INTERPOLATION[dimensions]
        before = backbone.first_decoder_channels
        for level in self.gated_levels:
            match = CONVOLUTION[dimensions](before, widths[level], 1)
            self.add_module(f"residual{level}", nn.Sequential(ResidualBlock(dimensions, before), match))
            self.add_module(f"gate{level}", EdgeGate(dimensions, widths[level], widths[level]))
            before = widths[level]
        self.prediction = CONVOLUTION[dimensions](self.channels, edges, 1)

    def forward(self, first_decoder: Tensor, encoder: list[Tensor]) -> tuple[Tensor, Tensor]:
        edge = first_decoder
        for level in self.gated_levels:
            edge = self.get_submodule(f"residual{level}")(edge)
            edge = F.interpolate(edge, size=encoder[level].shape[2:], mode=self.mode, align_corners=False)
            edge = self.get_submodule(f"gate{level}")(edge, encoder[level])
        return edge, self.prediction(edge)


class EdgeGate(nn.Module):
    """(B, E, ...) edge features gated by the (B, M, ...) main stream's map of the same resolution.

    alpha = sigmoid(ReLU(c_e(edge) + c_m(main))), one channel, 0.5 or more; the output (B, E, ...) is w(edge *
    alpha + edge) with a residual layer w. Source: paper 2, eq. 1 and 2.
    """

    def __init__(self, dimensions: int, edge_channels: int, main_channels: int) -> None:
        super().__init__()
        self.of_edge = CONVOLUTION[dimensions](edge_channels, 1, 1)
        self.of_main = CONVOLUTION[dimensions](main_channels, 1, 1)
        self.residual = ResidualBlock(dimensions, edge_channels)

    def gated(self, edge: Tensor, main: Tensor) -> Tensor:
        """edge * alpha + edge, before w; 1.5 edge where the ReLU is 0."""
        alpha = torch.sigmoid(torch.relu(self.of_edge(edge) + self.of_main(main)))
        return edge * alpha + edge

    def forward(self, edge: Tensor, main: Tensor) -> Tensor:
        return self.residual(self.gated(edge, main))  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """x + two times (GroupNorm - ReLU - Conv 3x3x3), of constant width; as in Myronenko 2018, paper 2's
    Seg-Net.
    """

    def __init__(self, dimensions: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *[
                layer
                for _ in range(2)
                for layer in (
                    group_norm(channels),
                    nn.ReLU(),
                    CONVOLUTION[dimensions](channels, channels, 3, padding=1, bias=False),
                )
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)  # type: ignore[no-any-return]
