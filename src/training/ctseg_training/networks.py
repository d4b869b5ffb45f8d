"""From a recipe to a network, and from what a network returns to outputs with names. A further method adds its case here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ctseg_models.networks.scn import MERGE_EPSILON, SCN, SCNConfig, SCNOutput
from ctseg_models.networks.unet import UNet, UNetConfig
from ctseg_training.recipes.schema import NetworkSettings

Form = Literal["softmax logits", "sigmoid logits", "probabilities"]


@dataclass(frozen=True)
class Output:
    """One output of a network. maps : (B, K, Z, Y, X). form : what the numbers are."""

    maps: Tensor
    form: Form

    def probabilities(self) -> Tensor:
        """(B, K, Z, Y, X) float32 that sum to 1 over K; sigmoids are normalised as the SCN's merge does it."""
        maps = self.maps.float()
        if self.form == "softmax logits":
            return torch.softmax(maps, dim=1)
        if self.form == "sigmoid logits":
            each = torch.sigmoid(maps)
            return each / (each.sum(dim=1, keepdim=True) + MERGE_EPSILON)
        return maps


def build(settings: NetworkSettings, in_channels: int, outputs: int) -> nn.Module:
    """The network of a recipe, freshly initialised by torch's current seed. outputs : labels, background included."""
    if settings.kind == "scn":
        return SCN(SCNConfig(in_channels=in_channels, outputs=outputs, **settings.options()))
    return UNet(UNetConfig(in_channels=in_channels, outputs=outputs, **settings.options()))


def named_outputs(returned: Tensor | SCNOutput) -> dict[str, Output]:
    """A U-Net has "logits"; an SCN has "merged" (probabilities), "local" and "spatial"."""
    if isinstance(returned, SCNOutput):
        return {"merged": Output(returned.probabilities, "probabilities"), "local": Output(returned.local, "sigmoid logits"),
                "spatial": Output(returned.spatial, "sigmoid logits")}
    return {"logits": Output(returned, "softmax logits")}
