"""What a recipe's list of losses means: each term looks at one named output of the network, with a weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ctseg_training.losses.cross_entropy import cross_entropy, sigmoid_cross_entropy
from ctseg_training.losses.dice import generalised_dice, soft_dice
from ctseg_training.networks import Output
from ctseg_training.recipes.schema import LossTerm

Loss = Callable[[Output, Tensor, Tensor], Tensor]


def _generalised_dice(output: Output, target: Tensor, present: Tensor) -> Tensor:
    return generalised_dice(output.probabilities(), target, present)


def _dice_cross_entropy(output: Output, target: Tensor, present: Tensor) -> Tensor:
    """Soft Dice plus cross-entropy, the pair that trains fastest on little time."""
    p = output.probabilities()
    if output.form == "softmax logits":
        return soft_dice(p, target, present) + cross_entropy(output.maps, target, present, logits=True)
    return soft_dice(p, target, present) + cross_entropy(p, target, present, logits=False)


def _sigmoid_cross_entropy(output: Output, target: Tensor, present: Tensor) -> Tensor:
    if output.form == "probabilities":
        raise ValueError("sigmoid_cross_entropy needs logits; name an output that has them.")
    return sigmoid_cross_entropy(output.maps, target, present)


LOSSES: Mapping[str, Loss] = {
    "generalised_dice": _generalised_dice,
    "dice_cross_entropy": _dice_cross_entropy,
    "sigmoid_cross_entropy": _sigmoid_cross_entropy,
}


def objective(outputs: Mapping[str, Output], target: Tensor, present: Tensor, terms: Sequence[LossTerm]) -> tuple[Tensor, dict[str, float]]:
    """The weighted sum of `terms` and each term's own value ("generalised_dice(merged)": 0.41).

    outputs : by name, see `ctseg_training.networks`. target : (B, Z, Y, X) int64. present : (B, K) bool.
    """
    total = torch.zeros((), device=target.device)
    values = {}
    for term in terms:
        value = LOSSES[term.kind](outputs[term.output], target, present)
        values[f"{term.kind}({term.output})"] = float(value.detach())
        total = total + term.weight * value
    return total, values
