"""Any network of this project as it stands: a 3D one on the whole array, a 2D one on a few slices at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ctseg_models.bundles.bundle import Steps
from ctseg_models.networks.outputs import final, named_outputs

if TYPE_CHECKING:
    from ctseg_models.inference.stepwise import Arithmetic

Shape = tuple[int, int, int]
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
SIDE = 32  # of the image that the operations are counted on, where that divides


@dataclass(frozen=True)
class Way:
    """How a network is run. flops : two per multiply-add for an input of (z, y, x). edges : maps after the class maps."""

    steps: Steps
    flops: Callable[[Shape], float]
    edges: int = 0


def whole_network(network: nn.Module) -> Way:
    """`network` has a `config` with in_channels, outputs and dimensions. Choose windows small enough for a step to last a second."""
    config: Any = network.config
    flat = config.dimensions == 2
    per_voxel: list[float] = []

    def flops(shape: Shape) -> float:
        if not per_voxel:
            per_voxel.append(_flops_per_voxel(network))
        return per_voxel[0] * prod(shape)

    def steps(x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
        if not flat:
            maps = _maps(network, x, arithmetic)[0]
            yield 1.0
            return maps
        depth = x.shape[2]
        at_once = max(1, int(arithmetic.step_flops / max(1.0, flops((1, x.shape[3], x.shape[4])))))
        parts = []
        for z in range(0, depth, at_once):
            slices = x[0, :, z:z + at_once].movedim(1, 0)
            parts.append(_maps(network, slices, arithmetic).movedim(0, 1))
            yield len(slices) / depth
        return torch.cat(parts, dim=1)

    return Way(steps, flops, getattr(config, "edges", 0))


def _maps(network: nn.Module, x: Tensor, arithmetic: Arithmetic) -> Tensor:
    """(B, C, [z,] y, x) to (B, K + E, [z,] y, x) float32: class probabilities, then the edge maps if there are any."""
    config: Any = network.config
    layout = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
    with torch.no_grad(), torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=arithmetic.dtype == torch.bfloat16):
        outputs = named_outputs(network(x.contiguous(memory_format=layout)), config.outputs)
    maps = final(outputs).probabilities()
    return torch.cat([maps, outputs["edges"].maps.float().sigmoid()], dim=1) if "edges" in outputs else maps


def _flops_per_voxel(network: nn.Module) -> float:
    """Counted by the convolutions of one small image; layers that are no such modules do not count."""
    config: Any = network.config
    total = 0.0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, CONVOLUTIONS)
        transposed = isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d)
        total += 2.0 * module.weight[0].numel() * (inputs[0].numel() if transposed else output.numel())

    hooks = [module.register_forward_hook(count) for module in network.modules() if isinstance(module, CONVOLUTIONS)]
    device = next(network.parameters()).device
    side = max(SIDE, config.divisor)
    try:
        with torch.no_grad():
            network(torch.zeros(1, config.in_channels, *[side] * config.dimensions, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    return total / float(side**config.dimensions)
