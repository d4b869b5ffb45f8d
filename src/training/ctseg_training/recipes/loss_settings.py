"""The terms of a recipe's objective, and the parts that two methods bring with them: features (paper 4) and
duals (paper 1).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from ctseg_training.recipes.settings import StrictSettings

LossKind = Literal[
    "generalised_dice",
    "soft_dice",
    "squared_dice",
    "tversky",
    "tanimoto_cross_entropy",
    "cross_entropy",
    "dice_cross_entropy",
    "sigmoid_cross_entropy",
    "mumford_shah_image",
    "mumford_shah_label",
    "edge",
    "consistency",
    "content",
]


class LossTerm(StrictSettings):
    """One term of the objective and the output of the network it looks at.

    softness : labels are softness and 1 - softness instead of 0 and 1 (paper 4: 0.1). smooth : instead of the
    default of the loss. combine : of tanimoto_cross_entropy.
    """

    kind: LossKind
    output: str = "logits"
    weight: PositiveFloat = 1.0
    smooth: PositiveFloat | None = None
    softness: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    combine: Literal["weights", "power"] = "weights"

    @model_validator(mode="after")
    def _knows_its_options(self) -> Self:
        for name, kinds in OPTIONS.items():
            if getattr(self, name) != type(self).model_fields[name].default and self.kind not in kinds:
                raise ValueError(f"losses: {self.kind} has no {name}")
        return self

    def options(self) -> dict[str, Any]:
        """Keyword arguments of the loss."""
        given = {name: getattr(self, name) for name, kinds in OPTIONS.items() if self.kind in kinds}
        return {name: value for name, value in given.items() if value is not None}


OPTIONS: dict[str, tuple[str, ...]] = {
    "smooth": ("generalised_dice", "soft_dice", "squared_dice", "tversky", "tanimoto_cross_entropy"),
    "softness": ("generalised_dice", "squared_dice", "tversky", "content"),
    "combine": ("tanimoto_cross_entropy",),
}


class Content(StrictSettings):
    """The Siamese network of paper 4.

    features : a file with VGG-19's weights, whose SHA-256 may be given; it is never downloaded, and training
    without it is refused. trainable : the paper's min-max game, in which the features learn to see
    differences, with learning_rate.
    """

    features: str | None = None
    sha256: str | None = None
    trainable: bool = False
    learning_rate: PositiveFloat = 1e-5


class Geometric(StrictSettings):
    """ADMM with a weighted-TV prior and the true area of every label, paper 1; every slice by itself for a 2D
    network. Needs sampling.versions. mu : of the quadratic term. tolerance, max_iterations : of
    Douglas-Rachford, which starts at the last u.
    """

    mu: PositiveFloat = 0.5
    tolerance: PositiveFloat = 1e-5
    max_iterations: PositiveInt = 1000
