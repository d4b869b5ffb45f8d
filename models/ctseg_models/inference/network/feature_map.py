"""Feature maps that a network processes in slabs along z, each layer overwriting the one before it.

A map is several times larger than the processor's caches, so the time depends on how often it passes through
memory: there is one buffer for each resolution step, a norm's statistics are taken while a slab is still in
the caches, and norm and activation are applied when the next layer reads it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from math import prod
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctseg_imaging.geometry import Shape
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.inference.network.onednn import Slope

LEAST_FLOPS = 1e4  # per voxel, as a convolution of few channels takes as long as one that computes more
HEAD_FLOPS = 1500.0  # per voxel and class: the time of the last passes over the maps, expressed in operations
LEAST_SLICES = 4  # of a slab; at least half a kernel
SLAB_VALUES = 5_120_000  # on the processor: 10 MB in bf16, which nearly fits the caches


class ConvolutionInput(Protocol):
    """The input of a convolution."""

    @property
    def channels(self) -> int:
        """The number of channels."""

    @property
    def size(self) -> Shape:
        """(z, y, x)."""

    def slices(self, low: int, high: int, dtype: torch.dtype) -> Tensor:
        """Slices [low, high): (1, C, high - low, y, x), channels last."""


class FeatureMap:
    """(1, C, z, y, x) channels last, read in slices of rising order.

    x : the buffer. ours : whether the next layer may overwrite it. finish : applied in place to slices [low,
    high), as a convolution wrote them, when they are read; None: nothing.
    """

    def __init__(self, x: Tensor, *, ours: bool, finish: Finish | None = None) -> None:
        self.x, self.channels, self.size, self.ours = x, x.shape[1], size_of(x), ours
        self._finish, self._finished = finish, 0

    def slices(self, low: int, high: int, dtype: torch.dtype | None = None) -> Tensor:
        """Slices [low, high): (1, C, high - low, y, x), a view unless `dtype` differs from the buffer's."""
        if self._finish is not None and high > self._finished:
            self._finish(self.x[:, :, self._finished : high], self._finished, high)
            self._finished = high
        return self.x[:, :, low:high].to(dtype or self.x.dtype, memory_format=torch.channels_last_3d)


Finish = Callable[[Tensor, int, int], None]


@dataclass(frozen=True, eq=False)
class Normalise:
    """A Finish: a norm with known statistics (C,), float32, then the leaky ReLU."""

    norm: nn.InstanceNorm3d | nn.BatchNorm3d
    mean: Tensor
    variance: Tensor
    slope: Slope

    def __call__(self, slab: Tensor, low: int, high: int) -> None:
        # For one sample, instance norm is batch norm in evaluation mode, which supports channels-last and
        # bf16.
        normal = torch.native_batch_norm(
            slab, self.norm.weight, self.norm.bias, self.mean, self.variance, False, 0.0, self.norm.eps
        )[0]
        if self.slope is None:
            slab.copy_(normal)
        else:
            torch.ops.aten.leaky_relu.out(normal, self.slope, out=slab)


class Upsampled:
    """F.interpolate(x, size, mode="trilinear", align_corners=False), computed slice by slice when read."""

    def __init__(self, source: FeatureMap, size: Shape) -> None:
        self.source, self.channels, self.size = source, source.channels, size

    def slices(self, low: int, high: int, dtype: torch.dtype) -> Tensor:
        """Slices [low, high): (1, C, high - low, y, x), channels last."""
        depth = self.source.size[0]
        first, share = _between(depth, self.size[0], low, high)
        start, stop = int(first[0]), min(depth, int(first[-1]) + 2)
        weights = torch.zeros(high - low, stop - start)
        rows = torch.arange(high - low)
        weights[rows, first - start] = 1 - share
        weights[rows, (first + 1).clamp_(max=depth - 1) - start] += share
        coarse = self.source.slices(start, stop, dtype)[0].movedim(0, -1)  # (z, y, x, C), contiguous
        planes = (weights.to(coarse) @ coarse.flatten(1)).view(-1, *coarse.shape[1:])
        return _stretched(_stretched(planes, 2, self.size[2]), 1, self.size[1]).movedim(-1, 0)[None]


def _between(small: int, large: int, low: int, high: int) -> tuple[Tensor, Tensor]:
    """Weights of voxels [low, high) of `large`: `first` of `small`, and the fraction towards the next one."""
    position = ((torch.arange(low, high) + 0.5) * (small / large) - 0.5).clamp_(0, small - 1)
    first = position.floor().long()
    return first, position - first


