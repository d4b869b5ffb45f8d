"""The simplified U-Net (sU-Net) of paper 1 (Lambert et al. 2021), 2D: trained under geometric constraints."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

POOLINGS = 3


@dataclass(frozen=True)
class SUNetConfig:
    """filters is the width at full resolution and doubles twice; the bottom keeps the last width.

    outputs counts the background.
    """

    in_channels: int = 1
    outputs: int = 2
    filters: int = 64
    dropout: float = 0.2

    @property
    def dimensions(self) -> int:
        """Axes of an image: (y, x)."""
        return 2

    @property
    def divisor(self) -> int:
        """The sides of an image have to be multiples of this: any size works."""
        return 1


class Block(nn.Sequential):
    """Two times Conv 3x3 - ReLU - BatchNorm - dropout of whole channels."""

    def __init__(self, in_channels: int, out_channels: int, dropout: float) -> None:
        layers: list[nn.Module] = []
        for before in (in_channels, out_channels):
            layers += [
                nn.Conv2d(before, out_channels, 3, padding=1),
                nn.ReLU(),
                nn.BatchNorm2d(out_channels),
                nn.Dropout2d(dropout),
            ]
        super().__init__(*layers)


class SUNet(nn.Module):
    """(B, C, Y, X) image to (B, outputs, Y, X) logits of a softmax.

    Encoder 64, 128, 256, bottom 256, decoder 256, 128, 64; max pooling by 2, bilinear upsampling to the
    size of the skip (corners aligned), cat([upsampled, skip]). 4,836,997 parameters with 5 outputs,
    4,836,802 with 2. Any size works: pooling rounds up. Source: paper 1, section 3.2; widths and the order
    of layers after the authors' published program.
    """

    def __init__(self, config: SUNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.filters * 2**level for level in range(POOLINGS)]
        for level, (before, width) in enumerate(pairwise([config.in_channels, *widths])):
            self.add_module(f"contracting{level}", Block(before, width, config.dropout))
        self.bottom = Block(widths[-1], widths[-1], config.dropout)
        for level, (width, below) in enumerate(pairwise([*widths, widths[-1]])):
            self.add_module(f"expanding{level}", Block(below + width, width, config.dropout))
        self.prediction = nn.Conv2d(config.filters, config.outputs, 1)
        self.apply(_xavier_initialisation)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level in range(POOLINGS):
            x = self.get_submodule(f"contracting{level}")(x)
            skips.append(x)  # (B, filters 2^level, Y / 2^level, X / 2^level)
            x = F.max_pool2d(x, 2, ceil_mode=True)
        x = self.bottom(x)
        for level in reversed(range(POOLINGS)):
            upsampled = F.interpolate(x, size=skips[level].shape[2:], mode="bilinear", align_corners=True)
            x = self.get_submodule(f"expanding{level}")(torch.cat([upsampled, skips.pop()], dim=1))
        return self.prediction(x)  # type: ignore[no-any-return]


def _xavier_initialisation(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
