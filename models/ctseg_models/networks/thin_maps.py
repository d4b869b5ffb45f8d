"""A 3D convolution whose gradients hold in bf16 on a CPU also where a map is thinner than the kernel."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Conv3d(nn.Conv3d):
    """torch's, but in float32 under a CPU's autocast where 1 < Z < the kernel's depth.

    There oneDNN's bf16 gradient by the weights is wrong without an error (seen with torch 2.13: 3x3x3 at Z = 2, 5x5x5 at Z = 2, 3
    and 4, any Y and X; relative error 0.7 up to infinite). Such maps are the bottom of a U-Net and cost little.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type == "cpu" and 1 < input.shape[2] < self.kernel_size[0] and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super().forward(input.float())
        return super().forward(input)


def guard_thin_maps(network: nn.Module) -> None:
    """Every nn.Conv3d of a network that somebody else wrote becomes the one above, with its weights and name."""
    for module in network.modules():
        if type(module) is nn.Conv3d:
            module.__class__ = Conv3d
