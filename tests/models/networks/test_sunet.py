"""The sU-Net of paper 1: parameters, upsampling against scipy, order of layers and concatenation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor, nn

from ctseg_models.networks.sunet import Block, SUNet, SUNetConfig

TINY = SUNetConfig(in_channels=2, outputs=3, filters=4)


def tiny() -> SUNet:
    torch.manual_seed(5)
    return SUNet(TINY).eval()


def image(*sides: int) -> Tensor:
    return torch.randn(2, 2, *sides, generator=torch.Generator().manual_seed(6))


@pytest.mark.parametrize(("outputs", "printed"), [(5, 4_836_997), (2, 4_836_802)])
def test_parameters(outputs: int, printed: int) -> None:
    assert sum(parameter.numel() for parameter in SUNet(SUNetConfig(outputs=outputs)).parameters()) == printed


def test_widths_from_top_to_bottom() -> None:
    network, widths = SUNet(SUNetConfig(filters=8)).eval(), {}
    for name, part in network.named_children():
        part.register_forward_hook(lambda _, __, out, name=name: widths.update({name: tuple(out.shape[1:])}))
    network(torch.randn(1, 1, 16, 24))
    assert widths == {
        "contracting0": (8, 16, 24),
        "contracting1": (16, 8, 12),
        "contracting2": (32, 4, 6),
        "bottom": (32, 2, 3),
        "expanding2": (32, 4, 6),
        "expanding1": (16, 8, 12),
        "expanding0": (8, 16, 24),
        "prediction": (2, 16, 24),
    }


@pytest.mark.parametrize("sides", [(16, 24), (37, 50), (9, 7), (1, 5)])
def test_any_size_comes_back(sides: tuple[int, int]) -> None:
    assert (TINY.dimensions, TINY.divisor) == (2, 1)
    assert tiny()(image(*sides)).shape == (2, 3, *sides)


def test_upsampling_aligns_corners_and_comes_before_the_skip() -> None:
    network, seen = tiny(), {}
    for name in ("bottom", "contracting2"):
        network.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: seen.update({name: out})
        )
    network.expanding2.register_forward_hook(lambda _, inputs, __: seen.update(joined=inputs[0]))
    with torch.no_grad():
        network(image(40, 57))  # 10 x 15 at level 2, 5 x 8 at the bottom
    low, joined = seen["bottom"], seen["joined"]
    assert low.shape[2:] == (5, 8) and joined.shape[2:] == (10, 15)
    at = np.meshgrid(np.linspace(0, 4, 10), np.linspace(0, 7, 15), indexing="ij")
    expected = np.stack(
        [[map_coordinates(channel, at, order=1) for channel in sample] for sample in low.numpy()]
    )
    assert joined[:, : low.shape[1]].numpy() == pytest.approx(expected, abs=1e-5)
    assert torch.equal(joined[:, low.shape[1] :], seen["contracting2"])


def test_a_block_by_hand() -> None:
    """1x1 pictures, where the kernel's centre acts alone. BatchNorm has seen mean 2, variance 4.

    (3, -1) doubled is (6, -2), ReLU (6, 0), normalised (2, -1); doubled (4, -2), ReLU (4, 0), normalised
    (1, -1).
    """
    block = Block(1, 1, dropout=0.2).eval()
    for layer in block:
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 2.0)
            nn.init.zeros_(layer.bias)
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.fill_(2.0)
            layer.running_var.fill_(4.0)
    out = block(torch.tensor([3.0, -1.0])[:, None, None, None]).flatten()
    assert out.tolist() == pytest.approx([1.0, -1.0], abs=1e-4)


def test_dropout_takes_whole_channels_and_only_in_training() -> None:
    block, x = Block(1, 50, dropout=0.2), torch.randn(8, 1, 6, 7)
    torch.manual_seed(0)
    silent = (block(x).flatten(2) == 0).float().mean(2)
    assert set(silent.unique().tolist()) == {0.0, 1.0}
    assert float(silent.mean()) == pytest.approx(0.2, abs=0.08)  # 400 channels: four standard deviations
    assert not (block.eval()(x).flatten(2) == 0).all(2).any()


def test_xavier_weights_and_zero_biases() -> None:
    network = SUNet(SUNetConfig(filters=32))
    for layer in (layer for layer in network.modules() if isinstance(layer, nn.Conv2d)):
        assert layer.bias is not None and not layer.bias.any()
        if layer.weight.numel() > 5000:
            expected = (2 / (9 * (layer.in_channels + layer.out_channels))) ** 0.5
            assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=0.05)


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
