"""The networks in slabs against the networks themselves."""

from __future__ import annotations

from collections.abc import Generator

import pytest
import torch
from torch.nn import functional as F

from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.inference.network.feature_map import FeatureMap, Upsampled
from ctseg_models.inference.network.scn_slab_runner import steps_of
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
    network = SCN(
        SCNConfig(outputs=4, levels=3, filters=6, spatial_levels=2, spatial_filters=4, norm=norm)
    ).eval()  # type: ignore[arg-type]
    image = torch.randn(1, 1, 16, 24, 32)
    expected = network(image).probabilities[0].detach()
    maps, shares = driven(steps_of(network).steps(image, MANY_STEPS))
    assert torch.allclose(maps, expected, atol=1e-5)
    assert sum(shares) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("norm", ["none", "instance"])
def test_the_image_is_left_alone_where_a_layer_could_write_over_it(norm: str) -> None:
    torch.manual_seed(4)
    network = UNet(UNetConfig(in_channels=6, outputs=2, levels=2, filters=6, norm=norm)).eval()  # type: ignore[arg-type]
    image = torch.randn(1, 6, 9, 10, 14).contiguous(memory_format=torch.channels_last_3d)
    before = image.clone()
    first, _ = driven(steps_of(network).steps(image, MANY_STEPS))
    assert torch.equal(image, before)
    assert torch.equal(first, driven(steps_of(network).steps(image, MANY_STEPS))[0])


def test_the_statistics_of_slabs_are_those_of_the_whole_even_far_from_zero() -> None:
    torch.manual_seed(5)
    network = UNet(UNetConfig(outputs=2, levels=1, filters=6, norm="instance")).eval()
    image = torch.randn(1, 1, 20, 8, 9)
    image[:, :, 10:] += 30  # the mean of one slab is not that of another
    expected = network(image)[0].softmax(dim=0).detach()
    assert torch.allclose(driven(steps_of(network).steps(image, MANY_STEPS))[0], expected, atol=1e-5)


@pytest.mark.parametrize("size", [(4, 6, 10), (5, 6, 9), (4, 7, 10), (3, 3, 7)])
def test_upsampling_slice_by_slice_is_torchs(size: tuple[int, int, int]) -> None:
    small = torch.randn(1, 4, 2, 3, 5).contiguous(memory_format=torch.channels_last_3d)
    expected = F.interpolate(small, size=size, mode="trilinear", align_corners=False)
    upsampled = Upsampled(FeatureMap(small, ours=True), size)
    pieces = [upsampled.slices(low, min(low + 2, size[0]), torch.float32) for low in range(0, size[0], 2)]
    assert torch.allclose(torch.cat(pieces, dim=2), expected, atol=1e-6)


def test_bf16_is_near_and_the_spatial_part_stays_float32() -> None:
    torch.manual_seed(3)
    network = SCN(
        SCNConfig(outputs=3, levels=3, filters=8, spatial_levels=2, spatial_filters=4, norm="instance")
    ).eval()
    image = torch.randn(1, 1, 32, 24, 32)
    expected = network(image).probabilities[0].detach()
    maps, _ = driven(steps_of(network).steps(image, Arithmetic(torch.bfloat16)))
    assert maps.dtype == torch.float32
    assert 0 < (maps - expected).abs().max() < 0.1
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
