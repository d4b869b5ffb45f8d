"""Two layers of torch 2.13 that give wrong gradients on a CPU, mended; the numbers going forward are the same.

- oneDNN's bfloat16 weight gradient of a convolution is wrong, often infinite, when the input has more slices than one and fewer than
  the kernel: two for 3x3x3, two to four for 5x5x5, whatever Y and X are.
- `torch.instance_norm` (and `nn.InstanceNorm3d`) gives a wrong gradient for one sample when what comes back is channels-last.

The deepest levels of a U-Net have two slices, and fast training is channels-last: both happen in practice, without a warning.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Conv3d(nn.Conv3d):
    """`nn.Conv3d`, computed in float32 under autocast where bfloat16 has wrong gradients."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and 1 < x.shape[2] < self.kernel_size[0] and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        return super().forward(x)


def instance_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Instance norm as the batch norm of each sample by itself: that one knows channels-last and bfloat16, has statistics in float32
    and is two to five times faster. A map of one voxel gives its bias."""
    samples = [torch.native_batch_norm(one, weight, bias, None, None, True, 0.0, eps)[0] for one in torch.split(x, 1)]
    return samples[0] if len(samples) == 1 else torch.cat(samples)


class InstanceNorm3d(nn.InstanceNorm3d):
    """(B, C, Z, Y, X)."""

    def forward(self, x: Tensor) -> Tensor:
        return instance_norm(x, self.weight, self.bias, self.eps)


class InstanceNorm2d(nn.InstanceNorm2d):
    """(B, C, Y, X)."""

    def forward(self, x: Tensor) -> Tensor:
        return instance_norm(x, self.weight, self.bias, self.eps)


SOUND: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv3d: Conv3d, nn.InstanceNorm3d: InstanceNorm3d, nn.InstanceNorm2d: InstanceNorm2d,
}


def mend(network: nn.Module) -> nn.Module:
    """`network` with every such layer replaced in place; weights, their names and the module tree stay. For networks of other libraries."""
    for module in network.modules():
        if (sound := SOUND.get(type(module))) is not None:
            module.__class__ = sound
    return network


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """`F.dropout`, from sixteen random bits a number instead of a float each: three times faster on a CPU. p is rounded to 1/65536."""
    if not training or p == 0:
        return x
    dense = x if x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last_3d) or x.is_contiguous(
        memory_format=torch.channels_last) else x.contiguous()
    if (below := round(p * 2**16)) == 2**16:
        return x * 0
    bits = torch.empty(-(-dense.numel() // 4), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    drawn = bits.view(torch.int16)[: dense.numel()].as_strided(dense.size(), dense.stride())
    kept = (drawn >= below - 2**15).to(x.dtype).mul_(2**16 / (2**16 - below))
    return dense * kept
