"""The networks of paper 5, run in steps short enough to be cancelled: every convolution in slabs along z.

The result is the network's own `forward` in evaluation mode, to rounding; a test compares them.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cache, partial
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctseg_models.inference.whole_network import Way, whole_network
from ctseg_models.networks.scn import POOLING, SCN, SCNConfig, merge_by_certainty, upsample_cubic
from ctseg_models.networks.unet import Block, UNet, UNetConfig

SMALL_MAP = 4096  # voxels: below this, converting to bf16 and back costs more than it saves, and oneDNN's bf16 is at its weakest
LEAST_FLOPS = 1e4  # per voxel, as a convolution of few channels takes the time of one that computes more


@dataclass(frozen=True)
class Arithmetic:
    """How to compute. dtype : of large maps (float32, or bfloat16); small maps and the SCN's spatial part stay float32.

    step_flops : the work between two yields; the default is 0.1 to 0.4 s on two CPU cores.
    """

    dtype: torch.dtype = torch.float32
    step_flops: float = 1.5e10

    def of(self, voxels: int) -> torch.dtype:
        """The dtype of a map with so many voxels."""
        return self.dtype if voxels >= SMALL_MAP else torch.float32


def steps_of(network: nn.Module) -> Way:
    """How to run `network`: those of paper 5 in slabs, any other as a whole. Freezes its parameters."""
    network.requires_grad_(False).eval()
    if isinstance(network, SCN):
        return Way(partial(_scn_steps, network), partial(scn_flops, network.config))
    if isinstance(network, UNet):
        return Way(partial(_unet_probabilities, network), partial(unet_flops, network.config))
    return whole_network(network)


def _unet_probabilities(network: UNet, x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
    logits = yield from unet_steps(network, x, arithmetic)
    return logits[0].softmax(dim=0)


def unet_steps(network: UNet, x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
    """(1, C, z, y, x) to (1, K, z, y, x) float32 logits. Yields the share of the work since the last yield."""
    total = unet_flops(network.config, _size(x))
    share = _Share(total)
    levels = network.config.levels
    skips: list[Tensor] = []
    for level in range(levels):
        if level:
            x = yield from _pooled(x, arithmetic)
        x = yield from _block(network.get_submodule(f"contracting{level}"), [_Whole(x)], arithmetic, share)
        skips.append(x)
    for level in reversed(range(levels)):
        skip = skips.pop()
        parts: list[_Map] = [_Whole(x)] if level == levels - 1 else [_Whole(skip), _Upsampled(x, _size(skip))]
        del skip, x
        x = yield from _block(network.get_submodule(f"expanding{level}"), parts, arithmetic, share)
    return _head(network.prediction, x)


def _head(conv: nn.Conv3d, x: Tensor) -> Tensor:
    """A 1x1x1 convolution as one matrix product; float32."""
    weight = conv.weight.flatten(1).to(x.dtype)
    logits = (x.movedim(1, -1) @ weight.T).movedim(-1, 1).float()
    return logits if conv.bias is None else logits.add_(conv.bias.reshape(1, -1, 1, 1, 1))


class _Share:
    """FLOPs to the share of the whole."""

    def __init__(self, total: float) -> None:
        self.total = max(total, 1.0)

    def __call__(self, flops: float) -> float:
        return flops / self.total


class _Whole:
    """A feature map (1, C, z, y, x) of which slices are taken."""

    def __init__(self, x: Tensor) -> None:
        self.x, self.size, self.device = x, _size(x), x.device

    def slices(self, low: int, high: int, dtype: torch.dtype) -> Tensor:
        """(1, C, high - low, y, x) in `dtype`."""
        return self.x[:, :, low:high].to(dtype)


class _Upsampled:
    """F.interpolate(x, size, mode="trilinear", align_corners=False), made slice by slice when it is needed."""

    def __init__(self, x: Tensor, size: tuple[int, int, int]) -> None:
        self.x, self.size, self.device = x, size, x.device

    def slices(self, low: int, high: int, dtype: torch.dtype) -> Tensor:
        """(1, C, high - low, y, x) in `dtype`."""
        depth = self.x.shape[2]
        position = ((torch.arange(low, high, device=self.device) + 0.5) * (depth / self.size[0]) - 0.5).clamp_(0, depth - 1)
        first = position.floor().long()
        share = (position - first).to(dtype).reshape(1, 1, -1, 1, 1)
        x = self.x[:, :, int(first[0]):int(first[-1]) + 2].to(dtype)
        first = first - first[0]
        between = torch.lerp(x[:, :, first], x[:, :, (first + 1).clamp_(max=x.shape[2] - 1)], share)
        return F.interpolate(between, size=(high - low, *self.size[1:]), mode="trilinear", align_corners=False)


_Map = _Whole | _Upsampled


def _pooled(x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
    """F.avg_pool3d(x, 2), which knows no bf16: through float32, a few slices at a time."""
    size = [n // 2 for n in x.shape[2:]]
    out = torch.empty(*x.shape[:2], *size, dtype=arithmetic.of(prod(size)), device=x.device, memory_format=torch.channels_last_3d)
    for z in range(0, size[0], 8):
        out[:, :, z:z + 8] = F.avg_pool3d(x[:, :, 2 * z:2 * min(z + 8, size[0])].float(), 2)
        yield 0.0
    return out


def _block(block: nn.Module, parts: list[_Map], arithmetic: Arithmetic, share: _Share) -> Generator[float, None, Tensor]:
    """Both convolutions of a Block on cat(parts, 1). Empties `parts`, so that the maps go as soon as they are used."""
    assert isinstance(block, Block)
    dtype = arithmetic.of(prod(parts[0].size))
    for conv, norm in ((block.conv0, block.norm0), (block.conv1, block.norm1)):
        out = yield from _convolution(conv, parts, dtype, arithmetic, share)
        parts.clear()
        if isinstance(norm, nn.InstanceNorm3d):
            # One sample: instance norm is batch norm with the statistics of the batch, and that one knows channels-last and bf16.
            out = torch.native_batch_norm(out, norm.weight, norm.bias, None, None, True, 0.0, norm.eps)[0]
            yield 0.0
        out = F.leaky_relu_(out, block.slope)
        parts.append(_Whole(out))
    return out


def _convolution(conv: nn.Conv3d, parts: list[_Map], dtype: torch.dtype, arithmetic: Arithmetic, share: _Share,
                 ) -> Generator[float, None, Tensor]:
    """A 3x3x3 convolution of cat(parts, 1) in slabs along z."""
    first = parts[0]
    weight = conv.weight.to(dtype, memory_format=torch.channels_last_3d)
    bias = None if conv.bias is None else conv.bias.to(dtype)
    per_voxel = 2.0 * 27 * conv.in_channels * conv.out_channels
    depth, plane = first.size[0], first.size[1] * first.size[2]
    slabs = list(_slabs(first.size, per_voxel, arithmetic))
    if len(slabs) == 1:
        whole = conv3d(_join(parts, 0, depth, dtype), weight, bias, 1)
        yield share(per_voxel * depth * plane)
        return whole
    out = torch.empty(1, conv.out_channels, *first.size, dtype=dtype, device=first.device, memory_format=torch.channels_last_3d)
    for a, b in slabs:
        out[:, :, a:b] = conv3d(_with_halo(parts, a, b, dtype), weight, bias, 0)
        yield share(per_voxel * (b - a) * plane)
    return out


def conv3d(x: Tensor, weight: Tensor, bias: Tensor | None, padding_z: int) -> Tensor:
    """F.conv3d with padding 1 in the plane. On the processor oneDNN is asked by name: left to choose, torch takes a loop that is
    ten times slower for 16 channels and fewer."""
    padding = (padding_z, 1, 1)
    if x.device.type == "cpu" and onednn_takes(x.dtype):
        return torch.mkldnn_convolution(x, weight, bias, padding, (1, 1, 1), (1, 1, 1), 1)
    return F.conv3d(x, weight, bias, padding=padding)


@cache
def onednn_takes(dtype: torch.dtype) -> bool:
    """Whether oneDNN is in this torch, and the processor has what it needs for `dtype`."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _join(parts: list[_Map], low: int, high: int, dtype: torch.dtype) -> Tensor:
    """cat(parts, 1) of slices [low, high), channels last."""
    slabs = [part.slices(low, high, dtype) for part in parts]
    joined = slabs[0] if len(slabs) == 1 else torch.cat(slabs, dim=1)
    return joined.contiguous(memory_format=torch.channels_last_3d)


