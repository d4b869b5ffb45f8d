"""3D convolutions that call oneDNN explicitly."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from ctseg_imaging.geometry import Shape
from ctseg_models.networks.patched_layers import is_thin

ONE = (1, 1, 1)
Slope = float | None  # of a leaky ReLU; None: there is none


def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    padding: Shape = (1, 1, 1),
    slope: Slope = None,
    stride: Shape = ONE,
) -> Tensor:
    """F.conv3d, and a leaky ReLU unless `slope` is None. A thin map is computed in float32: see
    `patched_layers`.

    On the processor oneDNN is called explicitly: left to choose, torch takes a loop that is ten times slower
    for 16 channels and fewer.
    """
    if _is_thin_half(x, weight, padding, stride):
        return conv3d(
            x.float(), weight.float(), None if bias is None else bias.float(), padding, slope, stride
        ).to(x.dtype)
    if x.device.type == "cpu" and onednn_takes(x.dtype):
        if slope is None:
            return torch.mkldnn_convolution(x, weight, bias, padding, stride, ONE, 1)
        fused: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, weight, bias, padding, stride, ONE, 1, "leaky_relu", [slope], ""
        )
        return fused
    y = F.conv3d(x, weight, bias, stride, padding)
    return y if slope is None else F.leaky_relu_(y, slope)


def add_conv3d(y: Tensor, x: Tensor, weight: Tensor, padding: Shape, stride: Shape = ONE) -> Tensor:
    """y + conv3d(x), written over y: a convolution of cat([a, b], 1) without the cat."""
    if _is_thin_half(x, weight, padding, stride):
        return y.add_(conv3d(x, weight, None, padding, None, stride))
    if x.device.type == "cpu" and onednn_takes(x.dtype):
        total: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
            y, x, weight, None, padding, stride, ONE, 1, "add", 1.0, None, [], None
        )
        return total
    return y.add_(F.conv3d(x, weight, None, stride, padding))


def _is_thin_half(x: Tensor, weight: Tensor, padding: Shape, stride: Shape) -> bool:
    half = x.dtype in (torch.bfloat16, torch.float16)
    return half and x.device.type == "cpu" and is_thin(x.shape[2:], weight.shape[2:], stride, padding, ONE)


@cache
def onednn_takes(dtype: torch.dtype) -> bool:
    """Whether this torch has oneDNN, and the processor supports it for `dtype`."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype == torch.float32 or (
        dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
