"""The mixed-scale dense network of paper 3 (after Pelt & Sethian 2017), 2D and 3D.

Its memory grows linearly with depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

NORM_EPSILON = 1e-5
DEPTHS = {2: 100, 3: 30}


@dataclass(frozen=True)
class MSDNetConfig:
    """outputs counts the background. depth None is the paper's: 100 layers in 2D, 30 in 3D.

    Any image size works: divisor is 1.
    """

    in_channels: int = 1
    outputs: int = 2
    dimensions: int = 3
    depth: int | None = None
    width: int = 1
    dilations: int = 10
    negative_slope: float = 0.01

    @property
    def layers(self) -> int:
        """The number of dense layers."""
        return DEPTHS[self.dimensions] if self.depth is None else self.depth

    @property
    def divisor(self) -> int:
        """The sides of an image have to be multiples of this."""
        return 1


class MSDNet(nn.Module):
    """(B, C, [Z,] Y, X) image to (B, outputs, [Z,] Y, X) logits.

    Layer i: 3x3(x3) convolution with dilation 1 + (i mod dilations) over the image and all earlier maps,
    reflected at the border, instance norm, leaky ReLU, `width` new maps. Head: 1x1(x1) over the image and all
    maps. A side shorter than the dilation is reflected repeatedly, as in numpy.pad. The maps are float32 also
    under autocast: a sum over a hundred maps would lose what the last ones add. There are no second
    derivatives. Source: paper 3, "Network architectures"; Pelt & Sethian, PNAS 2018, eq. 1-3.
    """

    def __init__(self, config: MSDNetConfig) -> None:
        super().__init__()
        self.config = config
        sources = [config.in_channels + layer * config.width for layer in range(config.layers + 1)]
        self.kernels = nn.ParameterList(
            torch.empty(config.width, count, *[3] * config.dimensions) for count in sources[:-1]
        )
        self.scales = nn.ParameterList(torch.ones(config.width) for _ in range(config.layers))
        self.offsets = nn.ParameterList(torch.zeros(config.width) for _ in range(config.layers))
        self.prediction = (nn.Conv2d if config.dimensions == 2 else nn.Conv3d)(sources[-1], config.outputs, 1)
        for kernel in (*self.kernels, self.prediction.weight):
            nn.init.kaiming_normal_(kernel, a=config.negative_slope)
        nn.init.constant_(self.prediction.get_parameter("bias"), 0.0)

    def forward(self, image: Tensor) -> Tensor:
        with torch.autocast(image.device.type, enabled=False):
            image = image.to(self.prediction.weight.dtype)
            maps: Tensor = DenseMaps.apply(
                image,
                self.config.dilations,
                self.config.negative_slope,  # type: ignore[no-untyped-call]
                *self.kernels,
                *self.scales,
                *self.offsets,
            )
            return self.prediction(maps)  # type: ignore[no-any-return]


class DenseMaps(torch.autograd.Function):
    """The image and the maps of all layers in one (B, C + depth * width, ...) buffer, all that backward
    keeps.

    The backward pass computes each layer's convolution a second time, from the maps in the buffer.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, dilations: int, slope: float, *parameters: Tensor) -> Tensor:
        kernels, scales, offsets = _thirds(parameters)
        width = len(kernels[0])
        maps = image.new_empty(len(image), image.shape[1] + len(kernels) * width, *image.shape[2:])
        maps[:, : image.shape[1]] = image
        for layer, kernel in enumerate(kernels):
            sources = kernel.shape[1]
            normalised, _ = _instance_norm(
                dilated_convolution(maps[:, :sources], kernel, 1 + layer % dilations)
            )
            active = _as_channels(offsets[layer], maps).addcmul(_as_channels(scales[layer], maps), normalised)
            maps[:, sources : sources + width] = F.leaky_relu_(active, slope)
        ctx.save_for_backward(maps, *parameters)
        ctx.dilations, ctx.slope = dilations, slope
        return maps

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        maps, *parameters = ctx.saved_tensors
        kernels, scales, _ = _thirds(parameters)
        gradient = gradient.clone(
            memory_format=torch.contiguous_format
        )  # each layer adds its gradient to its sources'
        of_parameters: list[Tensor] = [torch.empty_like(parameter) for parameter in parameters]
        of_kernels, of_scales, of_offsets = _thirds(of_parameters)
        space = tuple(range(2, maps.ndim))
        with torch.autocast(maps.device.type, enabled=False):
            for layer, kernel in reversed(list(enumerate(kernels))):
                sources, dilation = kernel.shape[1], 1 + layer % ctx.dilations
                own = slice(sources, sources + len(kernel))
                normalised, inverse_deviation = _instance_norm(
                    dilated_convolution(maps[:, :sources], kernel, dilation)
                )
                of_active = torch.where(maps[:, own] > 0, gradient[:, own], gradient[:, own] * ctx.slope)
                shared = (of_active * normalised).mean(space, keepdim=True)
                of_convolved = of_active - of_active.mean(space, keepdim=True) - normalised * shared
                of_convolved *= inverse_deviation * _as_channels(scales[layer], maps)
                of_scales[layer].copy_((of_active * normalised).sum((0, *space)))
                of_offsets[layer].copy_(of_active.sum((0, *space)))
                of_kernels[layer].copy_(
                    convolution_backward(
                        of_convolved, maps[:, :sources], kernel, dilation, gradient[:, :sources]
                    )
                )
        of_image = gradient[:, : kernels[0].shape[1]] if ctx.needs_input_grad[0] else None
        return of_image, None, None, *of_parameters


