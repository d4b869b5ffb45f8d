"""The networks in steps against the networks themselves."""

from __future__ import annotations

from collections.abc import Generator

import pytest
import torch

from ctseg_models.inference.stepwise import Arithmetic, steps_of
from ctseg_models.networks.scn import SCN, SCNConfig
from ctseg_models.networks.unet import UNet, UNetConfig

MANY_STEPS = Arithmetic(step_flops=2e5)


def driven(work: Generator[float, None, torch.Tensor]) -> tuple[torch.Tensor, list[float]]:
    shares = []
    while True:
        try:
            shares.append(next(work))
        except StopIteration as end:
            return end.value, shares


@pytest.mark.parametrize("norm", ["none", "instance"])
@pytest.mark.parametrize("shape", [(16, 24, 32), (21, 17, 26)])
def test_a_unet_in_steps_is_its_forward(norm: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(1)
    network = UNet(UNetConfig(outputs=3, levels=4, filters=6, norm=norm)).eval()  # type: ignore[arg-type]
    image = torch.randn(1, 1, *shape)
    expected = network(image)[0].softmax(dim=0).detach()
    maps, shares = driven(steps_of(network).steps(image, MANY_STEPS))
    assert torch.allclose(maps, expected, atol=1e-5)
    assert len(shares) > 30
    assert sum(shares) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("norm", ["none", "instance"])
def test_an_scn_in_steps_is_its_forward(norm: str) -> None:
    torch.manual_seed(2)
    network = SCN(SCNConfig(outputs=4, levels=3, filters=6, spatial_levels=2, spatial_filters=4, norm=norm)).eval()  # type: ignore[arg-type]
    image = torch.randn(1, 1, 16, 24, 32)
    expected = network(image).probabilities[0].detach()
    maps, shares = driven(steps_of(network).steps(image, MANY_STEPS))
    assert torch.allclose(maps, expected, atol=1e-5)
    assert sum(shares) == pytest.approx(1, abs=0.02)


def test_bf16_is_near_and_the_spatial_part_stays_float32() -> None:
    torch.manual_seed(3)
    network = SCN(SCNConfig(outputs=3, levels=3, filters=8, spatial_levels=2, spatial_filters=4, norm="instance")).eval()
    image = torch.randn(1, 1, 32, 24, 32)
    expected = network(image).probabilities[0].detach()
    maps, _ = driven(steps_of(network).steps(image, Arithmetic(torch.bfloat16)))
    assert maps.dtype == torch.float32
    assert 0 < (maps - expected).abs().max() < 0.1
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
