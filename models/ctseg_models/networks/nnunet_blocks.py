"""What nnU-Net's two networks share: stacked convolutions, the decoder, and weight names of its checkpoints.

After dynamic_network_architectures (Isensee et al., Apache-2.0), `simple_conv_blocks.py` and
`unet_decoder.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ctseg_models.networks.patched_layers import InstanceNorm2d, InstanceNorm3d

AxisSizes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ConvStyle:
    """How every convolution of a network is built.

    slope : of the leaky ReLU, 0 is a ReLU. norm_last : norm after the nonlinearity.
    """

    dimensions: int
    bias: bool = True
    norm: Literal["instance", "batch", "none"] = "instance"
    eps: float = 1e-5
    affine: bool = True
    slope: float | None = 0.01
    norm_last: bool = False

    def conv(
        self, channels_in: int, channels_out: int, kernel: Sequence[int], stride: Sequence[int], bias: bool
    ) -> nn.Module:
        """A convolution that keeps the size, or divides it by the stride."""
        kind: Callable[..., nn.Module] = nn.Conv2d if self.dimensions == 2 else nn.Conv3d
        return kind(
            channels_in,
            channels_out,
            tuple(kernel),
            tuple(stride),
            tuple((k - 1) // 2 for k in kernel),
            bias=bias,
        )

    def upsample(self, channels_in: int, channels_out: int, stride: Sequence[int]) -> nn.Module:
        """A transposed convolution that multiplies the size by the stride."""
        kind: Callable[..., nn.Module] = nn.ConvTranspose2d if self.dimensions == 2 else nn.ConvTranspose3d
        return kind(channels_in, channels_out, tuple(stride), tuple(stride), bias=self.bias)

    def norm_layer(self, channels: int) -> nn.Module:
        """The normalisation layer for `channels`."""
        if self.norm == "none":
            return nn.Identity()
        if self.norm == "batch":
            batch = nn.BatchNorm2d if self.dimensions == 2 else nn.BatchNorm3d
            return batch(channels, eps=self.eps, affine=self.affine)
        instance = InstanceNorm2d if self.dimensions == 2 else InstanceNorm3d
        return instance(channels, eps=self.eps, affine=self.affine)

    def nonlinearity(self) -> nn.Module:
        """A leaky ReLU, a ReLU, or nothing; in place."""
        if self.slope is None:
            return nn.Identity()
        return nn.ReLU(inplace=True) if self.slope == 0 else nn.LeakyReLU(self.slope, inplace=True)


@dataclass(frozen=True)
class UNetShape:
    """The configuration of both networks; sizes are ([z,] y, x).

    features, kernels, strides (the first all 1) and convs (of the encoder: convolutions or residual blocks)
    have one entry a stage, finest first; decoder_convs has one entry a step up, coarsest first. Raises
    ValueError, worded as a part of a sentence, for a shape that cannot be built.
    """

    in_channels: int
    outputs: int
    features: tuple[int, ...]
    kernels: AxisSizes
    strides: AxisSizes
    convs: tuple[int, ...]
    decoder_convs: tuple[int, ...]
    style: ConvStyle

    def __post_init__(self) -> None:
        stages = len(self.features)
        counts = [len(self.kernels), len(self.strides), len(self.convs), len(self.decoder_convs) + 1]
        if stages < 2 or any(count != stages for count in counts):
            raise ValueError(
                f"{stages} stages go with as many kernels, strides and numbers of convolutions, and one "
                "fewer in the decoder"
            )
        if any(
            len(size) != self.style.dimensions or min(size) < 1 for size in (*self.kernels, *self.strides)
        ):
            raise ValueError(f"kernels and strides need {self.style.dimensions} numbers of 1 or more each")
        if any(step != 1 for step in self.strides[0]):
            raise ValueError("the first stage has to work at full resolution")
        if any(k % 2 == 0 for kernel in self.kernels for k in kernel):
            raise ValueError("kernels have to be odd")
        if min(self.in_channels, self.outputs, *self.features, *self.convs, *self.decoder_convs) < 1:
            raise ValueError("channels, features and numbers of convolutions have to be 1 or more")


class ConvNormAct(nn.Module):
    """Convolution, norm, nonlinearity (or the last two the other way round)."""

    def __init__(
        self,
        style: ConvStyle,
        channels_in: int,
        channels_out: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        *,
        bias: bool | None = None,
        active: bool = True,
    ) -> None:
        super().__init__()
        self.conv = style.conv(
            channels_in, channels_out, kernel, stride, style.bias if bias is None else bias
        )
        self.norm = style.norm_layer(channels_out)
        self.nonlin = style.nonlinearity() if active else nn.Identity()
        self.norm_last = style.norm_last

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        result: Tensor = self.norm(self.nonlin(x)) if self.norm_last else self.nonlin(self.norm(x))
        return result


def in_a_row(
    block: Callable[..., nn.Module],
    style: ConvStyle,
    count: int,
    channels_in: int,
    channels_out: int,
    kernel: Sequence[int],
    stride: Sequence[int],
) -> nn.Sequential:
    """`count` of block(style, channels_in, channels_out, kernel, stride); the first has the stride."""
    ones = (1,) * style.dimensions
    first = block(style, channels_in, channels_out, kernel, stride)
    others = (block(style, channels_out, channels_out, kernel, ones) for _ in range(count - 1))
    return nn.Sequential(first, *others)


class StackedConvs(nn.Module):
    """Several convolutions in a row; the first has the stride."""

    def __init__(
        self,
        style: ConvStyle,
        count: int,
        channels_in: int,
        channels_out: int,
        kernel: Sequence[int],
        stride: Sequence[int],
    ) -> None:
        super().__init__()
        self.convs = in_a_row(ConvNormAct, style, count, channels_in, channels_out, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.convs(x)
        return result


class StagedEncoder(nn.Module):
    """Stages one after another, which a subclass makes."""

    stages: nn.Sequential

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, [Z,] Y, X) to the map of every stage, finest first."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class UNetDecoder(nn.Module):
    """From the coarsest map upwards.

    The heads of coarser stages (deep supervision) hold weights that inference does not use.
    """

    def __init__(self, shape: UNetShape) -> None:
        super().__init__()
        style, ones = shape.style, (1,) * shape.style.dimensions
        transpconvs, stages, heads = [], [], []
        for step, count in enumerate(shape.decoder_convs, start=1):
            below, here = shape.features[-step], shape.features[-step - 1]
            transpconvs.append(style.upsample(below, here, shape.strides[-step]))
            stages.append(StackedConvs(style, count, 2 * here, here, shape.kernels[-step - 1], ones))
            heads.append(style.conv(here, shape.outputs, ones, ones, bias=True))
        self.stages = nn.ModuleList(stages)
        self.transpconvs = nn.ModuleList(transpconvs)
        self.seg_layers = nn.ModuleList(heads)

    def forward(self, skips: list[Tensor]) -> Tensor:
        """The maps of the encoder to logits. skips : finest first, the coarsest map last; emptied to free
        each early.
        """
        x = skips.pop()
        for up, stage in zip(self.transpconvs, self.stages, strict=True):
            x = stage(torch.cat((up(x), skips.pop()), dim=1))
        logits: Tensor = self.seg_layers[-1](x)
        return logits


WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")


def without_wrappers(name: str) -> str:
    """A weight's name without the prefixes of data-parallel and compiled networks."""
    return WRAPPERS.sub("", name)


def own_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's `network_weights` with each tensor once.

    Left out are the second names from the modules' own lists, and the prefixes of data-parallel and compiled
    networks.
    """
    stripped = {without_wrappers(name): tensor for name, tensor in weights.items()}
    return {
        name: tensor
        for name, tensor in stripped.items()
        if ".all_modules." not in name and not name.startswith("decoder.encoder.")
    }
