"""Networks of this project run as a whole against their own forward: 2D and 3D, float32 and bfloat16."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ctseg_imaging.progress import finish
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.inference.network.scn_slab_runner import steps_of
from ctseg_models.networks.catalogue import build
from ctseg_models.networks.outputs import final, named_outputs

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "msd_net": ("msd_net", {"dimensions": 3, "depth": 7, "dilations": 4}),
    "flat msd_net": ("msd_net", {"dimensions": 2, "depth": 7, "dilations": 4}),
    "nnunet": (
        "nnunet",
        {
            "dimensions": 3,
            "strides": ((1, 1, 1), (1, 2, 2), (2, 2, 2)),
            "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3)),
            "filters": (4, 6, 8),
        },
    ),
    "flat nnunet": (
        "nnunet",
        {
            "dimensions": 2,
            "strides": ((1, 1), (2, 2), (2, 2)),
            "kernels": ((3, 3),) * 3,
            "filters": (4, 6, 8),
        },
    ),
    "flat sunet": ("sunet", {"filters": 8}),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(4)
    kind, config = NETWORKS[request.param]
    built = build(kind, config, in_channels=2, outputs=3).eval()
    for parameter in built.parameters():  # not the zeros and ones that norms and biases begin with
        nn.init.normal_(parameter, std=0.3)
    return built


@pytest.mark.parametrize(
    ("arithmetic", "tolerance"), [(Arithmetic(step_flops=1e6), 1e-5), (Arithmetic(torch.bfloat16), 0.1)]
)
def test_the_steps_of_a_network_are_its_forward(
    network: nn.Module, arithmetic: Arithmetic, tolerance: float
) -> None:
    config: Any = network.config
    x = torch.randn(1, 2, 8, 48, 32)
    given = x[0].movedim(1, 0) if config.dimensions == 2 else x
    with torch.no_grad():
        found = final(named_outputs(network(given), config.outputs)).probabilities()
    expected = found.movedim(0, 1) if config.dimensions == 2 else found[0]
    maps = finish(steps_of(network).steps(x, arithmetic))
    assert maps.dtype == torch.float32
    difference = (maps - expected).abs()
    assert difference.mean() < tolerance
    assert tolerance > 0.01 or difference.max() < tolerance
