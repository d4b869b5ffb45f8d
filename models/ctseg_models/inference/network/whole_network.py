"""Any network of this project run as a whole: a 3D one on the whole array, a 2D one on a few slices at a
time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ctseg_models.contract.stage import NetworkSteps
from ctseg_models.inference.network.interruptible import counted, watched
from ctseg_models.networks.outputs import final, named_outputs

if TYPE_CHECKING:
    from ctseg_models.contract.arithmetic import Arithmetic

Shape = tuple[int, int, int]
SIDE = 32  # of the image that operations are counted on, where the network takes it


@dataclass(frozen=True)
class NetworkRunner:
    """How a network is run.

    flops : two per multiply-add for an input of (z, y, x). edges : the number of edge maps after the class
    maps.
    """

    steps: NetworkSteps
    flops: Callable[[Shape], float]
    edges: int = 0


def whole_network(network: nn.Module) -> NetworkRunner:
    """How to run `network`, whose `config` has in_channels, outputs and dimensions.

    Its weights are laid out channels last, in place.
    """
    config: Any = network.config
    flat = config.dimensions == 2
    network.to(memory_format=torch.channels_last if flat else torch.channels_last_3d)  # type: ignore[call-overload]
    per_voxel: list[float] = []

    def flops(shape: Shape) -> float:
        if not per_voxel:
            per_voxel.append(_flops_per_voxel(network))
        return per_voxel[0] * prod(shape)

    def steps(x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
        work = flops((x.shape[2], x.shape[3], x.shape[4]))
        at_once = max(1, int(arithmetic.step_flops * x.shape[2] / max(1.0, work)))  # slices
        slices = torch.split(x[0].movedim(1, 0), at_once) if flat else ()

        def call() -> Tensor:
            if not flat:
                return _maps(network, x, arithmetic)[0]
            return torch.cat([_maps(network, some, arithmetic).movedim(0, 1) for some in slices], dim=1)

        return watched(call, flops=work, step_flops=arithmetic.step_flops)

    return NetworkRunner(steps, flops, getattr(config, "edges", 0))


def _maps(network: nn.Module, x: Tensor, arithmetic: Arithmetic) -> Tensor:
    """(B, C, [z,] y, x) to (B, K + E, [z,] y, x) float32: class probabilities, then the edge maps if any."""
    config: Any = network.config
    layout = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
    half = arithmetic.dtype != torch.float32
    with torch.autocast(x.device.type, dtype=arithmetic.dtype if half else torch.bfloat16, enabled=half):
        outputs = named_outputs(network(x.contiguous(memory_format=layout)), config.outputs)
    maps = final(outputs).probabilities()
    return torch.cat([maps, outputs["edges"].maps.float().sigmoid()], dim=1) if "edges" in outputs else maps


def _flops_per_voxel(network: nn.Module) -> float:
    """The operations, counted on one small image."""
    config: Any = network.config
    device = next(network.parameters()).device
    side = max(SIDE, config.divisor)
    x = torch.zeros(1, config.in_channels, *[side] * config.dimensions, device=device)
    return counted(lambda: network(x)) / float(side**config.dimensions)