def _with_halo(parts: list[_Map], a: int, b: int, dtype: torch.dtype) -> Tensor:
    """cat(parts, 1) of slices a - 1 .. b, zeros beyond the first and the last slice."""
    depth = parts[0].size[0]
    low, high = max(0, a - 1), min(depth, b + 1)
    slab = _join(parts, low, high, dtype)
    missing = (low - (a - 1), b + 1 - high)
    if any(missing):
        slab = F.pad(slab, (0, 0, 0, 0, *missing)).contiguous(memory_format=torch.channels_last_3d)
    return slab


def _slabs(size: tuple[int, int, int], flops_per_voxel: float, arithmetic: Arithmetic) -> Iterator[tuple[int, int]]:
    """Even pieces of axis z, each about `step_flops` of work and at least four slices."""
    depth, plane = size[0], size[1] * size[2]
    pieces = max(1, min(depth // 4, round(max(flops_per_voxel, LEAST_FLOPS) * depth * plane / arithmetic.step_flops + 0.5)))
    edges = [depth * piece // pieces for piece in range(pieces + 1)]
    yield from itertools.pairwise(edges)


def _scn_steps(network: SCN, x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
    """(1, C, z, y, x) to (K, z, y, x) float32 probabilities, as SCN.forward in evaluation mode."""
    total = scn_flops(network.config, _size(x))
    local_share = unet_flops(network.local.config, _size(x)) / total
    work = unet_steps(network.local, x, arithmetic)
    while True:
        try:
            yield local_share * next(work)
        except StopIteration as end:
            local: Tensor = end.value
            break
    labels = F.avg_pool3d(torch.sigmoid(local[:, 1:]), POOLING)
    pooled = F.avg_pool3d(x.float(), POOLING)
    coarse = []
    float32 = Arithmetic(torch.float32, arithmetic.step_flops)
    for label, part in enumerate(network.spatial):
        assert isinstance(part, UNet)
        others = labels if label == 0 else torch.cat([labels[:, : label - 1], labels[:, label:]], dim=1)
        share = unet_flops(part.config, _size(pooled)) / total
        work = unet_steps(part, torch.cat([others, pooled], dim=1), float32)
        while True:
            try:
                yield share * next(work)
            except StopIteration as end:
                coarse.append(end.value)
                break
    depth = x.shape[2]
    planes = torch.cat(coarse, dim=1)
    along_z = upsample_cubic(planes, torch.Size((depth, *planes.shape[3:])))
    for a, b in _slabs(_size(local), 1500.0 * local.shape[1], arithmetic):
        spatial = upsample_cubic(along_z[:, :, a:b], torch.Size((b - a, *x.shape[3:])))
        local[:, :, a:b] = merge_by_certainty(local[:, :, a:b], spatial)
        yield 0.0
    return local[0]


def _size(x: Tensor) -> tuple[int, int, int]:
    return x.shape[2], x.shape[3], x.shape[4]


def unet_flops(config: UNetConfig, shape: tuple[int, int, int]) -> float:
    """Two per multiply-add of the convolutions, for one input of (z, y, x)."""
    width, total = config.filters, 0.0
    for level in range(config.levels):
        voxels = prod(max(1, n >> level) for n in shape)
        into = config.in_channels if level == 0 else width
        back = width if level == config.levels - 1 else 2 * width
        total += 2.0 * 27 * width * (into + back + 2 * width) * voxels
    return total + 2.0 * width * config.outputs * prod(shape)


def scn_flops(config: SCNConfig, shape: tuple[int, int, int]) -> float:
    """Two per multiply-add of the convolutions of the local and all spatial parts."""
    local = UNetConfig(config.in_channels, config.outputs, config.levels, config.filters)
    foreground = config.outputs - 1
    z, y, x = (n // POOLING for n in shape)
    total = unet_flops(local, shape)
    for label in range(config.outputs):
        channels = config.in_channels + (foreground if label == 0 else foreground - 1)
        total += unet_flops(UNetConfig(channels, 1, config.spatial_levels, config.spatial_filters), (z, y, x))
    return total
