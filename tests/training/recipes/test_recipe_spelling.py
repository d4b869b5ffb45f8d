"""A misspelt field of a recipe is answered with the right one, at any depth, in a file and in an override."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ctseg_imaging.errors import RecipeError
from ctseg_training.recipes import load_recipe, recipe_text


@pytest.mark.parametrize(
    ("path", "value", "right"),
    [
        (("optimizer",), {"kind": "adam"}, "optimiser"),
        (("optimiser", "learn_rate"), 0.1, "optimiser.learning_rate"),
        (("data", "intensity", "cliplow"), 1, "data.intensity.clip_low"),
        (("network", "fliters"), 3, "network.filters"),
        (("losses", 1, "wieght"), 3, "losses.1.weight"),
        (("augmentation", "elastic", "grids"), [1, 2, 3], "augmentation.elastic.grid"),
        (("betas",), [0.9, 0.99], "optimiser.betas"),  # spelt well, in the wrong place
    ],
)
def test_a_file(tmp_path: Path, path: tuple[str | int, ...], value: object, right: str) -> None:
    fields = yaml.safe_load(recipe_text("headneck-segment"))
    at = fields
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(fields))
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / "mine.yaml")
    assert (
        str(caught.value)
        == f"mine.yaml: {'.'.join(map(str, path))} is not a field of a recipe; did you mean {right}?"
    )


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        (
            "optimizer.learning_rate=1",
            "optimizer is not a field of a recipe; did you mean optimiser.learning_rate?",
        ),
        ("sampling.margin=1", "sampling.margin is not a field of a recipe; did you mean sampling.margin_mm?"),
        (
            "data.sizes.smallest=3",
            "data.sizes.smallest is not a field of a recipe; data.sizes has min, max, step.",
        ),
    ],
)
def test_an_override(override: str, answer: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("headneck-segment", [override])
    assert str(caught.value) == f"{override!r}: {answer}"


def test_keys_below_a_mapping_are_the_persons_own() -> None:
    assert (
        load_recipe("headneck-segment", ["sampling.label_weights.Larynks=4"]).sampling.label_weights[
            "Larynks"
        ]
        == 4
    )


def test_a_field_of_another_kind_of_network_is_not_suggested_for_this_one() -> None:
    with pytest.raises(
        RecipeError,
        match=r"network\.spatial_filters is not a field of a recipe; network has kind, levels, .*norm\.$",
    ):
        load_recipe("headneck-segment", ["network={kind: unet, spatial_filters: 3}"])


def test_a_key_with_line_breaks_is_answered_on_one_line(tmp_path: Path) -> None:
    fields = yaml.safe_load(recipe_text("headneck-segment"))
    fields["losses"][1]["kind\n\n\nx"] = "dice"
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(fields))
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / "mine.yaml")
    assert "losses.1.kind x is not a field of a recipe" in str(caught.value)


def test_a_depth_that_no_image_has_voxels_for_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"network\.levels: input should be less than or equal to 12"):
        load_recipe("headneck-segment", ["network.levels=1000000000000"])
