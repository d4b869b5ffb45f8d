"""The U-Net of paper 5 (Thaler et al. 2021): localiser, and both parts of the SpatialConfiguration-Net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctseg_models.networks.patched_layers import Conv3d, InstanceNorm3d, dropout

Norm = Literal["none", "instance"]


@dataclass(frozen=True)
class UNetConfig:
    """filters is the width of every level. norm "none" is the paper's; "instance" trains faster."""

    in_channels: int = 1
    outputs: int = 2
    levels: int = 5
    filters: int = 32
    dropout: float = 0.1
    negative_slope: float = 0.1
    norm: Norm = "none"


class Block(nn.Module):
    """Two times Conv 3x3x3 - (norm) - leaky ReLU - dropout."""

    def __init__(self, in_channels: int, config: UNetConfig) -> None:
        super().__init__()
        self.conv0 = Conv3d(in_channels, config.filters, 3, padding=1)
        self.conv1 = Conv3d(config.filters, config.filters, 3, padding=1)
        if config.norm == "instance":
            self.norm0: nn.Module = InstanceNorm3d(config.filters, affine=True)
            self.norm1: nn.Module = InstanceNorm3d(config.filters, affine=True)
        else:
            self.norm0, self.norm1 = nn.Identity(), nn.Identity()
        self.dropout, self.slope = config.dropout, config.negative_slope

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in ((self.conv0, self.norm0), (self.conv1, self.norm1)):
            x = F.leaky_relu(norm(conv(x)), self.slope, inplace=True)
            x = dropout(x, self.dropout, self.training)
        return x


class UNet(nn.Module):
    """(B, C, Z, Y, X) image to (B, outputs, Z, Y, X) logits; linear head.

    Level 0 is full resolution and every level, the deepest too, has a contracting and an expanding block.
    Average pooling by 2, trilinear upsampling, cat([skip, upsampled]). 637,474 parameters with the
    defaults. Sizes that are no multiple of 2**(levels - 1) work: the pooled sizes round down and
    upsampling goes to the size of the skip. Source: paper 5, section 4.2; constant width and block order
    after the authors' published program.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        for level in range(config.levels):
            deepest = level == config.levels - 1
            self.add_module(
                f"contracting{level}", Block(config.in_channels if level == 0 else config.filters, config)
            )
            self.add_module(
                f"expanding{level}", Block(config.filters if deepest else 2 * config.filters, config)
            )
        self.prediction = nn.Conv3d(config.filters, config.outputs, 1)
        self.apply(self._he_initialisation)

    def _he_initialisation(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, a=self.config.negative_slope)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level in range(self.config.levels):
            x = self.get_submodule(f"contracting{level}")(F.avg_pool3d(x, 2) if level else x)
            skips.append(x)
        for level in reversed(range(self.config.levels)):
            if level < self.config.levels - 1:
                upsampled = F.interpolate(
                    x, size=skips[level].shape[2:], mode="trilinear", align_corners=False
                )
                x = torch.cat([skips.pop(level), upsampled], dim=1)
            x = self.get_submodule(f"expanding{level}")(x)
        return self.prediction(x)  # type: ignore[no-any-return]
