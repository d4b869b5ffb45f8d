"""The dense U-Net of paper 4: parameters counted by hand, inputs of each convolution, one logit per
foreground label.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ctseg_models.networks.dense_unet import Convolution, DenseBlock, DenseUNet, DenseUNetConfig

TINY = DenseUNetConfig(outputs=3, filters=4, poolings=2)


def tiny() -> DenseUNet:
    torch.manual_seed(5)
    return DenseUNet(TINY).eval()


def image(*sides: int) -> Tensor:
    return torch.randn(2, 3, *sides, generator=torch.Generator().manual_seed(6))


def test_parameters_by_hand() -> None:
    """Width 2, one pooling, two convolutions; each layer is in * out * kernel + bias + BatchNorm's two."""
    contracting = (3 * 2 * 9 + 2 + 4) + (5 * 2 * 9 + 2 + 4) + (7 * 2 + 2 + 4)
    bottleneck = (2 * 4 * 9 + 4 + 8) + (6 * 4 * 9 + 4 + 8) + (10 * 4 + 4 + 8)
    upsampling = 4 * 2 * 4 + 2
    expanding = (4 * 2 * 9 + 2 + 4) + (6 * 2 * 9 + 2 + 4) + (8 * 2 + 2 + 4)
    prediction = 2 * 2 + 2
    network = DenseUNet(DenseUNetConfig(outputs=3, filters=2, convolutions=2, poolings=1))
    assert (
        sum(p.numel() for p in network.parameters())
        == contracting + bottleneck + upsampling + expanding + prediction
    )


def test_the_papers_levels() -> None:
    network, seen = DenseUNet(DenseUNetConfig()).eval(), {}
    for name, part in network.named_children():
        part.register_forward_hook(lambda _, __, out, name=name: seen.update({name: tuple(out.shape[1:])}))
    with torch.no_grad():
        network(torch.randn(1, 3, 48, 32))
    assert seen == {
        "contracting0": (32, 48, 32),
        "contracting1": (64, 24, 16),
        "contracting2": (128, 12, 8),
        "contracting3": (256, 6, 4),
        "bottleneck": (512, 3, 2),
        "expanding3": (256, 6, 4),
        "expanding2": (128, 12, 8),
        "expanding1": (64, 24, 16),
        "expanding0": (32, 48, 32),
        "prediction": (1, 48, 32),
    }


@pytest.mark.parametrize("sides", [(16, 24), (37, 50), (9, 7), (1, 5)])
def test_any_size_comes_back(sides: tuple[int, int]) -> None:
    assert (TINY.dimensions, TINY.divisor) == (2, 1)
    assert tiny()(image(*sides)).shape == (2, 2, *sides)


def test_a_convolution_of_a_dense_block_sees_all_before_it() -> None:
    block, fed, given = DenseBlock(3, 4, DenseUNetConfig(convolutions=3)).eval(), [], []
    for part in (*block.convolutions, block.transition):
        part.register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
        part.register_forward_hook(lambda _, __, out: given.append(out))
    x = image(5, 6)
    result = block(x)
    for i, seen in enumerate(fed):
        assert torch.equal(seen, torch.cat([x, *given[:i]], dim=1))
    assert [seen.shape[1] for seen in fed] == [3, 7, 11, 15]
    assert result is given[-1] and result.shape == (2, 4, 5, 6)


def test_a_convolution_by_hand() -> None:
    """1x1 picture: (3, -1) doubled is (6, -2), BatchNorm by its running (mean 2, var 4) makes (2, -2),
    leaky ReLU (2, -0.2).
    """
    part = Convolution(1, 1, 3, DenseUNetConfig()).eval()
    convolution, norm = part[0], part[1]
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    nn.init.constant_(convolution.weight, 2.0)
    nn.init.zeros_(convolution.bias)
    norm.running_mean.fill_(2.0)
    norm.running_var.fill_(4.0)
    assert part(torch.tensor([3.0, -1.0])[:, None, None, None]).flatten().tolist() == pytest.approx(
        [2.0, -0.2], abs=1e-4
    )


def test_the_skip_comes_first_and_odd_sides_lose_the_last_row() -> None:
    """An upsampling whose 2x2 kernels are all 1 repeats each pixel; on 5 x 7 the sixth row and the eighth
    column go.
    """
    network, seen = tiny(), {}
    nn.init.zeros_(network.expanding0.upsampling.bias)
    nn.init.zeros_(network.expanding0.upsampling.weight)
    for channel in range(4):
        network.expanding0.upsampling.weight.data[channel, channel] = 1.0
    network.contracting0.register_forward_hook(lambda _, __, out: seen.update(skip=out))
    network.expanding1.register_forward_hook(lambda _, __, out: seen.update(below=out))
    network.expanding0.block.register_forward_hook(lambda _, inputs, __: seen.update(joined=inputs[0]))
    network(image(5, 7))
    repeated = seen["below"][:, :4].repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(seen["joined"], torch.cat([seen["skip"], repeated[..., :5, :7]], dim=1))


def test_it_gives_logits() -> None:
    out = tiny()(image(16, 24))
    assert out.min() < 0 and out.max() > 1


def test_every_parameter_learns() -> None:
    network = tiny().train()
    network(image(19, 34)).square().mean().backward()
    assert all(
        parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters()
    )
    assert all(
        bool(parameter.grad.any())
        for name, parameter in network.named_parameters()
        if name.endswith("weight")
    )
