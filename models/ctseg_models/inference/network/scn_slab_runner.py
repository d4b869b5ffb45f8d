"""The networks of paper 5, run in steps short enough to cancel: every convolution in slabs along z.

The result equals the network's own `forward` in evaluation mode, to rounding; a test compares them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctseg_imaging.geometry import Shape
from ctseg_imaging.progress import scaled
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.inference.network.convolution import convolved
from ctseg_models.inference.network.feature_map import (
    HEAD_FLOPS,
    ConvolutionInput,
    FeatureMap,
    Upsampled,
    head,
    pooled,
    size_of,
    slabs,
)
from ctseg_models.inference.network.onednn import conv3d, onednn_takes
from ctseg_models.inference.network.whole_network import NetworkRunner, whole_network
from ctseg_models.networks.scn import MERGE_EPSILON, POOLING, SCN, SCNConfig, upsample_cubic
from ctseg_models.networks.unet import Block, UNet, UNetConfig

__all__ = ["Arithmetic", "conv3d", "onednn_takes", "scn_flops", "steps_of", "unet_flops", "unet_steps"]

MERGE_VALUES = 32  # per voxel: this many are in memory while a slab is merged


def steps_of(network: nn.Module) -> NetworkRunner:
    """How to run `network`: those of paper 5 in slabs, any other as a whole. Freezes its parameters."""
    network.requires_grad_(False).eval()
    if isinstance(network, SCN):
        return NetworkRunner(partial(_scn_steps, network), partial(scn_flops, network.config))
    if isinstance(network, UNet):
        return NetworkRunner(partial(unet_steps, network, _softmax), partial(unet_flops, network.config))
    return whole_network(network)


def unet_steps(
    network: UNet, output: Callable[[Tensor], Tensor], x: Tensor, arithmetic: Arithmetic
) -> Generator[float, None, Tensor]:
    """(1, C, z, y, x) to (K, z, y, x) float32: `output` of the logits, a few slices at a time.

    Yields the share of the work since the last yield.
    """
    total = max(1.0, unet_flops(network.config, size_of(x)))
    levels = network.config.levels
    feature, skips = FeatureMap(x, ours=False), []
    for level in range(levels):
        if level:
            feature = yield from pooled(feature, arithmetic)
        feature = yield from _block(
            network.get_submodule(f"contracting{level}"), feature, None, arithmetic, total
        )
        skips.append(feature)
    below: Upsampled | None = None
    while skips:
        level, skip = len(skips) - 1, skips.pop()
        feature = yield from _block(
            network.get_submodule(f"expanding{level}"), skip, below, arithmetic, total
        )
        below = Upsampled(feature, skips[-1].size) if skips else None
    return (yield from head(network.prediction, feature, output, arithmetic))


def _block(
    block: nn.Module,
    source: FeatureMap,
    below: Upsampled | None,
    arithmetic: Arithmetic,
    total: float,
) -> Generator[float, None, FeatureMap]:
    """Both convolutions of a Block on cat([source, below], 1)."""
    assert isinstance(block, Block)
    for conv, norm in ((block.conv0, block.norm0), (block.conv1, block.norm1)):
        sources: list[ConvolutionInput] = [source] if below is None else [source, below]
        source, below = (
            (yield from scaled(convolved(conv, norm, block.slope, sources, arithmetic), 1 / total)),
            None,
        )
    return source


def _softmax(logits: Tensor) -> Tensor:
    return logits.softmax(dim=0)


def _logits(logits: Tensor) -> Tensor:
    return logits


def _scn_steps(network: SCN, x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
    """(1, C, z, y, x) to (K, z, y, x) float32 probabilities, as SCN.forward in evaluation mode."""
    total = max(1.0, scn_flops(network.config, size_of(x)))
    local = yield from _part(network.local, Tensor.sigmoid_, x, arithmetic, total)
    labels, pooled_image = F.avg_pool3d(local[None, 1:], POOLING), F.avg_pool3d(x.float(), POOLING)
    coarse, plain = [], replace(arithmetic, dtype=torch.float32, on_trial=False)
    for label, part in enumerate(network.spatial):
        others = labels if label == 0 else torch.cat([labels[:, : label - 1], labels[:, label:]], dim=1)
        into = torch.cat([others, pooled_image], dim=1)
        coarse.append((yield from _part(part, _logits, into, plain, total)))
    yield from _merge(local, torch.cat(coarse), arithmetic)
    return local


def _part(
    network: nn.Module,
    output: Callable[[Tensor], Tensor],
    x: Tensor,
    arithmetic: Arithmetic,
    total: float,
) -> Generator[float, None, Tensor]:
    """One U-Net of an SCN; its work is yielded as a share of the SCN's."""
    assert isinstance(network, UNet)
    share = unet_flops(network.config, size_of(x)) / total
    return (yield from scaled(unet_steps(network, output, x, arithmetic), share))


def _merge(local: Tensor, coarse: Tensor, arithmetic: Arithmetic) -> Generator[float, None, None]:
    """networks.scn.merge_by_certainty, written over `local`: (K, z, y, x) sigmoids. coarse : (K, z/4, y/4,
    x/4) spatial logits.
    """
    along_z, along_y, along_x = (
        _cubic(small, large, coarse) for small, large in zip(size_of(coarse), size_of(local), strict=True)
    )
    planes = torch.tensordot(coarse, along_z, dims=([1], [1])).movedim(-1, 1).contiguous()  # (K, z, y/4, x/4)
    for a, b in slabs(
        size_of(local), HEAD_FLOPS * local.shape[0], MERGE_VALUES * local[0].numel(), arithmetic, local.device
    ):
        spatial = (along_y @ planes[:, a:b]) @ along_x.T
        s = torch.sigmoid(spatial)
        entropy = F.softplus(spatial).addcmul_(s, spatial, value=-1).mul_(1 / math.log(2.0))
        p = torch.lerp(s, local[:, a:b], entropy)
        torch.div(p, p.sum(dim=0).add_(MERGE_EPSILON), out=local[:, a:b])
        yield 0.0


def _cubic(small: int, large: int, like: Tensor) -> Tensor:
    """The (large, small) weights of upsample_cubic along one axis."""
    identity = torch.eye(small, dtype=like.dtype, device=like.device).reshape(1, 1, 1, small, small)
    return upsample_cubic(identity, torch.Size((1, small, large)))[0, 0, 0].T.contiguous()


def unet_flops(config: UNetConfig, shape: Shape) -> float:
    """Operations of the convolutions for an input of (z, y, x), two per multiply-add."""
    width, total = config.filters, 0.0
    for level in range(config.levels):
        voxels = prod(max(1, n >> level) for n in shape)
        into = config.in_channels if level == 0 else width
        back = width if level == config.levels - 1 else 2 * width
        total += 2.0 * 27 * width * (into + back + 2 * width) * voxels
    return total + 2.0 * width * config.outputs * prod(shape)


def scn_flops(config: SCNConfig, shape: Shape) -> float:
    """Operations of the convolutions of the local and all spatial parts, two per multiply-add."""
    local = UNetConfig(config.in_channels, config.outputs, config.levels, config.filters)
    foreground = config.outputs - 1
    z, y, x = (n // POOLING for n in shape)
    total = unet_flops(local, shape)
    for label in range(config.outputs):
        channels = config.in_channels + (foreground if label == 0 else foreground - 1)
        total += unet_flops(UNetConfig(channels, 1, config.spatial_levels, config.spatial_filters), (z, y, x))
    return total
