"""Between recipes and bundles: the stage that a recipe trains, and the recipe that trains a bundle's stage
further.
"""

from __future__ import annotations

import json
from typing import Any

from ctseg_imaging.errors import RecipeError
from ctseg_imaging.volume import Label, Labels
from ctseg_models.bundles.own.bundle import OwnBundle
from ctseg_models.bundles.own.metadata import Stage
from ctseg_training.recipes.loading import validate
from ctseg_training.recipes.schema import Recipe

REGION = Labels((Label(1, "region of interest"),))
WHOLE = "on whole images"
PATCH = 64  # voxels per side of a fine-tuning patch, where the stage allows it
TAKEN = (
    "spacing_mm",
    "sizes",
    "spacing_growth",
    "intensity",
    "more_channels",
    "smoothing_sigma_mm",
    "margin_mm",
    "inferer",
    "patch",
    "overlap",
)


def stage_of(recipe: Recipe, labels: Labels) -> Stage:
    """The stage of the bundle for the network that `recipe` trains. labels : of the data set."""
    data = recipe.data
    outputs = 2 if recipe.stage == "localise" else len(labels) + 1
    config = {"in_channels": 1 + len(data.more_channels), "outputs": outputs, **recipe.network.options()}
    return Stage(
        name=recipe.stage,
        network=recipe.network.kind,
        config=config,
        spacing_mm=data.spacing_mm,
        sizes=data.sizes,
        spacing_growth=data.spacing_growth,
        intensity=data.intensity,
        more_channels=data.more_channels,
        smoothing_sigma_mm=data.smoothing_sigma_mm,
        margin_mm=data.margin_mm,
        inferer=data.inferer,
        patch=data.patch,
        overlap=data.overlap,
        outputs=outputs,
        pad_hu=data.outside,
    )


def recipe_for(bundle: OwnBundle, recipe: Recipe) -> Recipe:
    """`recipe` with the network and the data path of the bundle's stage of the same name: as fine-tuning
    needs it.

    The patch follows the stage's sizes. Raises RecipeError when the bundle has no such stage.
    """
    stage = _stage(bundle, recipe)
    fields: dict[str, Any] = recipe.model_dump(mode="json")
    network = {key: value for key, value in stage.config.items() if key not in ("in_channels", "outputs")}
    fields["network"] = {"kind": stage.network, **network}
    fields["modality"] = bundle.modality
    fields["data"] |= {key: stage.model_dump(mode="json")[key] for key in TAKEN} | {"outside": stage.pad_hu}
    fields["data"]["zscore_sample"] = None  # shift and scale are the bundle's
    if len(bundle.stages) == 1 and bundle.block.scores.get("region") == WHOLE:
        fields["validation"]["region"] = "whole"
    if bundle.modality != "CT":  # stored values there have no unit
        fields["augmentation"] |= {"value_shift": 0.0, "noise": 0.0, "input_noise": 0.05}
    if recipe.sampling.mode == "patch":
        fields["sampling"]["size"] = stage.patch or [
            max(low, min(high, PATCH)) for low, high in zip(stage.sizes.min, stage.sizes.max, strict=True)
        ]
    known = validate(
        fields
        | {
            "losses": [
                {"kind": "dice_cross_entropy", "output": "merged" if stage.network == "scn" else "logits"}
            ]
        },
        bundle.name,
    )
    if any(
        term.output not in known.network.outputs for term in recipe.losses
    ):  # the recipe is made for another network
        edges = (
            [{"kind": "consistency"}, {"kind": "edge", "output": "edges"}]
            if "edges" in known.network.outputs
            else []
        )
        fields["losses"] = [{"kind": "dice_cross_entropy"}, *edges]
    return validate(fields, bundle.name)


def check_fits(bundle: OwnBundle, stage: Stage) -> None:
    """Raises RecipeError unless the weights of the bundle's stage fit the network of `stage`."""
    theirs = next((one for one in bundle.stages if one.name == stage.name), None)
    if theirs is None:
        raise RecipeError(
            f"{bundle.name}: has no stage {stage.name!r} to start from; choose another bundle or recipe."
        )
    mine, known = (
        json.loads(json.dumps({"network": one.network, **one.config})) for one in (stage, theirs)
    )  # lists instead of tuples
    for key in sorted(set(mine) & set(known)):
        if mine[key] != known[key]:
            raise RecipeError(
                f"{bundle.name}: its network has {key} {known[key]} and the recipe {mine[key]}; "
                "take the network from the bundle (recipe_for) or train from scratch."
            )


def _stage(bundle: OwnBundle, recipe: Recipe) -> Stage:
    for stage in bundle.stages:
        if stage.name == recipe.stage:
            return stage
    raise RecipeError(
        f"{bundle.name}: has no stage {recipe.stage!r}; choose a recipe for "
        f"{' or '.join(s.name for s in bundle.stages)}."
    )
