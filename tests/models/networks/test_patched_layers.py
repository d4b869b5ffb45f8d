"""The patched layers: forward as torch's own, gradients as torch's own in float64, where those are right."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import DynUNet
from torch import nn

from ctseg_models.inference.network.precision import bf16_is_faster
from ctseg_models.networks.patched_layers import (
    InstanceNorm2d,
    InstanceNorm3d,
    dropout,
    is_thin,
    patch_layers,
)

HALF = pytest.mark.skipif(
    not bf16_is_faster("cpu"), reason="bfloat16 is emulated here: hundreds of times slower, and never chosen"
)
# Each was wrong under AVX512_CORE_AMX or AVX512_CORE_BF16: torch's class, channels, sides, kernel, further
# arguments.
WERE_WRONG = [
    (nn.Conv3d, (7, 9), (2, 5, 6), 3, {"padding": 1}),
    (nn.Conv3d, (7, 9), (3, 6, 7), 5, {"padding": 2}),
    (nn.Conv3d, (7, 9), (1, 5, 6), 3, {"padding": 1}),
    (nn.Conv3d, (7, 9), (1, 7, 6), 5, {"padding": 2}),
    (nn.Conv3d, (8, 8), (16, 4, 1), 3, {"padding": (1, 0, 1), "stride": (1, 1, 2)}),
    (nn.Conv3d, (8, 33), (9, 5, 4), 3, {"padding": (1, 1, 0), "stride": (1, 1, 2)}),
    (nn.Conv3d, (16, 16), (4, 5, 1), 7, {"padding": 3, "groups": 16}),
    (nn.Conv3d, (16, 16), (6, 16, 16), 7, {"padding": (3, 0, 0), "groups": 16}),
    (nn.Conv3d, (32, 2), (7, 5, 3), (1, 1, 3), {"stride": (1, 1, 2)}),
    (nn.Conv2d, (32, 33), (16, 1), 5, {"padding": 2, "stride": (1, 2)}),
    (nn.ConvTranspose3d, (33, 1), (1, 9, 7), 3, {"padding": (1, 0, 1)}),
    (nn.ConvTranspose3d, (8, 33), (16, 5, 1), 5, {"padding": (0, 0, 2), "stride": (2, 1, 2)}),
    (nn.ConvTranspose2d, (32, 32), (3, 1), 7, {"padding": (0, 3), "stride": (1, 2), "groups": 32}),
]


@HALF
@pytest.mark.parametrize("layout", ["contiguous", "channels last"])
@pytest.mark.parametrize(("kind", "channels", "sides", "kernel", "settings"), WERE_WRONG)
def test_outputs_and_gradients_of_thin_maps_under_autocast_are_right(
    kind: type[nn.Conv3d],
    channels: tuple[int, int],
    sides: tuple[int, ...],
    kernel: int,
    settings: dict[str, int],
    layout: str,
) -> None:
    torch.manual_seed(0)
    fast, exact = (
        patch_layers(kind(*channels, kernel, **settings)),
        kind(*channels, kernel, **settings).double(),
    )
    x = torch.randn(2, channels[0], *sides)
    if layout == "channels last":
        x = x.contiguous(memory_format=torch.channels_last if len(sides) == 2 else torch.channels_last_3d)
    exact.load_state_dict({name: tensor.double() for name, tensor in fast.state_dict().items()})
    results = []
    for layer in (fast, exact):
        given = x.to(next(layer.parameters()).dtype).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=layer is fast):
            made = layer(given)
        back = torch.linspace(-1, 2, made.numel(), dtype=made.dtype).reshape(made.shape)
        results.append([made.detach(), *torch.autograd.grad(made, [given, *layer.parameters()], back)])
    for got, wanted in zip(*results, strict=True):
        assert (got.double() - wanted).norm() < 0.02 * wanted.norm()


@pytest.mark.parametrize(
    ("sides", "kernel", "stride", "padding", "dilation", "transposed", "thin"),
    [
        ((3, 9), (3, 3), (1, 1), (1, 1), (1, 1), False, False),
        ((2, 9), (3, 3), (1, 1), (1, 1), (1, 1), False, True),
        ((9, 4), (3, 3), (1, 1), (1, 1), (1, 2), False, True),  # a dilated kernel reaches over 5
        ((9, 5), (3, 3), (1, 1), (1, 1), (1, 2), False, False),
        ((9, 4), (3, 3), (1, 2), (1, 1), (1, 1), False, True),  # two columns are left
        ((9, 5), (3, 3), (1, 2), (1, 1), (1, 1), False, False),  # three are left
        ((1, 1), (1, 1), (2, 2), (0, 0), (1, 1), False, False),  # a matrix product
        ((2, 9), (2, 2), (2, 2), (0, 0), (1, 1), True, False),
        ((1, 9), (2, 2), (2, 2), (0, 0), (1, 1), True, True),
        ((2, 9), (3, 3), (1, 1), (1, 1), (1, 1), True, True),  # the output has two rows
    ],
)
def test_what_counts_as_thin_by_hand(
    sides: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    transposed: bool,
    thin: bool,
) -> None:
    assert is_thin(sides, kernel, stride, padding, dilation, transposed=transposed) is thin


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 2, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_instance_norm_by_its_definition(
    batch: int, shape: tuple[int, int, int], layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    norm = InstanceNorm3d(4, affine=True).double()
    assert norm.weight is not None and norm.bias is not None
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    x = torch.randn(batch, 4, *shape, dtype=torch.float64)
    back = torch.randn_like(x)

    def by_definition(x: torch.Tensor) -> torch.Tensor:
        mean, variance = x.mean((2, 3, 4), keepdim=True), x.var((2, 3, 4), keepdim=True, correction=0)
        scaled = (x - mean) / (variance + norm.eps).sqrt()
        return scaled * norm.weight.reshape(1, -1, 1, 1, 1) + norm.bias.reshape(1, -1, 1, 1, 1)

    a, b = x.clone().contiguous(memory_format=layout).requires_grad_(), x.clone().requires_grad_()
    one, other = norm(a), by_definition(b)
    assert torch.allclose(one, other)
    one.backward(back.contiguous(memory_format=layout))
    other.backward(back)
    assert torch.allclose(a.grad, b.grad, atol=1e-10)


def test_instance_norm_of_one_voxel_is_its_bias() -> None:
    norm = InstanceNorm3d(3, affine=True)
    nn.init.constant_(norm.bias, 0.25)
    assert torch.allclose(norm(torch.rand(2, 3, 1, 1, 1)), torch.full((2, 3, 1, 1, 1), 0.25), atol=1e-4)


def test_mending_keeps_names_and_weights_and_reaches_every_layer() -> None:
    torch.manual_seed(0)
    network = DynUNet(
        3,
        1,
        2,
        kernel_size=[3, 3, 3],
        strides=[1, 2, 2],
        upsample_kernel_size=[2, 2],
        filters=[4, 8, 8],
        norm_name="instance",
    )
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    x = torch.randn(1, 1, 8, 12, 16)
    expected = network(x)
    assert patch_layers(network) is network
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not [module for module in network.modules() if type(module) in (nn.Conv3d, nn.InstanceNorm3d)]
    assert torch.allclose(network(x), expected, atol=1e-5)


def test_instance_norm_in_two_dimensions() -> None:
    x = torch.randn(3, 4, 5, 6)
    assert torch.allclose(InstanceNorm2d(4)(x), nn.InstanceNorm2d(4)(x), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_leaves_the_mean_and_scales_what_it_keeps(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = (
        torch.ones(2, 4, 16, 30, 31, dtype=dtype)
        .contiguous(memory_format=torch.channels_last_3d)
        .requires_grad_()
    )
    y = dropout(x, 0.25, True)
    kept = y != 0
    assert 0.74 < kept.float().mean() < 0.76
    assert torch.unique(y[kept]).float().tolist() == pytest.approx([4 / 3], rel=4e-3)
    y.sum().backward()
    assert x.grad is not None and torch.equal(x.grad != 0, kept)


def test_dropout_follows_the_seed_and_does_nothing_in_evaluation() -> None:
    x = torch.randn(1, 2, 3, 4, 5)
    torch.manual_seed(3)
    first = dropout(x, 0.5, True)
    torch.manual_seed(3)
    assert torch.equal(first, dropout(x, 0.5, True))
    assert dropout(x, 0.5, False) is x
    assert not dropout(x, 1.0, True).any()
