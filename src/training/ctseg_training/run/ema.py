"""The exponential moving average of a network's weights: paper 5 segments with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Ema:
    """Keeps float32 averages of all parameters and buffers.

    decay : the share of the past kept at each step. It starts low, min(decay, (1 + n) / (10 + n)) after n
    steps, so the random start is soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights: dict[str, Tensor] = {
            name: _start(tensor) for name, tensor in network.state_dict().items()
        }

    @torch.no_grad()
    def update(self, network: nn.Module, steps: int) -> None:
        """After step number `steps` (the first is 1)."""
        decay = min(self.decay, (1 + steps) / (10 + steps))
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                self.weights[name].lerp_(tensor.detach().float(), 1 - decay)
            else:  # a counter
                self.weights[name].copy_(tensor)


def _start(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().clone()
    return tensor.float() if tensor.is_floating_point() else tensor
