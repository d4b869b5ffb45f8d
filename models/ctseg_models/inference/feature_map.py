"""Feature maps that a network works through in slabs along z, each layer written over the one before it.

A map is as large as the processor's caches several times over, so that what counts is how often it goes through memory: one buffer per
resolution step, the statistics of a norm taken while a slab is still near, and norm and activation applied when the next layer asks.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cache
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Shape = tuple[int, int, int]
SMALL_MAP = 4096  # voxels: below this, converting to bf16 and back costs more than it saves, and oneDNN's bf16 is at its weakest
LEAST_FLOPS = 1e4  # per voxel, as a convolution of few channels takes the time of one that computes more
SLAB_VOXELS = 160_000  # on the processor: 10 MB of 32 channels in bf16, which the caches nearly hold and the allocator gives again
KERNEL = (3, 3, 3)


@dataclass(frozen=True)
class Arithmetic:
    """How to compute. dtype : of large maps (float32, or bfloat16); small maps and the SCN's spatial part stay float32.

    step_flops : the work between two yields; the default is 0.02 to 0.1 s on two CPU cores. on_trial : whether it has still to be seen
    that the labels are those of float32.
    """

    dtype: torch.dtype = torch.float32
    step_flops: float = 1.5e10
    on_trial: bool = False

    def of(self, voxels: int) -> torch.dtype:
        """The dtype of a map with so many voxels."""
        return self.dtype if voxels >= SMALL_MAP else torch.float32


class FeatureMap:
    """(1, C, z, y, x) channels last, of which slices are taken in rising order.

    x : the buffer. ours : whether the next layer may write over it. finish : what is left to do to slices as a convolution wrote them, in
    place, when they are asked for; None: nothing.
    """

    def __init__(self, x: Tensor, *, ours: bool, finish: Finish | None = None) -> None:
        self.x, self.size, self.ours = x, size_of(x), ours
        self._finish, self._finished = finish, 0

    def slices(self, low: int, high: int) -> Tensor:
        """(1, C, high - low, y, x), a view."""
        if self._finish is not None and high > self._finished:
            self._finish(self.x[:, :, self._finished:high])
            self._finished = high
        return self.x[:, :, low:high]


@dataclass(frozen=True, eq=False)
class Finish:
    """Instance norm with its statistics, then the leaky ReLU, in place."""

    norm: nn.InstanceNorm3d
    mean: Tensor
    variance: Tensor
    slope: float

    def __call__(self, slab: Tensor) -> None:
        # Of one sample, instance norm is batch norm in evaluation, and that one knows channels-last and bf16.
        normal = torch.native_batch_norm(slab, self.norm.weight, self.norm.bias, self.mean, self.variance, False, 0.0, self.norm.eps)[0]
        torch.ops.aten.leaky_relu.out(normal, self.slope, out=slab)


class Upsampled:
    """F.interpolate(x, size, mode="trilinear", align_corners=False), made slice by slice when it is needed."""

    def __init__(self, source: FeatureMap, size: Shape) -> None:
        self.source, self.size = source, size

    def slices(self, low: int, high: int, dtype: torch.dtype) -> Tensor:
        """(1, C, high - low, y, x) in `dtype`, channels last."""
        depth = self.source.size[0]
        first, share = _between(depth, self.size[0], low, high)
        start, stop = int(first[0]), min(depth, int(first[-1]) + 2)
        weights = torch.zeros(high - low, stop - start)
        rows = torch.arange(high - low)
        weights[rows, first - start] = 1 - share
        weights[rows, (first + 1).clamp_(max=depth - 1) - start] += share
        coarse = self.source.slices(start, stop).to(dtype)[0].movedim(0, -1)  # (z, y, x, C), contiguous
        planes = (weights.to(coarse) @ coarse.flatten(1)).view(-1, *coarse.shape[1:])
        return _stretched(_stretched(planes, 2, self.size[2]), 1, self.size[1]).movedim(-1, 0)[None]


def _between(small: int, large: int, low: int, high: int) -> tuple[Tensor, Tensor]:
    """Voxels [low, high) of `large` lie in a share of the way from voxel `first` of `small` to the next."""
    position = ((torch.arange(low, high) + 0.5) * (small / large) - 0.5).clamp_(0, small - 1)
    first = position.floor().long()
    return first, position - first


def _stretched(x: Tensor, axis: int, n: int) -> Tensor:
    """Linear interpolation of (z, y, x, C) along `axis` to n voxels, the border repeated."""
    small = x.shape[axis]
    if n != 2 * small or small < 2:
        first, share = (t.to(x.device) for t in _between(small, n, 0, n))
        share = share.to(x.dtype).reshape([-1 if a == axis else 1 for a in range(4)])
        return torch.lerp(x.index_select(axis, first), x.index_select(axis, (first + 1).clamp_(max=small - 1)), share)
    # Twice as many: a quarter and three quarters of the way, written between each other without an index.
    out = x.new_empty([n if a == axis else m for a, m in enumerate(x.shape)])
    left, right = x.narrow(axis, 0, small - 1), x.narrow(axis, 1, small - 1)
    every_second = (slice(None),) * axis
    torch.lerp(left, right, 0.25, out=out[(*every_second, slice(1, -1, 2))])
    torch.lerp(left, right, 0.75, out=out[(*every_second, slice(2, None, 2))])
    out.narrow(axis, 0, 1).copy_(x.narrow(axis, 0, 1))
    out.narrow(axis, n - 1, 1).copy_(x.narrow(axis, small - 1, 1))
    return out


def pooled(source: FeatureMap, arithmetic: Arithmetic) -> Generator[float, None, FeatureMap]:
    """F.avg_pool3d(x, 2), a few slices at a time; in the plane by the pooling that knows bf16 and channels-last."""
    depth, height, width = (n // 2 for n in source.size)
    out = torch.empty(*source.x.shape[:2], depth, height, width, dtype=arithmetic.of(depth * height * width), device=source.x.device,
                      memory_format=torch.channels_last_3d)
    for z in range(0, depth, 8):
        slab = source.slices(2 * z, 2 * min(z + 8, depth))[0].movedim(1, 0)  # (z, C, y, x)
        plane = F.avg_pool2d(slab, 2)
        out[0, :, z:z + 8] = torch.lerp(plane[0::2], plane[1::2], 0.5).movedim(0, 1)
        yield 0.0
    return FeatureMap(out, ours=True)


def convolved(conv: nn.Conv3d, norm: nn.Module, slope: float, source: FeatureMap, below: Upsampled | None, arithmetic: Arithmetic,
              ) -> Generator[float, None, FeatureMap]:
    """Leaky ReLU of norm of the 3x3x3 convolution of cat([source, below], 1), in slabs along z. Yields the operations of each.

    Written over `source` where it is ours and fits: the last slice of a slab waits until the next slab, which needs what is there, is done.
    """
    size, channels, device = source.size, source.x.shape[1], source.x.device
    dtype = arithmetic.of(prod(size))
    fits = source.ours and channels == conv.out_channels and source.x.dtype == dtype
    out = source.x if fits else torch.empty(1, conv.out_channels, *size, dtype=dtype, device=device, memory_format=torch.channels_last_3d)
    weight, weight_below = (part.to(dtype, memory_format=torch.channels_last_3d)
                            for part in (conv.weight[:, :channels], conv.weight[:, channels:]))
    bias = None if conv.bias is None else conv.bias.to(dtype)
    normalised = isinstance(norm, nn.InstanceNorm3d)
    last: Tensor | None = None
    moments: list[tuple[int, Tensor, Tensor]] = []
    per_voxel = 2.0 * prod(KERNEL) * conv.in_channels * conv.out_channels
    for a, b in slabs(size, per_voxel, arithmetic, device):
        low, high = max(0, a - 1), min(size[0], b + 1)
        padding = int(low == a or high == b)  # at the first and the last slice; what it adds at the other end is cut off
        kept = slice(a - low + padding - 1, b - low + padding - 1)
        slab = source.slices(low, high).to(dtype, memory_format=torch.channels_last_3d)
        if below is None:
            y = conv3d(slab, weight, bias, padding, None if normalised else slope)[:, :, kept]
        else:
            y = add_conv3d(conv3d(slab, weight, bias, padding), below.slices(low, high, dtype), weight_below, padding)[:, :, kept]
            y = y if normalised else F.leaky_relu_(y, slope)
        if normalised:
            moments.append((b - a, *_moments(y)))
        if last is not None:
            out[:, :, a - 1:a] = last
        out[:, :, a:b - 1], last = y[:, :, :-1], y[:, :, -1:].clone()
        yield per_voxel * (b - a) * size[1] * size[2]
    assert last is not None  # every map has a slice
    out[:, :, -1:] = last
    return FeatureMap(out, ours=True, finish=Finish(norm, *_of_all(moments), slope) if isinstance(norm, nn.InstanceNorm3d) else None)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel of (1, C, z, y, x); float32, which torch gives when it is handed running values in float32."""
    running = torch.zeros(2, x.shape[1], device=x.device)
    mean, variance = torch.batch_norm_update_stats(x, running[0], running[1], 0.0)
    return mean, variance


