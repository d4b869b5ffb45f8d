"""nnU-Net's networks in slabs against the networks themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from ctseg_models.bundles.nnunet.slab_runner import NNUNet, nnunet_steps, runs_in_slabs
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.networks.nnunet_blocks import ConvStyle, UNetShape
from ctseg_models.networks.plain_conv_unet import PlainConvUNet
from ctseg_models.networks.residual_encoder_unet import ResidualEncoderUNet
from tests.models.inference.network.test_scn_slab_runner import driven

STYLE = ConvStyle(3)
# A stage without a stride and as wide as the one before, thin and long kernels, unequal strides, a first
# width that is the image's.
SHAPE = UNetShape(
    2,
    3,
    (6, 6, 9, 10),
    ((1, 3, 3), (3, 3, 3), (3, 5, 1), (7, 3, 3)),
    ((1, 1, 1), (1, 1, 1), (2, 1, 2), (3, 2, 1)),
    (2, 1, 2, 3),
    (2, 1, 1),
    STYLE,
)
SIZE = (24, 10, 14)
STYLES: dict[str, dict[str, Any]] = {
    "as usual": {},
    "batch norm, ReLU": {"norm": "batch", "slope": 0.0, "bias": False},
    "no norm": {"norm": "none"},
    "no nonlinearity": {"slope": None},
    "norm without weights": {"affine": False},
}


def made(kind: type[NNUNet], shape: UNetShape = SHAPE) -> NNUNet:
    """Random weights, and norms that change the maps."""
    torch.manual_seed(3)
    network = kind(shape)
    for module in network.modules():
        if isinstance(module, nn.InstanceNorm3d | nn.BatchNorm3d) and module.weight is not None:
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
        if isinstance(module, nn.BatchNorm3d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("style", list(STYLES))
@pytest.mark.parametrize("step_flops", [1e5, 1e12], ids=["many slabs", "one slab"])
@pytest.mark.parametrize("kind", [PlainConvUNet, ResidualEncoderUNet])
def test_slabs_give_the_logits_of_forward(kind: type[NNUNet], step_flops: float, style: str) -> None:
    network = made(kind, replace(SHAPE, style=replace(STYLE, **STYLES[style])))
    image = torch.randn(1, 2, *SIZE)
    expected = network(image)[0]
    logits, shares = driven(nnunet_steps(network, 1.0, image, Arithmetic(step_flops=step_flops)))
    assert logits.dtype == torch.float32
    assert torch.allclose(logits, expected, atol=1e-4 * float(expected.abs().max()))
    assert step_flops == 1e12 or len(shares) > 40


@pytest.mark.parametrize("kind", [PlainConvUNet, ResidualEncoderUNet])
def test_an_image_as_wide_as_the_first_stage_is_left_alone(kind: type[NNUNet]) -> None:
    network = made(kind, replace(SHAPE, in_channels=6))
    image = torch.randn(1, 6, *SIZE).contiguous(memory_format=torch.channels_last_3d)
    before = image.clone()
    first, _ = driven(nnunet_steps(network, 1.0, image, Arithmetic(step_flops=1e5)))
    assert torch.equal(image, before)
    assert torch.equal(first, driven(nnunet_steps(network, 1.0, image, Arithmetic(step_flops=1e5)))[0])


def test_half_precision_is_near() -> None:
    network = made(PlainConvUNet)
    image = torch.randn(1, 2, 48, 40, 56)
    exact, _ = driven(nnunet_steps(network, 1.0, image, Arithmetic()))
    half, _ = driven(nnunet_steps(network, 1.0, image, Arithmetic(torch.bfloat16)))
    assert float((half - exact).square().mean().sqrt()) < 0.05 * float(exact.std())
    assert not torch.equal(half, exact)


def test_the_shares_are_those_of_the_convolutions() -> None:
    network = made(PlainConvUNet)
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 2, *SIZE))
    _, shares = driven(
        nnunet_steps(network, counter.get_total_flops(), torch.zeros(1, 2, *SIZE), Arithmetic(step_flops=1e6))
    )
    assert 0.95 < sum(shares) <= 1 + 1e-9


def test_what_the_slabs_do_not_know_runs_as_it_is() -> None:
    flat = UNetShape(1, 2, (4, 4), ((3, 3), (3, 3)), ((1, 1), (2, 2)), (1, 1), (1,), ConvStyle(2))
    assert runs_in_slabs(made(PlainConvUNet))
    assert not runs_in_slabs(PlainConvUNet(flat))
    assert not runs_in_slabs(made(PlainConvUNet, replace(SHAPE, style=replace(STYLE, norm_last=True))))
    assert not runs_in_slabs(nn.Conv3d(1, 1, 3))
