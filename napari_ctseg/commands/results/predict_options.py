"""The options of `predict`: their choices, and combinations that are refused before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

import typer

from napari_ctseg.commands.optional_values import OptionalValues

if TYPE_CHECKING:
    from ctseg_models.ensembles.stack import Stack
    from ctseg_models.inference import Region


class Combination(StrEnum):
    """How an ensemble is combined."""

    MEAN = "mean"
    VOTE = "vote"
    STAPLE = "staple"


class ProbabilityType(StrEnum):
    """How probabilities are written: small ones as the labels are and large ones as Zarr, or as Zarr of this
    type.
    """

    AUTO = "auto"
    FLOAT16 = "float16"
    UINT8 = "uint8"


class DisagreementKind(StrEnum):
    """What the disagreement map holds."""

    SHARE = "share"
    ENTROPY = "entropy"


class PredictCommand(OptionalValues):
    """The two options whose value may be omitted."""

    values: ClassVar[dict[str, tuple[str, ...]]] = {
        "--probabilities": tuple(ProbabilityType),
        "--disagreement": tuple(DisagreementKind),
    }


class PrecisionChoice(StrEnum):
    """The precision of the networks."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


def parse_region(text: str) -> Region:
    """ "x0,x1,y0,y1,z0,z1" in LPS mm as a Region. Raises BadParameter."""
    from ctseg_models.inference import Region

    try:
        x0, x1, y0, y1, z0, z1 = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            "give six numbers x0,x1,y0,y1,z0,z1 in LPS mm", param_hint="--region"
        ) from None
    if not (x0 < x1 and y0 < y1 and z0 < z1):
        raise typer.BadParameter("give the lower bound of every axis first", param_hint="--region")
    return Region((x0, y0, z0), (x1, y1, z1))


def parse_weights(text: str | None, models: Sequence[str], combine: Combination) -> tuple[float, ...] | None:
    """ "2,1,1" as numbers, one a model. Raises BadParameter."""
    if text is None:
        return None
    try:
        weights = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            "give a number above 0 for each model, separated by commas", param_hint="--weights"
        ) from None
    if (
        len(weights) != len(models)
        or len(models) < 2
        or not all(0 < weight < float("inf") for weight in weights)
    ):
        raise typer.BadParameter(
            f"give a number above 0 for each of several models; {len(models)} given", param_hint="--weights"
        )
    if combine is Combination.STAPLE:
        raise typer.BadParameter("STAPLE estimates the weight of each model itself", param_hint="--weights")
    return weights


def refuse_lone_disagreement(
    kind: DisagreementKind | None, models: Sequence[str], stack: Stack | None
) -> None:
    if stack is not None and kind is not None:
        raise typer.BadParameter(
            "a stack gives a single result; name its members to see where they disagree",
            param_hint="--disagreement",
        )
    if kind is DisagreementKind.SHARE and len(models) == 1:
        raise typer.BadParameter(
            "a single model has no disagreement; use entropy", param_hint="--disagreement"
        )


def refuse_maps_of_several(models: Sequence[str], stack: Stack | None, asked: dict[str, bool]) -> None:
    for option, wanted in asked.items():
        if wanted and (len(models) > 1 or stack is not None):
            raise typer.BadParameter(
                "is available for a single model only; for several use --disagreement", param_hint=option
            )
