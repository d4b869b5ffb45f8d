"""bf16 gradients of thin maps against float32 ones; a fault of the library underneath that shows as numbers, not as an error."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from ctseg_models.networks.thin_maps import Conv3d, guard_thin_maps


def gradients(convolution: nn.Conv3d, image: Tensor, *, bf16: bool) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        maps = convolution(image)
    return torch.autograd.grad(maps.float().square().sum(), convolution.weight)[0]


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kernel", [3, 5])
def test_the_weights_gradient_is_float32s_but_for_rounding(depth: int, kernel: int) -> None:
    torch.manual_seed(depth)
    convolution, image = Conv3d(16, 32, kernel, padding=kernel // 2), torch.randn(1, 16, depth, 9, 8)
    exact = gradients(convolution, image, bf16=False)
    assert torch.linalg.norm(gradients(convolution, image, bf16=True) - exact) < 0.02 * torch.linalg.norm(exact)


def test_a_guarded_network_keeps_names_weights_and_results() -> None:
    plain = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.Sequential(nn.ReLU(), nn.Conv3d(4, 2, 3, padding=1)))
    guarded = copy.deepcopy(plain)
    guard_thin_maps(guarded)
    image = torch.randn(1, 1, 2, 5, 6)
    assert [type(module) for module in guarded.modules() if isinstance(module, nn.Conv3d)] == [Conv3d, Conv3d]
    assert list(guarded.state_dict()) == list(plain.state_dict())
    assert torch.equal(guarded(image), plain(image))
    assert torch.equal(copy.deepcopy(guarded)(image), plain(image))
