"""Replacements for layers of torch 2.13 that compute wrong numbers on a CPU.

- oneDNN's bfloat16 convolutions are wrong (by a factor of 10^18, or NaN) for some maps that are thinner
  than the kernel. Which outputs, input gradients and weight gradients are affected depends on the
  processor: `benchmarks/half_precision.py` measures them. Such maps are computed in float32; see `is_thin`.
- `torch.instance_norm` (and `nn.InstanceNorm3d`) gives a wrong gradient for one sample when the gradient
  of its output is channels-last.

The deepest levels of a U-Net have thin maps, and fast training is channels-last: both happen in practice,
without a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn


def is_thin(
    sides: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    *,
    transposed: bool = False,
) -> bool:
    """Whether half precision cannot be trusted for a convolution of a map with spatial `sides`.

    True where the map is shorter than the dilated kernel along any axis; for a stride above 1 also where the
    strided map is. (The strided map is the output of a convolution and the input of a transposed one.) Of
    9,000 random convolutions under AVX512_CORE_AMX and AVX512_CORE_BF16, 304 were wrong and 4 crashed, all of
    them thin in this sense: a depth of one, fewer slices than the kernel has, or a stride along x that leaves
    one column.
    """
    for n, k, s, p, d in zip(sides, kernel, stride, padding, dilation, strict=True):
        extent = d * (k - 1) + 1
        dense, strided = (
            ((n - 1) * s - 2 * p + extent, n) if transposed else (n, (n + 2 * p - extent) // s + 1)
        )
        if k > 1 and (dense < extent or (s > 1 and strided < extent)):
            return True
    return False


Convolutional = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d


def _convolved(forward: Callable[[Tensor], Tensor], layer: Convolutional, x: Tensor) -> Tensor:
    """`forward(x)`, in float32 where autocast would compute a thin map in half precision on the CPU."""
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return forward(x)
    axes = len(layer.kernel_size)
    padding = (0,) * axes if isinstance(layer.padding, str) else layer.padding
    if not is_thin(
        x.shape[-axes:], layer.kernel_size, layer.stride, padding, layer.dilation, transposed=layer.transposed
    ):
        return forward(x)
    with torch.autocast("cpu", enabled=False):
        return forward(x.float())


class Conv2d(nn.Conv2d):
    """(B, C, Y, X)."""

    def forward(self, x: Tensor) -> Tensor:
        return _convolved(super().forward, self, x)


class Conv3d(nn.Conv3d):
    """(B, C, Z, Y, X)."""

    def forward(self, x: Tensor) -> Tensor:
        return _convolved(super().forward, self, x)


class ConvTranspose2d(nn.ConvTranspose2d):
    """(B, C, Y, X)."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return _convolved(partial(super().forward, output_size=output_size), self, x)


class ConvTranspose3d(nn.ConvTranspose3d):
    """(B, C, Z, Y, X)."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return _convolved(partial(super().forward, output_size=output_size), self, x)


def instance_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Instance norm as the batch norm of each sample by itself.

    Batch norm supports channels-last and bfloat16, has statistics in float32 and is two to five times faster.
    A map of one voxel gives its bias.
    """
    samples = [
        torch.native_batch_norm(one, weight, bias, None, None, True, 0.0, eps)[0] for one in torch.split(x, 1)
    ]
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
    nn.Conv2d: Conv2d,
    nn.Conv3d: Conv3d,
    nn.ConvTranspose2d: ConvTranspose2d,
    nn.ConvTranspose3d: ConvTranspose3d,
    nn.InstanceNorm2d: InstanceNorm2d,
    nn.InstanceNorm3d: InstanceNorm3d,
}


def patch_layers(network: nn.Module) -> nn.Module:
    """`network` with every such layer replaced in place; weights and their names are unchanged.

    For networks of other libraries.
    """
    for module in network.modules():
        if (sound := SOUND.get(type(module))) is not None:
            module.__class__ = sound
    return network


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """`F.dropout` from sixteen random bits a number: three times faster on a CPU. p is rounded to 1/65536."""
    if not training or p == 0:
        return x
    dense = (
        x
        if x.is_contiguous()
        or x.is_contiguous(memory_format=torch.channels_last_3d)
        or x.is_contiguous(memory_format=torch.channels_last)
        else x.contiguous()
    )
    if (below := round(p * 2**16)) == 2**16:
        return x * 0
    bits = torch.empty(-(-dense.numel() // 4), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    drawn = bits.view(torch.int16)[: dense.numel()].as_strided(dense.size(), dense.stride())
    kept = (drawn >= below - 2**15).to(x.dtype).mul_(2**16 / (2**16 - below))
    return dense * kept
