"""`napari-ctseg crossval`, as a user calls it: folds by slices, an interrupted fold, and a table that can
be worked out again.
"""

from __future__ import annotations

import csv
import json
import shutil
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from ctseg_imaging import formats
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import LabelMap, Volume
from ctseg_models.bundles.own.bundle import read_own
from ctseg_models.inference import Region, run
from ctseg_training.recipes import load_recipe
from ctseg_training.recipes.schema import Validation
from ctseg_training.run.engine import train
from napari_ctseg.commands.main import app
from tests.tiny_recipe import TINY

RECIPE = {
    **TINY,
    "budget": {"steps": 6},
    "optimiser": {"learning_rate": 0.01},
    "checkpoints": {"every_steps": 2},
    "ema": 0.5,
}
SLICES = {"a": 20, "b": 12, "c": 16, "d": 14}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    pairs = []
    for name, slices in SLICES.items():
        geometry = Geometry.from_parts((slices, 14, 16), (3.0, 2.5, 2.0))
        labels = np.zeros(geometry.shape, np.uint8)
        labels[4:9, 4:10, 5:11] = 1
        pair = {"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"}
        formats.write(folder / pair["image"], Volume(labels.astype(np.int16) * 300, geometry))
        formats.write(folder / pair["label"], LabelMap(labels, geometry))
        pairs.append(pair)
    (folder / "dataset.json").write_text(
        json.dumps({"labels": {"0": "background", "1": "box"}, "training": pairs})
    )
    return folder


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_every_case_is_scored_by_the_network_that_did_not_see_it(
    data: Path, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, messages, errors = call(
        "crossval",
        recipe,
        "--data",
        data,
        "--out",
        out,
        "--folds",
        2,
        "--set",
        "seed=4",
        "--set",
        "validation={patience: 50, every_steps: 50}",
    )
    assert code == 0, errors
    assert "2 cases of 12 to 14; 2 cases of 16 to 20" in errors and "its scores are optimistic" in errors
    found = json.loads((out / "crossval.json").read_text())
    assert [(case["case"], case["fold"], case["slices"]) for case in found["cases"]] == [
        ("b", 1, 12),
        ("d", 1, 14),
        ("c", 2, 16),
        ("a", 2, 20),
    ]
    assert [
        yaml.safe_load((out / f"fold_{n}/recipe.yaml").read_text())["validation"]["cases"] for n in (1, 2)
    ] == [["b", "d"], ["c", "a"]]

    truth = formats.read_labels(data / "labelsTr/c.nii.gz")
    where = np.argwhere(truth.array)
    margin = np.ceil(
        read_own(out / "fold_2/bundle").stages[0].margin_mm / np.array(truth.geometry.spacing_mm)
    ).astype(int)
    low, high = np.maximum(where.min(0) - margin, 0), np.minimum(where.max(0) + 1 + margin, truth.array.shape)
    box = Region.from_index(truth.geometry, tuple(low.tolist()), tuple(high.tolist()))
    output = (
        finish(
            run(read_own(out / "fold_2/bundle"), formats.read(data / "imagesTr/c.nii.gz"), region=box)
        ).labels.array
        > 0
    )
    expected = 2 * (output & (truth.array > 0)).sum() / (output.sum() + (truth.array > 0).sum())
    assert found["cases"][2]["dice"]["box"] == pytest.approx(expected) and expected > 0.05

    dice = [case["dice"]["box"] for case in found["cases"]]
    (row,) = [row for row in csv.DictReader((out / "crossval.csv").open()) if row["label"] == "box"]
    assert float(row["mean"]) == pytest.approx(statistics.mean(dice)) and float(
        row["deviation"]
    ) == pytest.approx(statistics.stdev(dice))
    assert f"{statistics.mean(dice):.3f} ± {statistics.stdev(dice):.3f} (4 cases)" in messages


def test_an_interrupted_fold_goes_on_and_a_finished_one_is_left_alone(
    data: Path, recipe: Path, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert call("crossval", recipe, "--data", data, "--out", whole, "--folds", 2)[0] == 0
    # A copy set back: fold 2 as it was when its training was closed after three steps, before it was scored.
    shutil.copytree(whole, broken, ignore=shutil.ignore_patterns("fold_2", "crossval.*"))
    chosen = load_recipe(recipe)
    work = train(
        chosen.model_copy(update={"validation": Validation(cases=("c", "a"))}),
        data,
        broken / "fold_2",
        name="tiny-fold-2",
    )
    while "step 3" not in next(work).message:
        pass
    work.close()
    first = (broken / "fold_1/bundle/SHA256SUMS").stat().st_mtime_ns
    code, _, errors = call("crossval", recipe, "--data", data, "--out", broken, "--folds", 2)
    assert code == 1 and "--resume" in errors and "Traceback" not in errors
    code, _, errors = call("crossval", recipe, "--data", data, "--out", broken, "--folds", 2, "--resume")
    assert code == 0 and "optimistic" not in errors, errors
    assert (broken / "fold_1/bundle/SHA256SUMS").stat().st_mtime_ns == first
    starts = [
        json.loads(line)["from_step"]
        for line in (broken / "fold_2/events.jsonl").read_text().splitlines()
        if '"start"' in line
    ]
    assert starts == [0, 3]
    ours, theirs = (json.loads((folder / "crossval.json").read_text())["cases"] for folder in (broken, whole))
    assert [case["dice"]["box"] for case in ours] == pytest.approx(
        [case["dice"]["box"] for case in theirs], abs=1e-6
    )


def test_what_is_wrong_is_a_sentence(data: Path, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    code, messages, errors = call("crossval", recipe, "--data", data, "--out", out, "--folds", 5)
    assert code == 1 and "take 2 to 4" in errors and messages == "" and not out.exists()
    out.mkdir()
    (out / "folds.json").write_text("{}")
    code, _, errors = call("crossval", recipe, "--data", data, "--out", out, "--folds", 2, "--resume")
    assert code == 1 and "another recipe" in errors and "Traceback" not in errors
