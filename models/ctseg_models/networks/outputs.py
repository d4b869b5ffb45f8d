"""What networks return, under names and as probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

Form = Literal["softmax logits", "sigmoid logits", "foreground sigmoid logits", "probabilities"]
EPSILON = 1e-8


@dataclass(frozen=True)
class NetworkOutput:
    """One output of a network: maps (B, K, [Z,] Y, X).

    "foreground sigmoid logits" are K - 1 maps, without the background.
    """

    maps: Tensor
    form: Form

    def probabilities(self) -> Tensor:
        """(B, K, [Z,] Y, X) probabilities, float32 or more, that sum to 1 over K.

        Sigmoids are normalised as in the SCN's merge. A background without a map of its own has the
        probability that no foreground label is present, the labels taken as independent.
        """
        maps = self.maps if self.maps.dtype == torch.float64 else self.maps.float()
        if self.form == "softmax logits":
            return torch.softmax(maps, dim=1)
        if self.form == "probabilities":
            return maps
        each = torch.sigmoid(maps)
        if self.form == "foreground sigmoid logits":
            each = torch.cat([torch.sigmoid(-maps).prod(dim=1, keepdim=True), each], dim=1)
        return each / (each.sum(dim=1, keepdim=True) + EPSILON)


def named_outputs(returned: Any, labels: int) -> dict[str, NetworkOutput]:
    """The outputs of a network, by name, for losses. labels : with the background.

    Most networks have "logits"; an SCN has "merged" (probabilities), "local" and "spatial"; an edge-gated one
    has "logits" and "edges".
    """
    if isinstance(returned, Tensor):
        return {
            "logits": NetworkOutput(
                returned, "foreground sigmoid logits" if returned.shape[1] == labels - 1 else "softmax logits"
            )
        }
    fields = returned._asdict()
    if "edges" in fields:
        return {
            "logits": NetworkOutput(fields["logits"], "softmax logits"),
            "edges": NetworkOutput(fields["edges"], "sigmoid logits"),
        }
    return {
        "merged": NetworkOutput(fields["probabilities"], "probabilities"),
        "local": NetworkOutput(fields["local"], "sigmoid logits"),
        "spatial": NetworkOutput(fields["spatial"], "sigmoid logits"),
    }


def final(outputs: dict[str, NetworkOutput]) -> NetworkOutput:
    """The output that labels are taken from."""
    return outputs["merged"] if "merged" in outputs else outputs["logits"]
