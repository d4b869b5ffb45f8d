"""The engine on small volumes: it learns, stops, resumes to the same weights, fine-tunes, and reports what is
wrong.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch

from ctseg_imaging import formats
from ctseg_imaging.errors import CtsegError, RecipeError
from ctseg_imaging.progress import Progress, finish
from ctseg_models.bundles.own.bundle import OwnBundle, read_own
from ctseg_models.bundles.own.writing import compose
from ctseg_models.inference import run
from ctseg_training.data import feeding
from ctseg_training.data.cases import CaseStore
from ctseg_training.data.decathlon import open_dataset
from ctseg_training.data.heldout import split_cases
from ctseg_training.recipes import Recipe, load_recipe
from ctseg_training.recipes.stages import recipe_for
from ctseg_training.record.events import read_events
from ctseg_training.run.checkpoint import load_checkpoint
from ctseg_training.run.engine import train
from ctseg_training.run.state import Run
from ctseg_training.run.steps import Hardware
from ctseg_training.run.training import BEST, LAST
from ctseg_training.scoring import stage_scores
from tests.training.conftest import TINY_SCN, anatomy, write_dataset


def kinds(folder: Path) -> list[str]:
    return [event.kind for event in read_events(folder / "events.jsonl")]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    saved = load_checkpoint(folder / LAST)
    return saved.network | {f"ema.{name}": tensor for name, tensor in saved.ema.items()}


@pytest.fixture
def trained(tiny: Recipe, dataset_folder: Path, tmp_path: Path) -> OwnBundle:
    return read_own(finish(train(tiny, dataset_folder, tmp_path / "first")))


def test_a_run_leaves_a_bundle_that_can_be_run(tiny: Recipe, dataset_folder: Path, tmp_path: Path) -> None:
    reported: list[Progress] = []
    folder = collect(train(tiny, dataset_folder, tmp_path / "job"), reported)
    bundle = read_own(folder)
    bundle.verify()
    assert [label.name for label in bundle.labels] == ["right", "left", "middle"]
    assert set(bundle.block.scores["dice"]) == {"right", "left", "middle", "mean"}
    assert bundle.block.training_data["steps"] == 4 and bundle.block.training_data["held_out_cases"] == 1
    assert kinds(tmp_path / "job")[0] == "start" and kinds(tmp_path / "job")[-1] == "done"
    assert {"step", "validation"} <= set(kinds(tmp_path / "job"))
    assert any(progress.stage == "train" for progress in reported)
    volume = formats.read(dataset_folder / "imagesTr" / "case_0.nii.gz")
    assert finish(run(bundle, volume)).labels.array.shape == volume.array.shape
    assert (
        "case_" not in (tmp_path / "job" / "events.jsonl").read_text() + bundle.card
    )  # a file's name may name a patient


def collect(work: Generator[Progress, None, Path], reported: list[Progress]) -> Path:
    while True:
        try:
            reported.append(next(work))
        except StopIteration as end:
            value: Path = end.value
            return value


def test_a_resumed_run_equals_an_uninterrupted_one(
    tiny: Recipe, dataset_folder: Path, tmp_path: Path
) -> None:
    finish(train(tiny, dataset_folder, tmp_path / "whole", steps=5))
    work = train(tiny, dataset_folder, tmp_path / "parts", steps=5)
    while next(work).message[:6] != "step 2":
        pass
    work.close()
    assert load_checkpoint(tmp_path / "parts" / LAST).step == 2
    assert kinds(tmp_path / "parts")[-1] == "stopped" and not (tmp_path / "parts" / "bundle").exists()
    finish(train(tiny, dataset_folder, tmp_path / "parts", steps=5, resume=True))
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert load_checkpoint(tmp_path / "parts" / LAST).step == 5


def test_it_learns(dataset_folder: Path, tmp_path: Path) -> None:
    """Organs of constant HU are distinguished after some dozens of steps of a small network, also the one
    that a case lacks.
    """
    recipe = load_recipe(
        "scn-segment-small",
        [
            *TINY_SCN,
            "optimiser.learning_rate=0.01",
            "validation.every_steps=20",
            "ema=0.9",
            "validation.smoothing=0",
            "augmentation={}",
            "sampling={mode: roi, margin_mm: 6}",
            "network.dropout=0",
        ],
    )
    bundle = read_own(finish(train(recipe, dataset_folder, tmp_path / "job", steps=50)))
    assert bundle.block.scores["dice"]["mean"] > 0.5
    losses = [
        event.data["terms"]
        for event in read_events(tmp_path / "job" / "events.jsonl")
        if event.kind == "step"
    ]
    assert sum(losses[-1].values()) < sum(losses[0].values())
    curve = [event for event in read_events(tmp_path / "job" / "events.jsonl") if event.kind == "validation"]
    assert [event.data["step"] for event in curve] == [20, 40, 50]
    best = max(event.data["scores"]["mean"] for event in curve[:2])
    assert load_checkpoint(tmp_path / "job" / BEST).curve["best"] == pytest.approx(best, abs=1e-3)


def test_the_curve_and_the_bundle_agree_also_with_a_sliding_window(
    dataset_folder: Path, tmp_path: Path
) -> None:
    """Two roads to a held-out score: the network on its own grid, and the written bundle on the case's
    grid. Here both are one grid.
    """
    recipe = load_recipe(
        "scn-segment-small",
        [
            *TINY_SCN,
            "augmentation={}",
            "data.spacing_mm=[3, 2.5, 2]",
            "data.margin_mm=100",
            "data.inferer=sliding_window",
            "data.patch=[16, 16, 24]",
            "validation.every_steps=7",
            "optimiser.learning_rate=0.01",
            "ema=0.5",
        ],
    )
    finish(train(recipe, dataset_folder, tmp_path / "job", steps=8))
    curve, after = (
        event.data["scores"]
        for event in read_events(tmp_path / "job" / "events.jsonl")
        if event.kind == "validation"
    )
    assert curve["mean"] > 0.02
    network = Run.begin(
        recipe,
        read_own(tmp_path / "job" / "bundle").stages[0],
        Hardware("cpu", False),
        None,
        cases=load_checkpoint(tmp_path / "job" / LAST).cases,
    )
    network.resume(tmp_path / "job" / LAST)
    dataset = open_dataset(dataset_folder)
    again = finish(
        stage_scores(
            network.averaged(),
            network.stage.plan,
            split_cases(dataset, recipe).held_out,
            CaseStore(tmp_path / "cases", network.stage.channels),
            list(curve)[:-1],
            whole=False,
        )
    )
    assert again.as_dict()["mean"] == pytest.approx(after["mean"], abs=0.01)


def test_a_stop_file_ends_it_with_a_bundle(tiny: Recipe, dataset_folder: Path, tmp_path: Path) -> None:
    work = train(tiny, dataset_folder, tmp_path / "job", steps=1000)
    while next(work).stage != "train":
        pass
    (tmp_path / "job" / "stop").touch()
    bundle = read_own(finish(work))
    assert kinds(tmp_path / "job")[-1] == "stopped"
    assert bundle.block.training_data["stopped_early"] and bundle.block.training_data["steps"] <= 2
    assert "mean" in bundle.block.scores["dice"]


def test_a_stop_asked_before_the_first_step_still_gives_a_bundle(
    tiny: Recipe, dataset_folder: Path, tmp_path: Path
) -> None:
    bundle = read_own(finish(train(tiny, dataset_folder, tmp_path / "job", should_stop=lambda: True)))
    assert bundle.block.training_data["steps"] == 1


def test_both_stages_compose_and_fine_tune(
    tiny: Recipe, tiny_localiser: Recipe, trained: OwnBundle, dataset_folder: Path, tmp_path: Path
) -> None:
    localiser = read_own(finish(train(tiny_localiser, dataset_folder, tmp_path / "localise", steps=2)))
    assert [label.name for label in localiser.labels] == ["region of interest"]
    both = compose(localiser, trained, tmp_path / "both")
    recipe = recipe_for(both, load_recipe("finetune", ["validation.share=0.25", "trainable=head"]))
    assert recipe.network == tiny.network and recipe.data.spacing_mm == (3, 3, 3)
    tuned = read_own(
        finish(train(recipe, dataset_folder, tmp_path / "tuned", steps=3, init_from=both, name="tuned"))
    )
    assert tuned.name == "tuned" and [stage.name for stage in tuned.stages] == ["localise", "segment"]
    old, new = both.weights("localise"), tuned.weights("localise")
    assert all(torch.equal(old[name], new[name]) for name in old)
    old, new = both.weights("segment"), tuned.weights("segment")
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed and all("prediction" in name for name in changed)
    last = list(read_events(tmp_path / "tuned" / "events.jsonl"))[-1]
    assert set(last.data["before"]) == set(last.data["after"]) == {"right", "left", "middle", "mean"}
    assert tuned.block.scores["dice_before"] == last.data["before"] and " before |" in tuned.card


def test_fine_tuning_matches_labels_by_name(trained: OwnBundle, tmp_path: Path) -> None:
    """A data set with one of the labels, under another value: the others count as not contoured."""
    folder = write_dataset(tmp_path / "data", count=2)
    fields = json.loads((folder / "dataset.json").read_text())
    fields["labels"] = {"0": "background", "7": "left"}
    del fields["labels_present"]
    (folder / "dataset.json").write_text(json.dumps(fields))
    for path in (folder / "labelsTr").iterdir():
        labels = formats.read_labels(path)
        array = np.where(labels.array == 2, 7, 0).astype(np.uint8)
        formats.write(path, type(labels)(array, labels.geometry), overwrite=True)
    recipe = recipe_for(trained, load_recipe("finetune", ["validation.share=0.5"]))
    tuned = read_own(finish(train(recipe, folder, tmp_path / "job", steps=2, init_from=trained)))
    assert [label.name for label in tuned.labels] == ["right", "left", "middle"]
    assert tuned.block.scores["dice"]["right"] is None and tuned.block.scores["dice"]["left"] is not None


def test_a_step_with_a_gradient_that_is_not_finite_is_left_out(
    tiny: Recipe, dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = feeding.Batches.__getitem__

    def poisoned(batches: feeding.Batches, number: int) -> feeding.Batch:
        batch = honest(batches, number)
        return batch._replace(image=batch.image * float("nan")) if number == 1 else batch

    monkeypatch.setattr(feeding.Batches, "__getitem__", poisoned)
    finish(train(tiny, dataset_folder, tmp_path / "job", steps=3))
    events = list(read_events(tmp_path / "job" / "events.jsonl"))
    assert events[-1].data["skipped"] == 1
    assert any(event.kind == "warning" and event.data.get("step") == 2 for event in events)
    assert all(torch.isfinite(tensor).all() for tensor in weights(tmp_path / "job").values())


def refusal(tmp_path: Path, recipe: Recipe, folder: Path, **options: object) -> str:
    with pytest.raises(CtsegError) as caught:
        finish(train(recipe, folder, tmp_path / "job", **options))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_wrong_is_said_in_a_sentence(tiny: Recipe, dataset_folder: Path, tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path, tiny, tmp_path / "nowhere")
    last = list(read_events(tmp_path / "job" / "events.jsonl"))[-1]
    assert last.kind == "error" and "nowhere" in last.data["message"]
    wrong = load_recipe("scn-segment-small", [*TINY_SCN, "augmentation.mirror_pairs=[[right, spleen]]"])
    assert "no label 'spleen'" in refusal(tmp_path, wrong, dataset_folder)
    assert "nothing to resume" in refusal(tmp_path, tiny, dataset_folder, resume=True)
    assert "cannot be used here" in refusal(tmp_path, tiny, dataset_folder, device="cuda:99")
    strict = load_recipe("scn-segment-small", [*TINY_SCN, "data.require_count=4"])
    assert "require_count" in refusal(tmp_path, strict, dataset_folder)
    finish(train(tiny, dataset_folder, tmp_path / "job", steps=1))
    assert "holds a run already" in refusal(tmp_path, tiny, dataset_folder)
    other = load_recipe("scn-segment-small", [*TINY_SCN, "seed=5"])
    assert "another seed" in refusal(tmp_path, other, dataset_folder, resume=True)


def test_a_bundle_that_does_not_fit_the_recipe_is_refused(
    tiny: Recipe, trained: OwnBundle, dataset_folder: Path, tmp_path: Path
) -> None:
    wider = load_recipe("scn-segment-small", [*TINY_SCN, "network.filters=8"])
    assert "filters 4 and the recipe 8" in refusal(tmp_path, wider, dataset_folder, init_from=trained)
    localise = load_recipe("scn-localise-small")
    with pytest.raises(RecipeError, match="no stage 'localise'"):
        recipe_for(trained, localise)


def test_anatomy_is_hard_enough_to_tell_sides(dataset_folder: Path) -> None:
    """The stored files are flipped against the upright arrays; otherwise no test here would notice a lost
    flip.
    """
    stored = formats.read(dataset_folder / "imagesTr" / "case_0.nii.gz")
    assert not np.array_equal(stored.array, anatomy(0)[0])


def test_a_resumed_run_has_the_curve_of_an_uninterrupted_one(
    tiny: Recipe, dataset_folder: Path, tmp_path: Path
) -> None:
    """Points at the same steps, so patience, plateau and the best weights are the same too."""
    recipe = load_recipe(
        "scn-segment-small",
        [
            *TINY_SCN,
            "validation.every_steps=4",
            "validation.keep=best",
            "schedule={kind: plateau, patience: 1, factor: 0.5}",
            "validation.smoothing=0.3",
        ],
    )
    finish(train(recipe, dataset_folder, tmp_path / "whole", steps=9))
    work = train(recipe, dataset_folder, tmp_path / "parts", steps=9)
    while not next(work).message.startswith("step 3"):
        pass
    work.close()
    finish(train(recipe, dataset_folder, tmp_path / "parts", steps=9, resume=True))
    curves = [
        [
            (event.data["step"], event.data["scores"])
            for event in read_events(tmp_path / name / "events.jsonl")
            if event.kind == "validation" and not event.data["whole_bundle"]
        ]
        for name in ("whole", "parts")
    ]
    assert [step for step, _ in curves[0]] == [4, 8] and curves[0] == curves[1]
    whole, parts = (load_checkpoint(tmp_path / name / LAST) for name in ("whole", "parts"))
    assert all(torch.equal(whole.network[key], parts.network[key]) for key in whole.network)
    assert (
        whole.curve["best"] == parts.curve["best"] and whole.curve["reductions"] == parts.curve["reductions"]
    )


def test_resuming_with_other_cases_is_refused(tiny: Recipe, dataset_folder: Path, tmp_path: Path) -> None:
    finish(train(tiny, dataset_folder, tmp_path / "job", steps=1))
    smaller = write_dataset(tmp_path / "data", count=3)
    assert "other cases" in refusal(tmp_path, tiny, smaller, resume=True)


def test_a_skipped_step_leaves_the_batch_norms_as_they_were(
    dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(
        "geometric-sunet-small",
        [
            "geometric=null",
            "network.filters=4",
            "precision=fp32",
            "workers=0",
            "batch=1",
            "sampling={mode: slices, size: [2, 24, 16]}",
            "validation={share: 0.25, at_most: 1}",
            "data.intensity={clip_low: -200, clip_high: 500, shift: 150, scale: 350}",
        ],
    )
    honest = feeding.Batches.__getitem__

    def poisoned(batches: feeding.Batches, number: int) -> feeding.Batch:
        batch = honest(batches, number)
        return batch._replace(image=batch.image * float("nan")) if number == 1 else batch

    monkeypatch.setattr(feeding.Batches, "__getitem__", poisoned)
    bundle = read_own(finish(train(recipe, dataset_folder, tmp_path / "job", steps=3)))
    assert list(read_events(tmp_path / "job" / "events.jsonl"))[-1].data["skipped"] == 1
    assert all(torch.isfinite(tensor.float()).all() for tensor in bundle.weights("segment").values())