def _stretched(x: Tensor, axis: int, n: int) -> Tensor:
    """Linear interpolation of (z, y, x, C) along `axis` to n voxels, repeating the border."""
    small = x.shape[axis]
    if n != 2 * small or small < 2:
        first, share = (t.to(x.device) for t in _between(small, n, 0, n))
        share = share.to(x.dtype).reshape([-1 if a == axis else 1 for a in range(4)])
        return torch.lerp(
            x.index_select(axis, first), x.index_select(axis, (first + 1).clamp_(max=small - 1)), share
        )
    # Twice as many: a quarter and three quarters of the way, interleaved without an index.
    out = x.new_empty([n if a == axis else m for a, m in enumerate(x.shape)])
    left, right = x.narrow(axis, 0, small - 1), x.narrow(axis, 1, small - 1)
    every_second = (slice(None),) * axis
    torch.lerp(left, right, 0.25, out=out[(*every_second, slice(1, -1, 2))])
    torch.lerp(left, right, 0.75, out=out[(*every_second, slice(2, None, 2))])
    out.narrow(axis, 0, 1).copy_(x.narrow(axis, 0, 1))
    out.narrow(axis, n - 1, 1).copy_(x.narrow(axis, small - 1, 1))
    return out


def pooled(
    source: FeatureMap, arithmetic: Arithmetic, step: Shape = (2, 2, 2)
) -> Generator[float, None, FeatureMap]:
    """F.avg_pool3d(x, step), a few slices at a time.

    In the plane it uses the 2D pooling, which supports bf16 and channels-last.
    """
    depth, height, width = (n // s for n, s in zip(source.size, step, strict=True))
    size = (depth, height, width)
    out = torch.empty(
        (1, source.channels, *size),
        dtype=arithmetic.of(source.channels, size),
        device=source.x.device,
        memory_format=torch.channels_last_3d,
    )
    for z in range(0, depth, 8):
        slab = source.slices(step[0] * z, step[0] * min(z + 8, depth))[0].movedim(1, 0)  # (z, C, y, x)
        plane = F.avg_pool2d(slab, step[1:])
        merged = plane[0 :: step[0]]
        for k in range(1, step[0]):
            merged = torch.lerp(merged, plane[k :: step[0]], 1 / (k + 1))
        out[0, :, z : z + 8] = merged.movedim(0, 1)
        yield 0.0
    return FeatureMap(out, ours=True)


def head(
    conv: nn.Conv3d,
    source: FeatureMap,
    output: Callable[[Tensor], Tensor],
    arithmetic: Arithmetic,
) -> Generator[float, None, Tensor]:
    """A 1x1x1 convolution as one matrix product, and `output` of its result; float32, class by class."""
    maps = torch.empty((conv.out_channels, *source.size), device=source.x.device)
    weight = conv.weight.flatten(1).to(source.x.dtype)
    values = max(source.channels, conv.out_channels) * prod(source.size)
    for a, b in slabs(source.size, HEAD_FLOPS * conv.out_channels, values, arithmetic, maps.device):
        slab = source.slices(a, b)
        logits = (weight @ slab[0].movedim(0, -1).flatten(0, 2).T).float()
        if conv.bias is not None:
            logits += conv.bias[:, None]
        maps[:, a:b] = output(logits).view(-1, b - a, *source.size[1:])
        yield 0.0
    return maps


def slabs(
    size: Shape, flops_per_voxel: float, values: int, arithmetic: Arithmetic, device: torch.device
) -> Iterator[tuple[int, int]]:
    """Even pieces of axis z, each of at least LEAST_SLICES and at most about `step_flops` of work.

    On the processor a piece also holds about SLAB_VALUES of the `values` of the largest map.
    """
    depth = size[0]
    wanted = max(flops_per_voxel, LEAST_FLOPS) * prod(size) / arithmetic.step_flops
    if device.type == "cpu":
        wanted = max(wanted, values / SLAB_VALUES)
    pieces = max(1, min(depth // LEAST_SLICES, round(wanted + 0.5)))
    edges = [depth * piece // pieces for piece in range(pieces + 1)]
    yield from itertools.pairwise(edges)


def size_of(x: Tensor) -> Shape:
    """The last three sides."""
    return x.shape[-3], x.shape[-2], x.shape[-1]
