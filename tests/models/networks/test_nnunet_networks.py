"""nnU-Net's networks against the same written out operation by operation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ctseg_models.networks.nnunet_blocks import ConvStyle, UNetShape, own_names
from ctseg_models.networks.plain_conv_unet import PlainConvUNet
from ctseg_models.networks.residual_encoder_unet import ResidualEncoderUNet
from ctseg_models.vetting.checkpoint import load_checkpoint

KERNELS = ((1, 3, 3), (3, 3, 3), (3, 1, 5))
STRIDES = ((1, 1, 1), (1, 2, 2), (2, 1, 2))
IMAGE = (6, 8, 12)  # multiples of 2, 2, 4


class Reference:
    """Every layer by its name in the state dict, in the order in which dynamic_network_architectures
    applies them.
    """

    def __init__(self, weights: dict[str, Tensor], shape: UNetShape) -> None:
        self.weights, self.shape, self.style = weights, shape, shape.style
        self.flat = shape.style.dimensions == 2

    def conv(self, name: str, x: Tensor, stride: tuple[int, ...]) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias")
        padding = [(k - 1) // 2 for k in weight.shape[2:]]
        return (F.conv2d if self.flat else F.conv3d)(x, weight, bias, stride, padding)

    def block(self, name: str, x: Tensor, stride: tuple[int, ...], active: bool = True) -> Tensor:
        x = self.conv(f"{name}.conv", x, stride)
        if active and self.style.norm_last:
            return self.norm(f"{name}.norm", self.nonlin(x))
        x = self.norm(f"{name}.norm", x)
        return self.nonlin(x) if active else x

    def norm(self, name: str, x: Tensor) -> Tensor:
        if self.style.norm == "none":
            return x
        scale, shift = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        ones = [1] * (x.ndim - 2)
        if self.style.norm == "batch":
            mean, variance = (
                self.weights[f"{name}.running_{which}"].reshape(1, -1, *ones) for which in ("mean", "var")
            )
        else:
            axes = tuple(range(2, x.ndim))
            mean, variance = x.mean(axes, keepdim=True), x.var(axes, unbiased=False, keepdim=True)
        return (x - mean) / torch.sqrt(variance + self.style.eps) * scale.reshape(
            1, -1, *ones
        ) + shift.reshape(1, -1, *ones)

    def nonlin(self, x: Tensor) -> Tensor:
        return x if self.style.slope is None else torch.where(x > 0, x, x * self.style.slope)

    def residual(self, name: str, x: Tensor, stride: tuple[int, ...]) -> Tensor:
        ones = (1,) * self.style.dimensions
        shortcut = x
        if any(step > 1 for step in stride):
            shortcut = (F.avg_pool2d if self.flat else F.avg_pool3d)(shortcut, stride, stride)
        for number in (0, 1):
            if f"{name}.skip.{number}.conv.weight" in self.weights:
                shortcut = self.block(f"{name}.skip.{number}", shortcut, ones, active=False)
        x = self.block(f"{name}.conv1", x, stride)
        return self.nonlin(self.block(f"{name}.conv2", x, ones, active=False) + shortcut)

    def __call__(self, x: Tensor, residual: bool) -> Tensor:
        ones, skips = (1,) * self.style.dimensions, []
        if residual:
            x = self.block("encoder.stem.convs.0", x, ones)
        for stage, (stride, count) in enumerate(zip(self.shape.strides, self.shape.convs, strict=True)):
            for number in range(count):
                step = ones if number else stride
                if residual:
                    x = self.residual(f"encoder.stages.{stage}.blocks.{number}", x, step)
                else:
                    x = self.block(f"encoder.stages.{stage}.0.convs.{number}", x, step)
            skips.append(x)
        for up, count in enumerate(self.shape.decoder_convs):
            name, stride = f"decoder.transpconvs.{up}", self.shape.strides[-1 - up]
            x = (F.conv_transpose2d if self.flat else F.conv_transpose3d)(
                x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"), stride
            )
            x = torch.cat([x, skips[-2 - up]], dim=1)
            for number in range(count):
                x = self.block(f"decoder.stages.{up}.convs.{number}", x, ones)
        return self.conv(f"decoder.seg_layers.{len(self.shape.decoder_convs) - 1}", x, ones)


STYLES = [
    ConvStyle(3),
    ConvStyle(3, bias=False, norm="batch", slope=0.0, eps=1e-3),
    ConvStyle(3, slope=0.2, norm_last=True),
    ConvStyle(3, norm="none"),
    ConvStyle(2),
    ConvStyle(2, bias=False, norm="batch"),
]


@pytest.mark.parametrize("kind", [PlainConvUNet, ResidualEncoderUNet])
@pytest.mark.parametrize(
    "style", STYLES, ids=["usual", "batch norm", "norm last", "no norm", "2d", "2d batch norm"]
)
def test_every_operation_in_its_place(
    kind: type[PlainConvUNet] | type[ResidualEncoderUNet], style: ConvStyle
) -> None:
    torch.manual_seed(2)
    cut = 3 - style.dimensions
    shape = UNetShape(
        2,
        3,
        (4, 6, 6),
        tuple(k[cut:] for k in KERNELS),
        tuple(s[cut:] for s in STRIDES),
        (1, 2, 3),
        (2, 1),
        style,
    )
    network = kind(shape).eval().requires_grad_(False)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(
                torch.rand(tensor.shape) + 0.5 if tensor.ndim == 1 else torch.randn(tensor.shape) * 0.3
            )
    x = torch.randn(2, 2, *IMAGE[cut:])
    expected = Reference(network.state_dict(), shape)(x, kind is ResidualEncoderUNet)
    assert expected.shape == (2, 3, *IMAGE[cut:])
    for given in (x, x.contiguous(memory_format=torch.channels_last if cut else torch.channels_last_3d)):
        torch.testing.assert_close(network(given), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_each_tensor_of_a_checkpoint_is_used_once(prefix: str, shared_file: Callable[[str], Path]) -> None:
    path = next(shared_file("oracles/nnunet/plain_aniso").rglob("fold_1/checkpoint_final.pth"))
    weights = load_checkpoint(path)["network_weights"]
    own = own_names({prefix + name: tensor for name, tensor in weights.items()})
    assert (len(weights), len(own)) == (136, 48)
    assert len({tensor.data_ptr() for tensor in own.values()}) == 48


def test_what_cannot_be_built_is_an_error_with_the_reason() -> None:
    style = ConvStyle(3)
    kernels, strides = ((3, 3, 3),) * 2, ((1, 1, 1), (2, 2, 2))
    wrong: list[tuple[Any, str]] = [
        ((1, 2, (4, 8), kernels[:1], strides, (1, 1), (1,)), "as many kernels"),
        ((1, 2, (4, 8), ((3, 3),) * 2, strides, (1, 1), (1,)), "3 numbers"),
        ((1, 2, (4, 8), kernels, strides[::-1], (1, 1), (1,)), "full resolution"),
        ((1, 2, (4, 8), ((2, 3, 3),) * 2, strides, (1, 1), (1,)), "odd"),
        ((1, 2, (4, 0), kernels, strides, (1, 1), (1,)), "1 or more"),
    ]
    for shape, message in wrong:
        with pytest.raises(ValueError, match=message):
            UNetShape(*(*shape, style))
