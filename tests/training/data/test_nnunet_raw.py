"""nnU-Net raw folders, which list no cases, as data sets for training."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ctseg_imaging.errors import RecipeError
from ctseg_training.data.decathlon import open_dataset

V2: dict[str, Any] = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "liver": 1, "lesion": 2},
    "numTraining": 2,
    "file_ending": ".nrrd",
}
V1: dict[str, Any] = {
    "modality": {"0": "CT"},
    "labels": {"0": "background", "1": "liver", "2": "lesion"},
    "numTraining": 2,
}


def raw(folder: Path, fields: dict[str, Any], ending: str) -> Path:
    """Two cases and a test image; opening reads no voxel, so the files are empty."""
    for place, names in {
        "imagesTr": ("b_0000", "a_0000"),
        "labelsTr": ("b", "a"),
        "imagesTs": ("c_0000",),
    }.items():
        (folder / place).mkdir(parents=True)
        for name in names:
            (folder / place / f"{name}{ending}").touch()
    (folder / "dataset.json").write_text(json.dumps(fields))
    return folder


@pytest.mark.parametrize(
    ("fields", "ending"), [(V2, ".nrrd"), (V1, ".nii.gz"), (V2 | {"file_ending": ".mha"}, ".mha")]
)
def test_the_cases_are_found_in_the_folders(tmp_path: Path, fields: dict[str, Any], ending: str) -> None:
    dataset = open_dataset(raw(tmp_path / "Dataset001_X", fields, ending))
    assert [entry.name for entry in dataset.training] == ["a", "b"]
    assert [entry.image.name for entry in dataset.training] == [f"a_0000{ending}", f"b_0000{ending}"]
    assert [entry.label.name for entry in dataset.training] == [f"a{ending}", f"b{ending}"]
    assert [(label.value, label.name) for label in dataset.labels] == [(1, "liver"), (2, "lesion")]
    assert dataset.validation == ()


@pytest.mark.parametrize(
    ("missing", "named"),
    [("labelsTr/a.nrrd", "case a"), ("imagesTr/b_0000.nrrd", "case b"), ("imagesTr", "imagesTr")],
)
def test_a_case_that_misses_a_file_is_named(tmp_path: Path, missing: str, named: str) -> None:
    folder = raw(tmp_path / "data", V2, ".nrrd")
    if (folder / missing).is_dir():
        (folder / missing).rename(folder / "elsewhere")
    else:
        (folder / missing).unlink()
    with pytest.raises(RecipeError, match=named):
        open_dataset(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"background": 0, "whole": [1, 2], "core": 2}},
        {"labels": {"background": 0, "liver": 1, "ignore": 2}},
        {"channel_names": {"0": "T1", "1": "T2"}},
        {"channel_names": {}},
        {"channel_names": [1]},
        {"file_ending": ".png"},
        {"labels": []},
    ],
)
def test_what_cannot_be_trained_on_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        open_dataset(raw(tmp_path / "data", V2 | change, ".nrrd"))


@pytest.mark.parametrize("which", ["a", "b"])
def test_a_reported_folder_opens(which: str) -> None:
    folder = (
        Path(os.environ.get("CTSEG_SHARED_DATA", "../shared/data"))
        / "reported"
        / "nnunet-raw-dataset"
        / which
    )
    if not folder.is_dir():
        pytest.skip("shared/data/reported is not here")
    dataset = open_dataset(folder)
    assert [entry.name for entry in dataset.training] == [f"case{number}" for number in range(5)]
    assert [label.name for label in dataset.labels] == ["liver", "lesion"]