def _of_all(moments: list[tuple[int, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel over all slabs, from (slices, mean, variance) of each."""
    if len(moments) == 1:
        return moments[0][1:]
    share = torch.tensor([slices for slices, _, _ in moments], dtype=torch.float32, device=moments[0][1].device)
    share /= share.sum()
    means, variances = torch.stack([mean for _, mean, _ in moments]), torch.stack([variance for _, _, variance in moments])
    mean = share @ means
    return mean, share @ (variances + (means - mean).square())


def conv3d(x: Tensor, weight: Tensor, bias: Tensor | None, padding_z: int, slope: float | None = None) -> Tensor:
    """F.conv3d with padding 1 in the plane, and a leaky ReLU unless `slope` is None. On the processor oneDNN is asked by name: left to
    choose, torch takes a loop that is ten times slower for 16 channels and fewer."""
    padding = (padding_z, 1, 1)
    if x.device.type == "cpu" and onednn_takes(x.dtype):
        if slope is None:
            return torch.mkldnn_convolution(x, weight, bias, padding, (1, 1, 1), (1, 1, 1), 1)
        fused: Tensor = torch.ops.mkldnn._convolution_pointwise(x, weight, bias, padding, (1, 1, 1), (1, 1, 1), 1,
                                                                "leaky_relu", [slope], "")
        return fused
    y = F.conv3d(x, weight, bias, padding=padding)
    return y if slope is None else F.leaky_relu_(y, slope)


def add_conv3d(y: Tensor, x: Tensor, weight: Tensor, padding_z: int) -> Tensor:
    """y + conv3d(x), written over y: a convolution of cat([a, b], 1) needs no cat."""
    if x.device.type == "cpu" and onednn_takes(x.dtype):
        total: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
            y, x, weight, None, (padding_z, 1, 1), (1, 1, 1), (1, 1, 1), 1, "add", 1.0, None, [], None)
        return total
    return y.add_(F.conv3d(x, weight, padding=(padding_z, 1, 1)))


@cache
def onednn_takes(dtype: torch.dtype) -> bool:
    """Whether oneDNN is in this torch, and the processor has what it needs for `dtype`."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def slabs(size: Shape, flops_per_voxel: float, arithmetic: Arithmetic, device: torch.device) -> Iterator[tuple[int, int]]:
    """Even pieces of axis z, at least four slices each: at most about `step_flops` of work, and on the processor SLAB_VOXELS."""
    depth, voxels = size[0], prod(size)
    wanted = max(flops_per_voxel, LEAST_FLOPS) * voxels / arithmetic.step_flops
    if device.type == "cpu":
        wanted = max(wanted, voxels / SLAB_VOXELS)
    pieces = max(1, min(depth // 4, round(wanted + 0.5)))
    edges = [depth * piece // pieces for piece in range(pieces + 1)]
    yield from itertools.pairwise(edges)


def size_of(x: Tensor) -> Shape:
    """The last three sides."""
    return x.shape[-3], x.shape[-2], x.shape[-1]
