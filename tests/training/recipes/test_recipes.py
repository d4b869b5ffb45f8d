"""Recipes: all that ship are valid, the faithful ones are the paper's, and a wrong one is refused in a
sentence.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ctseg_imaging.errors import RecipeError
from ctseg_training.recipes import Recipe, list_recipes, load_recipe, recipe_text, save_recipe
from ctseg_training.run.networks import build


def test_all_that_ship_are_valid_and_described() -> None:
    shipped = {
        "scn-localise",
        "scn-segment",
        "headneck-localise",
        "headneck-segment",
        "phantom-localise",
        "phantom-segment",
        "finetune",
    }
    assert shipped <= set(list_recipes())
    assert all(list_recipes().values())


@pytest.mark.parametrize(
    ("name", "outputs", "parameters"), [("scn-localise", 2, 637_474), ("scn-segment", 5, 1_270_090)]
)
def test_the_faithful_recipes_have_the_papers_parameters(name: str, outputs: int, parameters: int) -> None:
    recipe = load_recipe(name)
    assert sum(p.numel() for p in build(recipe.network, 1, outputs).parameters()) == parameters
    assert (
        recipe.optimiser.learning_rate == 1e-4
        and recipe.optimiser.kind == "adam"
        and recipe.schedule.kind == "constant"
    )
    assert recipe.ema == 0.999 and recipe.clip_at == 5 and recipe.batch == 1
    assert recipe.budget.steps == {"scn-localise": 1_000_000, "scn-segment": 500_000}[name]


def test_overrides_and_saving(tmp_path: Path) -> None:
    recipe = load_recipe(
        "headneck-segment",
        ["optimiser.learning_rate=0.5", "sampling.label_weights={Larynx: 4}", "budget.steps=7"],
    )
    assert (
        recipe.optimiser.learning_rate == 0.5
        and recipe.sampling.label_weights == {"Larynx": 4.0}
        and recipe.budget.steps == 7
    )
    save_recipe(recipe, tmp_path / "mine.yaml")
    assert load_recipe(tmp_path / "mine.yaml") == recipe
    assert recipe_text("headneck-segment").startswith("#")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("bogus=2", "bogus is not a field"),
        ("network.kind=transformer", "network: "),
        ("optimiser.learning_rate=-1", "optimiser.learning_rate: .*greater than 0"),
        ("network.norm=group", "network.norm: .*'none' or 'instance'"),
        ("losses=[{kind: generalised_dice, output: logits}]", "merged, local, spatial"),
        ("losses=[{kind: sigmoid_cross_entropy, output: merged}]", "one sigmoid per label"),
        ("budget={}", "budget.steps or budget.minutes"),
        ("data.spacing_growth={factor: 1.0}", "do not grow"),
        ("data.sizes={min: [32, 32, 32], max: [16, 48, 48], step: [16, 16, 16]}", "min <= max"),
        ("sampling.size=null", "needs a size"),
        ("optimiser", "key=value"),
        ("name.x=1", "single value"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_sentence(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe("headneck-segment", [override])
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_an_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean headneck-segment"):
        load_recipe("headneck-segmnt")
    (tmp_path / "list.yaml").write_text("- a\n- b\n")
    with pytest.raises(RecipeError, match="mapping of fields"):
        load_recipe(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1,\nb: 2")
    with pytest.raises(RecipeError, match=r"broken\.yaml: not valid YAML"):
        load_recipe(tmp_path / "broken.yaml")


def test_a_recipe_is_frozen() -> None:
    recipe: Recipe = load_recipe("scn-segment")
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sampling.size=[20, 30, 20]"], "multiples of 4 x 4 x 4"),
        (["network.filters=12"], "multiple of 8"),
        (["losses=[{kind: sigmoid_cross_entropy}]"], "one sigmoid per label"),
        (["losses=[{kind: edge, output: logits}]"], "uses the output edges"),
        (["losses=[{kind: soft_dice, softness: 0.1}]"], "has no softness"),
        (["validation.patience=3"], "give validation.every_steps"),
        (["losses=[{kind: content}]"], "content.features"),
        (["geometric={mu: 1}"], "sampling.versions"),
        (["data.intensity={clip_low: 0, clip_quantiles: [0.1, 0.9]}"], "exclude each other"),
    ],
)
def test_what_does_not_fit_together_is_reported_when_a_recipe_is_read(
    overrides: list[str], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("edge-gated-unet-small", overrides)


def test_an_nnunet_has_one_entry_a_level() -> None:
    with pytest.raises(RecipeError, match="one entry per level"):
        load_recipe("ct-cues-nnunet-2d-small", ["network.filters=[8, 16, 32]"])
