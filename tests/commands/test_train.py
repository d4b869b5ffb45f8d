"""`napari-ctseg train` and `recipes`, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from ctseg_imaging import formats
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Volume
from napari_ctseg.commands.main import app
from tests.tiny_recipe import TINY


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    geometry = Geometry.from_parts((12, 14, 16), (3.0, 2.5, 2.0))
    labels = np.zeros(geometry.shape, np.uint8)
    labels[4:9, 4:10, 5:11] = 1
    pairs = []
    for number in range(2):
        pair = {"image": f"imagesTr/c{number}.nii.gz", "label": f"labelsTr/c{number}.nii.gz"}
        formats.write(folder / pair["image"], Volume(labels.astype(np.int16) * 300, geometry))
        formats.write(folder / pair["label"], LabelMap(labels, geometry))
        pairs.append(pair)
    (folder / "dataset.json").write_text(
        json.dumps({"labels": {"0": "background", "1": "box"}, "training": pairs})
    )
    return folder


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_train_and_train_further(data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(TINY))
    code, messages, errors = call(
        "train", recipe, "--data", data, "--out", tmp_path / "first", "--name", "boxes", "--set", "seed=3"
    )
    assert code == 0, errors
    assert Path(messages.strip()) == tmp_path / "first" / "bundle" and "Dice box:" in errors
    code, messages, errors = call(
        "train",
        recipe,
        "--data",
        data,
        "--out",
        tmp_path / "second",
        "--from",
        tmp_path / "first" / "bundle",
        "--steps",
        1,
    )
    assert code == 0, errors
    assert "(before " in errors
    code, _, errors = call("train", recipe, "--data", data, "--out", tmp_path / "first")
    assert code == 1 and "holds a run already" in errors and "Traceback" not in errors


def test_what_is_wrong_is_a_sentence(data: Path, tmp_path: Path) -> None:
    for arguments, reports in (
        (("train", "no-such", "--data", data, "--out", tmp_path / "o"), "no such recipe"),
        (("train", "finetune", "--data", tmp_path, "--out", tmp_path / "o"), "dataset.json: does not exist"),
        (
            ("train", "finetune", "--data", data, "--out", tmp_path / "o", "--set", "bogus=1"),
            "bogus is not a field",
        ),
        (("recipes", "scn-segmnt"), "did you mean scn-segment"),
    ):
        code, messages, errors = call(*arguments)
        assert code == 1 and reports in errors and messages == "" and len(errors.strip().splitlines()) <= 2
    assert call("train", "finetune")[0] == 2


def test_recipes_are_listed_and_printed() -> None:
    code, messages, _ = call("recipes")
    assert code == 0 and "scn-segment " in messages and "500,000 steps" in messages
    code, messages, _ = call("recipes", "scn-segment")
    assert (
        code == 0
        and messages.startswith("# Paper 5")
        and yaml.safe_load(messages)["network"]["kind"] == "scn"
    )
    code, messages, _ = call("recipes", "scn-segment", "--json")
    assert code == 0 and json.loads(messages)["data"]["spacing_mm"] == [2, 2, 2]


@pytest.mark.long
def test_two_processes_from_the_command(data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(TINY))
    result = CliRunner().invoke(
        app,
        [
            "train",
            str(recipe),
            "--data",
            str(data),
            "--out",
            str(tmp_path / "run"),
            "--processes",
            "2",
            "--device",
            "cpu",
        ],
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run/bundle/configs/metadata.json").is_file()
