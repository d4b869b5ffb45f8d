"""A convolution over feature maps in slabs along z, with the norm and activation of what it reads."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctseg_imaging.geometry import Shape
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.inference.network.feature_map import ConvolutionInput, FeatureMap, Finish, Normalise, slabs
from ctseg_models.inference.network.onednn import Slope, add_conv3d, conv3d


def convolved(
    conv: nn.Conv3d,
    norm: nn.Module,
    slope: Slope,
    sources: Sequence[ConvolutionInput],
    arithmetic: Arithmetic,
    *,
    keep: bool = False,
) -> Generator[float, None, FeatureMap]:
    """Leaky ReLU of the norm of a convolution of cat(sources, 1), in slabs along z; yields the operations of
    each.

    The output overwrites one of `sources` where it is ours and fits, unless `keep`: the last slices
    of a slab are then written only when the next slab, which reads them, is done.
    """
    layer = _Layer.of(conv, sources[0].size)
    dtype = arithmetic.of(conv.out_channels, layer.size)
    over = None if keep or layer.step != 1 else _overwritable(sources, conv.out_channels, dtype)
    out = over
    if out is None:
        shape, device = (1, conv.out_channels, *layer.size), conv.weight.device
        out = torch.empty(shape, dtype=dtype, device=device, memory_format=torch.channels_last_3d)
    values = max(conv.out_channels * prod(layer.size), *(s.channels * prod(s.size) for s in sources))
    edges = list(slabs(layer.size, layer.flops, values, arithmetic, conv.weight.device))
    writing = _Writing(out, layer.reach if over is not None and len(edges) > 1 else 0)
    work = _Slabs(conv, layer, sources, dtype, slope if isinstance(norm, nn.Identity) else None)
    moments: list[tuple[int, Tensor, Tensor]] = []
    for a, b in edges:
        y = work(a, b)
        if isinstance(norm, nn.InstanceNorm3d):
            moments.append((b - a, *_moments(y)))
        writing.put(a, b, y)
        yield layer.flops * (b - a) * prod(layer.size[1:])
    writing.finish(layer.size[0])
    return FeatureMap(out, ours=True, finish=_finish(norm, moments, slope))


def _overwritable(sources: Sequence[ConvolutionInput], channels: int, dtype: torch.dtype) -> Tensor | None:
    """The buffer of a source that the output fits, None without one."""
    return next(
        (
            source.x
            for source in sources
            if isinstance(source, FeatureMap)
            and source.ours
            and source.x.shape[1] == channels
            and source.x.dtype == dtype
        ),
        None,
    )


class _Slabs:
    """Slabs of a convolution of cat(sources, 1), with its leaky ReLU where no norm comes between."""

    def __init__(
        self,
        conv: nn.Conv3d,
        layer: _Layer,
        sources: Sequence[ConvolutionInput],
        dtype: torch.dtype,
        slope: Slope,
    ) -> None:
        self._layer, self._sources, self._dtype, self._slope = layer, sources, dtype, slope
        split = torch.split(conv.weight, [source.channels for source in sources], dim=1)
        self._weights = [part.to(dtype, memory_format=torch.channels_last_3d) for part in split]
        self._bias = None if conv.bias is None else conv.bias.to(dtype)

    def __call__(self, a: int, b: int) -> Tensor:
        """Slices [a, b) of the output."""
        layer = self._layer
        parts = [layer.input(source, a, b, self._dtype) for source in self._sources]
        padding, kept = layer.padding(a, b)
        at_once = self._slope if len(parts) == 1 else None
        y = conv3d(parts[0], self._weights[0], self._bias, padding, at_once, layer.stride)
        for part, weight in zip(parts[1:], self._weights[1:], strict=True):
            y = add_conv3d(y, part, weight, padding, layer.stride)
        y = y[:, :, kept]
        return y if len(parts) == 1 or self._slope is None else F.leaky_relu_(y, self._slope)


class _Writing:
    """Writes slabs to `out`. waiting : slices at the end of a slab that the next one still reads in `out`."""

    def __init__(self, out: Tensor, waiting: int) -> None:
        self._out, self._waiting = out, waiting
        self._last: Tensor | None = None

    def put(self, a: int, b: int, y: Tensor) -> None:
        """Slices [a, b), and the ones that waited before them."""
        waiting = self._waiting
        if self._last is not None:
            self._out[:, :, a - waiting : a] = self._last
        self._out[:, :, a : b - waiting] = y[:, :, : b - a - waiting]
        self._last = y[:, :, b - a - waiting :].clone() if waiting else None

    def finish(self, depth: int) -> None:
        """The slices that still wait."""
        if self._last is not None:
            self._out[:, :, depth - self._waiting :] = self._last


@dataclass(frozen=True, eq=False)
class _Layer:
    """How a convolution acts on an input of `depth` slices.

    size : of its output. reach : slices that it reads beyond its own, at either end. in_plane : padding along
    y and x. flops : of one output voxel.
    """

    depth: int
    size: Shape
    step: int
    reach: int
    in_plane: tuple[int, int]
    stride: Shape
    flops: float

    @classmethod
    def of(cls, conv: nn.Conv3d, size: Shape) -> _Layer:
        (kz, ky, kx), (sz, sy, sx) = conv.kernel_size, conv.stride
        z, y, x = (
            (n - 1) // s + 1 for n, s in zip(size, conv.stride, strict=True)
        )  # an odd kernel, padded by half of it
        return cls(
            size[0],
            (z, y, x),
            sz,
            kz // 2,
            (ky // 2, kx // 2),
            (sz, sy, sx),
            2.0 * kz * ky * kx * conv.in_channels * conv.out_channels,
        )

    def reads(self, a: int, b: int) -> tuple[int, int]:
        """The input slices that the output slices [a, b) need; they may lie beyond the map."""
        return a * self.step - self.reach, (b - 1) * self.step + self.reach + 1

    def padding(self, a: int, b: int) -> tuple[Shape, slice]:
        """How `input` is padded for slices [a, b) of the output, and which slices of the result those are."""
        low, high = self.reads(a, b)
        if self.step != 1 or (low >= 0 and high <= self.depth):
            return (0, *self.in_plane), slice(0, b - a)
        # the same at both ends; the extra slices at an end inside the map are cut off
        start = a - max(0, low)
        return (self.reach, *self.in_plane), slice(start, start + b - a)

    def input(self, source: ConvolutionInput, a: int, b: int, dtype: torch.dtype) -> Tensor:
        """The input for slices [a, b) of the output. With strides, zeros are added beyond the map, as padding
        would be misaligned.
        """
        low, high = self.reads(a, b)
        slab = source.slices(max(0, low), min(self.depth, high), dtype)
        if self.step == 1 or (low >= 0 and high <= self.depth):
            return slab
        padded = slab.new_zeros(1, slab.shape[1], high - low, *slab.shape[3:]).contiguous(
            memory_format=torch.channels_last_3d
        )
        padded[:, :, max(0, -low) : max(0, -low) + slab.shape[2]] = slab
        return padded


def _finish(norm: nn.Module, moments: list[tuple[int, Tensor, Tensor]], slope: Slope) -> Finish | None:
    """The normalisation that is left to apply; None if there is none."""
    if isinstance(norm, nn.InstanceNorm3d):
        return Normalise(norm, *_of_all(moments), slope)
    if isinstance(norm, nn.BatchNorm3d):
        assert (
            norm.running_mean is not None and norm.running_var is not None
        )  # in evaluation mode there are only running statistics
        return Normalise(norm, norm.running_mean, norm.running_var, slope)
    return None


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel of (1, C, z, y, x), in float32.

    torch gives them in float32 when the running statistics passed to it are float32.
    """
    running = torch.zeros(2, x.shape[1], device=x.device)
    mean, variance = torch.batch_norm_update_stats(x, running[0], running[1], 0.0)
    return mean, variance


def _of_all(moments: list[tuple[int, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel over all slabs, from (slices, mean, variance) of each slab."""
    if len(moments) == 1:
        return moments[0][1:]
    share = torch.tensor(
        [slices for slices, _, _ in moments], dtype=torch.float32, device=moments[0][1].device
    )
    share /= share.sum()
    means, variances = (
        torch.stack([mean for _, mean, _ in moments]),
        torch.stack([variance for _, _, variance in moments]),
    )
    mean = share @ means
    return mean, share @ (variances + (means - mean).square())
