"""A network whose output is probabilities and nothing else: what other programs' inferers expect."""

from __future__ import annotations

from torch import Tensor, nn

from ctseg_models.networks.outputs import final, named_outputs


class Probabilities(nn.Module):
    """Wraps any network of this project: (B, C, [Z,] Y, X) to (B, K, [Z,] Y, X). labels : K, with the background."""

    def __init__(self, network: nn.Module, labels: int | None = None) -> None:
        super().__init__()
        self.network = network
        self.labels = labels if labels is not None else int(network.config.outputs)  # type: ignore[union-attr, arg-type]

    def forward(self, image: Tensor) -> Tensor:
        return final(named_outputs(self.network(image), self.labels)).probabilities()
