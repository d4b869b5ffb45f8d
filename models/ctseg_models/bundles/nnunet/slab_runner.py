"""nnU-Net's 3D networks, run in slabs along z; a layer overwrites the one before it where it fits.

The logits equal those of the network's own `forward`, to rounding; a test compares them.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from math import prod
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctseg_imaging.geometry import Shape
from ctseg_imaging.progress import scaled
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.inference.network.convolution import convolved
from ctseg_models.inference.network.feature_map import ConvolutionInput, FeatureMap, head, pooled
from ctseg_models.networks.nnunet_blocks import ConvNormAct, StackedConvs, UNetDecoder
from ctseg_models.networks.plain_conv_unet import PlainConvUNet
from ctseg_models.networks.residual_encoder_unet import BasicBlockD, ResidualEncoderUNet, ResidualStage

NNUNet = PlainConvUNet | ResidualEncoderUNet
LARGEST_KERNEL = 9  # along z: half of it is the minimum of a slab's slices
SlabSteps = Generator[float, None, FeatureMap]


def runs_in_slabs(network: nn.Module) -> TypeGuard[NNUNet]:
    """Whether `nnunet_steps` can run it: 3D, with the nonlinearity after the norm."""
    if not isinstance(network, PlainConvUNet | ResidualEncoderUNet):
        return False
    style = network.shape.style
    return (
        style.dimensions == 3
        and not style.norm_last
        and max(kernel[0] for kernel in network.shape.kernels) <= LARGEST_KERNEL
    )


def nnunet_steps(
    network: NNUNet, flops: float, x: Tensor, arithmetic: Arithmetic
) -> Generator[float, None, Tensor]:
    """(1, C, z, y, x) to (outputs, z, y, x) float32 logits. flops : of the whole, two per multiply-add.

    Yields the share of the work since the last yield.
    """
    return (yield from scaled(_logits(network, x, arithmetic), 1 / max(1.0, flops)))


def _logits(network: NNUNet, x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
    skips: list[FeatureMap] = []
    feature = FeatureMap(x, ours=False)
    if isinstance(network, ResidualEncoderUNet):
        feature = yield from _stacked(network.encoder.stem, [feature], arithmetic)
    for number, stage in enumerate(network.encoder.stages):
        feature = yield from _stage(stage, feature, arithmetic, keep=number > 0)
        skips.append(feature)
    decoder = network.decoder
    assert isinstance(decoder, UNetDecoder)
    feature = skips.pop()
    for up, stage in zip(decoder.transpconvs, decoder.stages, strict=True):
        assert isinstance(up, nn.ConvTranspose3d)
        assert isinstance(stage, StackedConvs)
        feature = yield from _stacked(stage, [TransposedConvolution(up, feature), skips.pop()], arithmetic)
    last = decoder.seg_layers[-1]
    assert isinstance(last, nn.Conv3d)
    return (yield from head(last, feature, _as_it_is, arithmetic))


def _as_it_is(logits: Tensor) -> Tensor:
    return logits


def _stage(stage: nn.Module, source: FeatureMap, arithmetic: Arithmetic, *, keep: bool) -> SlabSteps:
    """A stage of an encoder. keep : `source` is still needed."""
    if isinstance(stage, ResidualStage):
        for block in stage.blocks:
            assert isinstance(block, BasicBlockD)
            source = yield from _residual(block, source, arithmetic)
        return source
    assert isinstance(stage, nn.Sequential)  # nnU-Net wraps the convolutions of a plain stage
    for stacked in stage:
        assert isinstance(stacked, StackedConvs)
        source = yield from _stacked(stacked, [source], arithmetic, keep=keep)
        keep = False
    return source


def _stacked(
    stacked: StackedConvs, sources: list[ConvolutionInput], arithmetic: Arithmetic, *, keep: bool = False
) -> SlabSteps:
    """Convolutions in a row. keep : the input of the first is still needed."""
    for layer in stacked.convs:
        assert isinstance(layer, ConvNormAct)
        feature = yield from _layer(layer, sources, arithmetic, keep=keep)
        sources, keep = [feature], False
    return feature


def _layer(
    layer: ConvNormAct, sources: list[ConvolutionInput], arithmetic: Arithmetic, *, keep: bool
) -> SlabSteps:
    assert isinstance(layer.conv, nn.Conv3d)
    return (
        yield from convolved(layer.conv, layer.norm, _slope(layer.nonlin), sources, arithmetic, keep=keep)
    )


def _slope(nonlinearity: nn.Module) -> float | None:
    """The slope of the nonlinearity as a leaky ReLU."""
    if isinstance(nonlinearity, nn.LeakyReLU):
        return nonlinearity.negative_slope
    return 0.0 if isinstance(nonlinearity, nn.ReLU) else None


def _residual(block: BasicBlockD, source: FeatureMap, arithmetic: Arithmetic) -> SlabSteps:
    """Both convolutions, with the shortcut added when the sum is read.

    `source` is not overwritten: it may be the shortcut itself.
    """
    shortcut = source
    for part in block.skip:
        if isinstance(part, nn.AvgPool3d):
            shortcut = yield from pooled(shortcut, arithmetic, _three(part.kernel_size))
        else:
            assert isinstance(part, ConvNormAct)
            shortcut = yield from _layer(part, [shortcut], arithmetic, keep=True)
    feature = yield from _layer(block.conv1, [source], arithmetic, keep=True)
    feature = yield from _layer(block.conv2, [feature], arithmetic, keep=False)
    return FeatureMap(feature.x, ours=True, finish=Joined(feature, shortcut, _slope(block.nonlin2)))


def _three(size: int | tuple[int, ...]) -> Shape:
    z, y, x = (size,) * 3 if isinstance(size, int) else size
    return z, y, x


@dataclass(frozen=True, eq=False)
class Joined:
    """A Finish for `feature`, which has the same buffer: its own, then the shortcut added, then the leaky
    ReLU.
    """

    feature: FeatureMap
    shortcut: FeatureMap
    slope: float | None

    def __call__(self, slab: Tensor, low: int, high: int) -> None:
        self.feature.slices(low, high)
        slab.add_(self.shortcut.slices(low, high, slab.dtype))
        if self.slope is not None:
            F.leaky_relu_(slab, self.slope)


class TransposedConvolution:
    """A transposed convolution whose kernel is its stride, so every voxel becomes a block; computed slice by
    slice.
    """

    def __init__(self, conv: nn.ConvTranspose3d, source: FeatureMap) -> None:
        self.conv, self.source, self.channels = conv, source, conv.out_channels
        self.step = _three(conv.stride)
        z, y, x = (n * step for n, step in zip(source.size, self.step, strict=True))
        self.size: Shape = (z, y, x)

    def slices(self, low: int, high: int, dtype: torch.dtype) -> Tensor:
        """Slices [low, high): (1, C, high - low, y, x), channels last."""
        step = self.step[0]
        first, end = low // step, -(-high // step)
        fine = self.blocks(self.source.slices(first, end, dtype)[0].movedim(0, -1))
        return fine[low - first * step : high - first * step].movedim(-1, 0)[None]

    def blocks(self, coarse: Tensor) -> Tensor:
        """(z, y, x, C) with every voxel spread out to its block, both contiguous."""
        (sz, sy, sx), (z, y, x, channels) = self.step, coarse.shape
        matrix = (
            self.conv.weight.permute(0, 2, 3, 4, 1).reshape(channels, -1).to(coarse)
        )  # (C, block and channels of the output)
        rows = coarse.reshape(-1, channels)
        if self.conv.bias is None:
            made = rows @ matrix
        else:
            made = torch.addmm(
                self.conv.bias.to(coarse).expand(prod(self.step), -1).reshape(-1), rows, matrix
            )
        return (
            made.view(z, y, x, sz, sy, sx, -1)
            .permute(0, 3, 1, 4, 2, 5, 6)
            .reshape(z * sz, y * sy, x * sx, -1)
        )
