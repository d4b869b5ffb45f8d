"""The objective of a recipe: a weighted sum of loss terms, each of one named output of the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ctseg_models.networks.outputs import NetworkOutput
from ctseg_models.networks.vgg_features import VGGFeatures, load_vgg_features
from ctseg_training.losses.content import content_loss, soften
from ctseg_training.losses.cross_entropy import cross_entropy, sigmoid_cross_entropy
from ctseg_training.losses.dice import generalised_dice, soft_dice, squared_dice
from ctseg_training.losses.edges import consistency, edge_loss, edge_truth
from ctseg_training.losses.mumford_shah import mumford_shah_image, mumford_shah_label
from ctseg_training.losses.partial import merge_absent
from ctseg_training.losses.tanimoto import tanimoto_cross_entropy
from ctseg_training.losses.tversky import tversky
from ctseg_training.recipes.loss_settings import LossTerm
from ctseg_training.recipes.schema import Recipe

OVERLAPS = {
    "generalised_dice": generalised_dice,
    "soft_dice": soft_dice,
    "squared_dice": squared_dice,
    "tversky": tversky,
    "mumford_shah_label": mumford_shah_label,
}  # of probabilities, target and present


@dataclass(frozen=True)
class LossInput:
    """The inputs of the losses besides the network's outputs.

    image : (B, C, [Z,] Y, X). target : (B, [Z,] Y, X) int64. present : (B, K) bool.
    """

    image: Tensor
    target: Tensor
    present: Tensor


@dataclass(frozen=True)
class Objective:
    """The weighted sum of a recipe's terms.

    features : the network of the content loss, None without one.
    """

    terms: tuple[LossTerm, ...]
    features: VGGFeatures | None = None

    @classmethod
    def of(cls, recipe: Recipe, device: str) -> Objective:
        """Raises BundleError when the file with the features' weights is missing or its hash differs."""
        if recipe.content is None:
            return cls(recipe.losses)
        path = None if recipe.content.features is None else Path(recipe.content.features)
        features = load_vgg_features(path, sha256=recipe.content.sha256, trainable=recipe.content.trainable)
        return cls(recipe.losses, features.to(device))

    def __call__(
        self, outputs: Mapping[str, NetworkOutput], seen: LossInput
    ) -> tuple[Tensor, dict[str, float]]:
        """The sum and each term's own value ("generalised_dice(merged)": 0.41).

        outputs : by name, see `networks.outputs`.
        """
        total = torch.zeros((), device=seen.target.device)
        values = {}
        for term in self.terms:
            value = self._term(term, outputs[term.output], seen)
            values[f"{term.kind}({term.output})"] = float(value.detach())
            total = total + term.weight * value
        return total, values

    def _term(self, term: LossTerm, output: NetworkOutput, seen: LossInput) -> Tensor:
        target, present, options = seen.target, seen.present, term.options()
        if (overlap := OVERLAPS.get(term.kind)) is not None:
            value: Tensor = overlap(output.probabilities(), target, present, **options)
            return value
        logits = output.form == "softmax logits"
        maps = output.maps if logits else output.probabilities()
        match term.kind:
            case "cross_entropy":
                return cross_entropy(maps, target, present, logits=logits)
            case "dice_cross_entropy":  # the pair that trains fastest in little time
                return soft_dice(output.probabilities(), target, present) + cross_entropy(
                    maps, target, present, logits=logits
                )
            case "tanimoto_cross_entropy":
                return tanimoto_cross_entropy(maps, target, present, logits=logits, **options)
            case "consistency":
                return consistency(maps, target, present, logits=logits)
            case "mumford_shah_image":
                return mumford_shah_image(output.probabilities(), seen.image)
            case "content":
                return self._content(output, seen, **options)
        if output.form != "sigmoid logits":
            raise ValueError(f"{term.kind} needs one sigmoid per label; name an output that has them.")
        if term.kind == "edge":
            labels = present.shape[1]
            edges = edge_truth(target, labels, shared=output.maps.shape[1] == 1 and labels > 2)
            return edge_loss(output.maps, edges, present)
        return sigmoid_cross_entropy(output.maps, target, present)

    def _content(self, output: NetworkOutput, seen: LossInput, softness: float) -> Tensor:
        """The content loss of all labels together, as foreground."""
        if self.features is None:
            raise ValueError("The content loss has no features; give the recipe a content part.")
        foreground = 1 - merge_absent(output.probabilities(), seen.present)[:, :1]
        truth = soften((seen.target > 0).unsqueeze(1), background=softness, foreground=1 - softness)
        return content_loss(self.features, seen.image, truth, foreground)
