"""The generator of paper 4 (Mac et al. 2020): a U-Net of dense blocks. Slices in, slices out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class DenseUNetConfig:
    """filters is the width at full resolution and doubles with each pooling.

    outputs counts the background, which has no map of its own. convolutions (per dense block) and poolings
    result from the paper's grid search, which it does not report; 2 convolutions are those of U-Net, 4
    poolings this project's choice.
    """

    in_channels: int = 3
    outputs: int = 2
    filters: int = 32
    convolutions: int = 2
    poolings: int = 4
    negative_slope: float = 0.1

    @property
    def dimensions(self) -> int:
        """Axes of an image: (y, x)."""
        return 2

    @property
    def divisor(self) -> int:
        """The sides of an image have to be multiples of this: any size works."""
        return 1


class Convolution(nn.Sequential):
    """Conv - BatchNorm - leaky ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, config: DenseUNetConfig) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2),
            nn.BatchNorm2d(out_channels),
            nn.LeakyReLU(config.negative_slope),
        )


class DenseBlock(nn.Module):
    """3x3 convolutions of one width, each of the block's input and all maps before it, then a 1x1 transition.

    The transition brings all of them to that width.
    """

    def __init__(self, in_channels: int, width: int, config: DenseUNetConfig) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            Convolution(in_channels + i * width, width, 3, config) for i in range(config.convolutions)
        )
        self.transition = Convolution(in_channels + config.convolutions * width, width, 1, config)

    def forward(self, x: Tensor) -> Tensor:
        for convolution in self.convolutions:
            x = torch.cat([x, convolution(x)], dim=1)
        return self.transition(x)  # type: ignore[no-any-return]


class DenseExpanding(nn.Module):
    """Transposed convolution by 2 to the size of the skip, cat([skip, upsampled]), dense block."""

    def __init__(self, below: int, width: int, config: DenseUNetConfig) -> None:
        super().__init__()
        self.upsampling = nn.ConvTranspose2d(below, width, 2, stride=2)
        self.block = DenseBlock(2 * width, width, config)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        rows, columns = skip.shape[2:]
        # one row or column too many where pooling rounded up
        upsampled = self.upsampling(x)[..., :rows, :columns]
        return self.block(torch.cat([skip, upsampled], dim=1))  # type: ignore[no-any-return]


class DenseUNet(nn.Module):
    """(B, C, Y, X) image to (B, outputs - 1, Y, X): the logit of a sigmoid for each foreground label.

    Dense blocks of 32, 64, 128, 256 filters, bottleneck 512, and back; max pooling by 2. Any size works:
    pooling rounds up. Source: paper 4, section 2.1 and figure 2.
    """

    def __init__(self, config: DenseUNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.filters * 2**level for level in range(config.poolings + 1)]
        entering = [config.in_channels, *widths]
        for level in range(config.poolings):
            self.add_module(f"contracting{level}", DenseBlock(entering[level], widths[level], config))
        self.bottleneck = DenseBlock(entering[config.poolings], widths[-1], config)
        for level, (width, below) in enumerate(pairwise(widths)):
            self.add_module(f"expanding{level}", DenseExpanding(below, width, config))
        self.prediction = nn.Conv2d(config.filters, config.outputs - 1, 1)
        self.apply(self._he_initialisation)

    def _he_initialisation(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, a=self.config.negative_slope)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level in range(self.config.poolings):
            x = self.get_submodule(f"contracting{level}")(x)
            skips.append(x)  # (B, filters 2^level, Y / 2^level, X / 2^level)
            x = F.max_pool2d(x, 2, ceil_mode=True)
        x = self.bottleneck(x)
        for level in reversed(range(self.config.poolings)):
            x = self.get_submodule(f"expanding{level}")(x, skips.pop())
        return self.prediction(x)  # type: ignore[no-any-return]
