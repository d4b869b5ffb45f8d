"""Convolutions and norms of large maps, one slab of the first spatial axis at a time: short steps, little
memory.

The numbers are torch's, to rounding. An output has torch's layout: channels last when the map or the weights
are, plain otherwise. The slab itself is computed channels last by oneDNN, which torch does not choose for few
channels although it is up to twenty times faster there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod

import torch
from torch import Tensor

from ctseg_models.inference.network.onednn import onednn_takes
from ctseg_models.networks.patched_layers import is_thin

LARGEST_SLAB = {"cpu": 1 << 25, "cuda": 1 << 29}  # values: 128 MB in float32 on a processor
EASY_SLAB = 1 << 22  # values of a slab that is a view: 16 MB, which the caches hold and the allocator reuses
Between = Callable[[float], None]  # gets the work of each slab (two per multiply-add); raises to stop


@dataclass(frozen=True, eq=False)
class ConvolutionCall:
    """The arguments of torch.convolution without the map.

    weight : (out, in / groups, ...), or (in, out / groups, ...) if transposed.
    """

    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int

    @classmethod
    def of(
        cls,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        transposed: bool,
        output_padding: Sequence[int],
        groups: int,
    ) -> ConvolutionCall:
        """From the arguments of torch.convolution; a single number applies to every axis."""

        def each(numbers: Sequence[int]) -> tuple[int, ...]:
            return tuple(numbers) * (x.ndim - 2) if len(numbers) == 1 else tuple(numbers)

        return cls(
            weight,
            bias,
            each(stride),
            each(padding),
            each(dilation),
            transposed,
            each(output_padding),
            groups,
        )

    @property
    def channels(self) -> int:
        """The number of output channels."""
        return self.weight.shape[1] * self.groups if self.transposed else self.weight.shape[0]

    def size(self, x: Tensor) -> tuple[int, ...]:
        """The spatial shape of the output for a map (B, C, ...)."""
        axes = zip(
            x.shape[2:],
            self.weight.shape[2:],
            self.stride,
            self.padding,
            self.dilation,
            self.output_padding,
            strict=True,
        )
        if self.transposed:
            return tuple((n - 1) * s - 2 * p + d * (k - 1) + o + 1 for n, k, s, p, d, o in axes)
        return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d, _ in axes)

    def flops(self, x: Tensor) -> float:
        """The operations for a map (B, C, ...), two per multiply-add."""
        per_place = 2.0 * prod(self.weight.shape[1:])
        return per_place * (x.numel() if self.transposed else x.shape[0] * self.channels * prod(self.size(x)))


def convolve(conv: ConvolutionCall, x: Tensor, step_flops: float, between: Between) -> Tensor:
    """torch.convolution of (B, C, ...), in slabs of about `step_flops`; `between` is called after each."""
    size = conv.size(x)
    layout = _layout(x, conv.weight)
    flops = conv.flops(x)
    largest = LARGEST_SLAB.get(x.device.type, LARGEST_SLAB["cuda"])
    values = max(x.shape[1], conv.channels) * x.shape[0] * max(prod(size), prod(x.shape[2:]))
    pieces = ceil(max(flops / step_flops, values / largest))
    if pieces <= 1 or min(size) < 1:
        whole = _piece(conv, x, conv.padding).contiguous(memory_format=layout)
        between(flops)
        return whole
    out = torch.empty(
        (x.shape[0], conv.channels, *size), dtype=x.dtype, device=x.device, memory_format=layout
    )
    if is_channels_last(x):
        pieces = max(pieces, ceil(values / EASY_SLAB))
    per_sample = ceil(pieces / x.shape[0])
    at_once = max(1, x.shape[0] // pieces)  # a batch of small maps needs no slabs
    for n in range(0, x.shape[0], at_once):
        sample, place = x[n : n + at_once], out[n : n + at_once]
        for a, b in cuts(size[0], per_sample):
            place[:, :, a:b] = (
                _transposed_slab(conv, sample, a, b) if conv.transposed else _slab(conv, sample, a, b)
            )
            between(flops * (b - a) / size[0] * len(sample) / x.shape[0])
    return out


def norm_of_one(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, between: Between
) -> tuple[Tensor, Tensor, Tensor]:
    """torch.native_batch_norm of one sample (1, C, ...) on the processor with its own statistics (an instance
    norm).

    Returns the normalised map in the layout of `x`, the means and the inverse deviations (C,). Torch's own
    takes twice the time for a channels-last map, and seconds for a large one.
    """
    pieces = ceil(x.numel() / LARGEST_SLAB["cpu"])
    if pieces > 1 or not is_channels_last(x):
        out = torch.empty_like(x)
    if not is_channels_last(x):
        means, inverses = [], []
        for a, b in cuts(x.shape[1], pieces):
            scale, shift = (None if given is None else given[a:b] for given in (weight, bias))
            out[:, a:b], mean, inverse = torch.native_batch_norm(
                x[:, a:b], scale, shift, None, None, True, 0.0, eps
            )
            means.append(mean)
            inverses.append(inverse)
            between(0.0)
        return out, torch.cat(means), torch.cat(inverses)
    edges = list(cuts(x.shape[2], pieces))
    found = []
    for a, b in edges:
        found.append(torch.batch_norm_update_stats(x[:, :, a:b], None, None, 0.0))
        between(0.0)
    kind = torch.promote_types(
        x.dtype, torch.float32
    )  # the type that a norm of a half-precision map takes its parameters in
    share = torch.tensor([(b - a) / x.shape[2] for a, b in edges], dtype=kind)[:, None]
    part_means, part_variances = (
        torch.stack([part.to(kind) for part in parts]) for parts in zip(*found, strict=True)
    )
    mean = (share * part_means).sum(dim=0)
    variance = (share * (part_variances + (part_means - mean).square())).sum(
        dim=0
    )  # within the slabs and between them
    scale, shift = (None if given is None else given.to(kind) for given in (weight, bias))
    for a, b in edges:
        part = torch.native_batch_norm(x[:, :, a:b], scale, shift, mean, variance, False, 0.0, eps)[0]
        if len(edges) == 1:
            out = part
        else:
            out[:, :, a:b] = part
        between(0.0)
    return out, mean, (variance + eps).rsqrt()


def cuts(length: int, pieces: int) -> Iterator[tuple[int, int]]:
    """Even pieces [a, b) of an axis, none of them empty."""
    pieces = max(1, min(length, pieces))
    yield from itertools.pairwise(length * piece // pieces for piece in range(pieces + 1))


def is_channels_last(x: Tensor) -> bool:
    """Whether a map or its weights are laid out channels last, and only so."""
    if x.ndim not in (4, 5) or x.is_contiguous():
        return False
    return x.is_contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)


def _layout(x: Tensor, weight: Tensor) -> torch.memory_format:
    if not (is_channels_last(x) or is_channels_last(weight)):
        return torch.contiguous_format
    return torch.channels_last if x.ndim == 4 else torch.channels_last_3d


def _slab(conv: ConvolutionCall, x: Tensor, a: int, b: int) -> Tensor:
    """Output slices [a, b): their input slices and those that the kernel reaches, zeros outside the map."""
    reach = conv.dilation[0] * (conv.weight.shape[2] - 1) + 1
    low, high = a * conv.stride[0] - conv.padding[0], (b - 1) * conv.stride[0] - conv.padding[0] + reach
    part = x[:, :, max(0, low) : max(0, min(x.shape[2], high))]
    missing = (max(0, -low), high - max(0, -low) - low - part.shape[2])
    if any(missing):
        shape = (*x.shape[:2], high - low, *x.shape[3:])
        padded = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=_layout(x, conv.weight))
        padded[:, :, : missing[0]] = 0
        padded[:, :, missing[0] : missing[0] + part.shape[2]] = part
        padded[:, :, missing[0] + part.shape[2] :] = 0
        part = padded
    return _piece(conv, part, (0, *conv.padding[1:]))


def _transposed_slab(conv: ConvolutionCall, x: Tensor, a: int, b: int) -> Tensor:
    """Output slices [a, b) of a transposed convolution.

    Input slice i reaches the output slices i stride - padding + dilation (0 .. kernel - 1).
    """
    stride, padding, reach = conv.stride[0], conv.padding[0], conv.dilation[0] * (conv.weight.shape[2] - 1)
    low = max(0, -((reach - a - padding) // stride))
    high = min(x.shape[2], (b - 1 + padding) // stride + 1)
    shape = (x.shape[0], conv.channels, b - a, *conv.size(x)[1:])
    out = torch.zeros(shape, dtype=x.dtype, device=x.device).contiguous(memory_format=_layout(x, conv.weight))
    if conv.bias is not None:
        out += conv.bias.reshape(1, -1, *[1] * (x.ndim - 2))
    if low < high:
        made = _piece(conv, x[:, :, low:high], (0, *conv.padding[1:]), (0, *conv.output_padding[1:]))
        first = low * stride - padding  # the output slice that `made` begins with
        start, stop = max(a, first), min(b, first + made.shape[2])
        out[:, :, start - a : stop - a] = made[:, :, start - first : stop - first]
    return out


def _piece(
    conv: ConvolutionCall, x: Tensor, padding: tuple[int, ...], output_padding: tuple[int, ...] | None = None
) -> Tensor:
    """The convolution of a slab by the fastest means; a thin one in float32: see `patched_layers`."""
    weight, bias = conv.weight, conv.bias
    half = x.dtype in (torch.bfloat16, torch.float16)
    if (
        half
        and x.device.type == "cpu"
        and is_thin(
            x.shape[2:], weight.shape[2:], conv.stride, padding, conv.dilation, transposed=conv.transposed
        )
    ):
        exact = replace(conv, weight=weight.float(), bias=None if bias is None else bias.float())
        return _piece(exact, x.float(), padding, output_padding).to(x.dtype)
    known = x.dtype == weight.dtype and x.dtype in (torch.float32, torch.bfloat16)
    if x.device.type == "cpu" and x.ndim == 5 and known and onednn_takes(x.dtype):
        if (
            prod(weight.shape[2:]) == 1
            and conv.groups == 1
            and not conv.transposed
            and not any(padding)
            and set(conv.stride) == {1}
        ):
            return _pointwise(x, weight.flatten(1), bias)
        x, weight = (tensor.contiguous(memory_format=torch.channels_last_3d) for tensor in (x, weight))
        if not conv.transposed:
            return torch.mkldnn_convolution(x, weight, bias, padding, conv.stride, conv.dilation, conv.groups)
    return torch.convolution(
        x,
        weight,
        bias,
        conv.stride,
        padding,
        conv.dilation,
        conv.transposed,
        conv.output_padding if output_padding is None else output_padding,
        conv.groups,
    )


def _pointwise(x: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """A 1x1x1 convolution as one matrix product in the layout of `x`. matrix : (out, in)."""
    if is_channels_last(x):
        columns = x.movedim(1, -1).reshape(-1, x.shape[1])
        made = columns @ matrix.T if bias is None else torch.addmm(bias, columns, matrix.T)
        return made.reshape(x.shape[0], *x.shape[2:], -1).movedim(-1, 1)
    made = matrix @ x.flatten(2)
    if bias is not None:
        made += bias[:, None]
    return made.reshape(x.shape[0], -1, *x.shape[2:])
