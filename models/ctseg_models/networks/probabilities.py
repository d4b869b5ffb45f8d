"""A network whose output is probabilities and nothing else: what other programs' inferers expect."""

from __future__ import annotations

from torch import Tensor, nn

from ctseg_models.networks.scn import SCNOutput


class Probabilities(nn.Module):
    """Wraps a U-Net (softmax of its logits) or an SCN (its merged probabilities): (B, C, Z, Y, X) to (B, K, Z, Y, X)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        output = self.network(image)
        if isinstance(output, SCNOutput):
            return output.probabilities
        probabilities: Tensor = output.softmax(dim=1)
        return probabilities