def dilated_convolution(maps: Tensor, kernel: Tensor, dilation: int) -> Tensor:
    """(B, C, [Z,] Y, X) maps and a (width, C, [3,] 3, 3) kernel to (B, width, [Z,] Y, X); dilated, reflected
    borders.

    All 3^dimensions taps are applied as one matrix product over the channels; the products are then shifted
    and added. So the sources, whose number grows with each layer, are read once and neither padded nor
    copied.
    """
    dimensions = kernel.ndim - 2
    products = torch.matmul(_as_matrix(kernel), maps.flatten(2))
    products = products.view(len(maps), *kernel.shape[2:], len(kernel), *maps.shape[2:])
    for axis in range(
        -dimensions, 0
    ):  # dimension 1 always holds the taps along the first axis that is not yet summed
        total = products.select(1, 1).clone()
        _add_shifted(total, products.select(1, 0), axis, -dilation)
        _add_shifted(total, products.select(1, 2), axis, dilation)
        products = total
    return products


def convolution_backward(
    of_output: Tensor, maps: Tensor, kernel: Tensor, dilation: int, of_maps: Tensor
) -> Tensor:
    """The gradient of `dilated_convolution` by its kernel; that by its maps is added to `of_maps`."""
    dimensions = kernel.ndim - 2
    products = of_output
    for axis in reversed(
        range(-dimensions, 0)
    ):  # the forward pass in reverse: every tap gets its own copy, shifted back
        spread = torch.stack([torch.zeros_like(products), products, torch.zeros_like(products)], dim=1)
        _add_shifted_back(spread.select(1, 0), products, axis, -dilation)
        _add_shifted_back(spread.select(1, 2), products, axis, dilation)
        products = spread
    products = products.flatten(-dimensions).flatten(1, -2)
    of_maps.flatten(2).baddbmm_(_as_matrix(kernel).T.expand(len(maps), -1, -1), products)
    of_matrix = torch.matmul(products, maps.flatten(2).mT).sum(0)
    return of_matrix.view(*kernel.shape[2:], *kernel.shape[:2]).permute(
        dimensions, dimensions + 1, *range(dimensions)
    )


def _as_matrix(kernel: Tensor) -> Tensor:
    """(width, C, [3,] 3, 3) to (taps * width, C)."""
    return kernel.permute(*range(2, kernel.ndim), 0, 1).reshape(-1, kernel.shape[1])


def _add_shifted(total: Tensor, source: Tensor, axis: int, shift: int) -> None:
    """total[x] += source[x + shift] along one axis, in place, x + shift reflected where it lies outside."""
    size = source.shape[axis]
    inside = max(size - abs(shift), 0)
    here, there = min(max(-shift, 0), size), min(max(shift, 0), size)
    total.narrow(axis, here, inside).add_(source.narrow(axis, there, inside))
    border = total.narrow(axis, inside if shift > 0 else 0, size - inside)
    border.add_(source.index_select(axis, _beyond(size, shift, source.device)))


def _add_shifted_back(total: Tensor, source: Tensor, axis: int, shift: int) -> None:
    """The adjoint of `_add_shifted`: total[x + shift] += source[x]."""
    size = source.shape[axis]
    inside = max(size - abs(shift), 0)
    here, there = min(max(-shift, 0), size), min(max(shift, 0), size)
    total.narrow(axis, there, inside).add_(source.narrow(axis, here, inside))
    border = source.narrow(axis, inside if shift > 0 else 0, size - inside)
    total.index_add_(axis, _beyond(size, shift, source.device), border)


def _beyond(size: int, shift: int, device: torch.device) -> Tensor:
    """x + shift where it lies outside an axis of `size` voxels, reflected at the outermost centres
    repeatedly.
    """
    first = max(size - shift, 0) if shift > 0 else 0
    position = torch.arange(first, first + min(abs(shift), size), device=device) + shift
    period = max(2 * (size - 1), 1)  # a single voxel is its own reflection
    position = position.remainder(period)
    return torch.minimum(position, period - position)


def _instance_norm(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Each map of each sample with mean 0 and variance 1, and the factor (B, width, 1, ...); one voxel gives
    0.
    """
    variance, mean = torch.var_mean(maps, dim=tuple(range(2, maps.ndim)), correction=0, keepdim=True)
    inverse_deviation = torch.rsqrt(variance + NORM_EPSILON)
    return (maps - mean) * inverse_deviation, inverse_deviation


def _as_channels(values: Tensor, maps: Tensor) -> Tensor:
    """(width,) to (width, 1, ...), which broadcasts over samples and space."""
    return values.view(-1, *[1] * (maps.ndim - 2))


def _thirds(parameters: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]]:
    """Kernels, scales and offsets from the flat sequence that autograd requires."""
    layers = len(parameters) // 3
    return parameters[:layers], parameters[layers : 2 * layers], parameters[2 * layers :]
