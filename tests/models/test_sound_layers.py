"""The mended layers: forward as torch's own, gradients as torch's own in float64 (where torch's are right)."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import DynUNet
from torch import nn

from ctseg_models.networks.sound import Conv3d, InstanceNorm2d, InstanceNorm3d, dropout, mend


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kernel", [3, 5])
def test_weight_gradients_under_autocast_are_right(depth: int, kernel: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 7, depth, 5, 6).contiguous(memory_format=torch.channels_last_3d)
    conv = Conv3d(7, 9, kernel, padding=kernel // 2)
    with torch.autocast("cpu", torch.bfloat16):
        conv(x).float().square().sum().backward()
    exact = nn.Conv3d(7, 9, kernel, padding=kernel // 2).double()
    exact.load_state_dict({name: tensor.double() for name, tensor in conv.state_dict().items()})
    exact(x.double()).square().sum().backward()
    assert conv.weight.grad is not None and exact.weight.grad is not None
    error = (conv.weight.grad - exact.weight.grad).norm() / exact.weight.grad.norm()
    assert error < 0.02


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 2, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_instance_norm_by_its_definition(batch: int, shape: tuple[int, int, int], layout: torch.memory_format) -> None:
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
    network = DynUNet(3, 1, 2, kernel_size=[3, 3, 3], strides=[1, 2, 2], upsample_kernel_size=[2, 2], filters=[4, 8, 8],
                      norm_name="instance")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    x = torch.randn(1, 1, 8, 12, 16)
    expected = network(x)
    assert mend(network) is network
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not [module for module in network.modules() if type(module) in (nn.Conv3d, nn.InstanceNorm3d)]
    assert torch.allclose(network(x), expected, atol=1e-5)


def test_instance_norm_in_two_dimensions() -> None:
    x = torch.randn(3, 4, 5, 6)
    assert torch.allclose(InstanceNorm2d(4)(x), nn.InstanceNorm2d(4)(x), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_leaves_the_mean_and_scales_what_it_keeps(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones(2, 4, 16, 30, 31, dtype=dtype).contiguous(memory_format=torch.channels_last_3d).requires_grad_()
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
