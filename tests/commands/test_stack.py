"""`napari-ctseg stack`, as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ctseg_imaging import formats
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Labels
from ctseg_models.bundles.own.writing import write_bundle
from ctseg_models.ensembles.stack import read_stack
from ctseg_models.ensembles.stacking import run_stack
from ctseg_training.data.decathlon import open_dataset
from ctseg_training.stack_training import StackSettings, train_stack
from napari_ctseg.commands.main import app
from tests.models.making import threshold_stage, threshold_weights
from tests.training.test_stacking import write_members, write_shells


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    return result.exit_code, result.stdout, result.stderr


def named_like_the_label(folder: Path) -> Path:
    """Above 85 HU, called as the data set calls it: a member that can be scored."""
    stage = threshold_stage("segment", 85, (2.0, 2.5, 2.5))
    return write_bundle(
        folder,
        name=folder.name,
        stages=[stage],
        weights={"segment": threshold_weights(stage)},
        labels=Labels.from_names({2: "Middling"}),
        card="# A threshold",
    ).path


def test_a_stack_beside_its_members(tmp_path: Path) -> None:
    data = write_shells(tmp_path / "data", 3)
    high = write_members(tmp_path)[1].path
    low = named_like_the_label(tmp_path / "knows")
    code, messages, errors = call(
        "stack",
        "-m",
        low,
        "-m",
        high,
        "--data",
        data,
        "--out",
        tmp_path / "out",
        "--steps",
        40,
        "--name",
        "pair",
    )
    assert code == 0, errors
    assert "Training on case_0, case_2; evaluating on case_1." in errors and "must not have seen" in errors
    head, row, mean, folder = messages.strip().splitlines()
    assert head.split() == ["label", "stack", "Dice", "knows", "Dice", "high", "Dice"]
    assert row.startswith("middling") and row.endswith("-") and mean.startswith("mean")
    stack = read_stack(Path(folder))
    assert stack.name == "pair" and folder == str(tmp_path / "out/stack")
    # The member finds all balls, half of its labels are right: 2 / 3 by volume.
    of_member = stack.scores["dice"]["knows"]["middling"]["mean"]
    assert of_member == pytest.approx(2 / 3, abs=0.05) and f"{of_member:.3f} (1 case)" in row
    assert stack.scores["dice"]["stack"]["middling"]["mean"] > of_member

    image = next((data / "imagesTr").iterdir())
    code, messages, errors = call("predict", "-m", folder, image, tmp_path / "labels.nii.gz")
    assert code == 0, errors
    expected = finish(run_stack(stack, formats.read(image))).labels.array
    assert np.array_equal(formats.read_labels(tmp_path / "labels.nii.gz").array, expected) and expected.any()
    assert json.loads((tmp_path / "labels.provenance.json").read_text())["stack"]["name"] == "pair"
    code, messages, errors = call("predict", "-m", folder, "-m", low, image, tmp_path / "other.nii.gz")
    assert code == 1 and "without other models" in errors and not (tmp_path / "other.nii.gz").exists()

    code, messages, errors = call("stack", "-m", low, "--data", data, "--out", tmp_path / "out")
    assert code == 1 and "already exists" in errors and messages == ""


def test_named_cases_are_the_ones_used(tmp_path: Path) -> None:
    data = write_shells(tmp_path / "data", 4)
    members = write_members(tmp_path)
    code, _, errors = call(
        "stack",
        "-m",
        members[0].path,
        "-m",
        members[1].path,
        "--data",
        data,
        "--out",
        tmp_path / "out",
        "--cases",
        "case_3",
        "--cases",
        "case_1",
        "--steps",
        5,
        "--seed",
        9,
    )
    assert code == 0, errors
    entries = {entry.name: entry for entry in open_dataset(data).validation}
    expected, _ = finish(
        train_stack(
            members,
            open_dataset(data),
            [entries["case_3"], entries["case_1"]],
            tmp_path / "same",
            name="x",
            settings=StackSettings(steps=5, seed=9),
        )
    )
    assert read_stack(tmp_path / "out/stack").weights_sha256 == expected.weights_sha256


def test_what_is_wrong_is_a_sentence(tmp_path: Path) -> None:
    data = write_shells(tmp_path / "data", 1)
    low = write_members(tmp_path)[0].path
    for more, part in (
        ((), "two or more"),
        (("--cases", "nobody"), "no case 'nobody'"),
        (("-m", "nothing"), "no bundle, folder or file has this name"),
    ):
        code, messages, errors = call("stack", "-m", low, "--data", data, "--out", tmp_path / "out", *more)
        assert code == 1 and part in errors and messages == "" and "Traceback" not in errors
    assert call("stack", "--data", data, "--out", tmp_path / "out")[0] == 2
