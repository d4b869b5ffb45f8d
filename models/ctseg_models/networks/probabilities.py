"""A network whose only output is probabilities, as other programs' inferers expect."""

from __future__ import annotations

from torch import Tensor, nn

from ctseg_models.networks.outputs import final, named_outputs


class Probabilities(nn.Module):
    """Wraps any network of this project: (B, C, [Z,] Y, X) to (B, K, [Z,] Y, X)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        labels: int = self.network.config.outputs  # type: ignore[union-attr, assignment]
        return final(named_outputs(self.network(image), labels)).probabilities()
