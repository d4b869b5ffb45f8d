"""`napari-ctseg calibrate` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ctseg_imaging import formats
from ctseg_imaging.volume import LabelMap, Labels, Volume
from ctseg_models.bundles import store
from ctseg_models.bundles.own.writing import write_bundle
from napari_ctseg.commands.main import app
from tests.models.making import oblique_geometry, threshold_stage, threshold_weights

SHAPE, SPACING = (23, 31, 38), (3.0, 2.0, 1.5)
TRUE_TEMPERATURE = 2.0


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The log odds of "organ", which is label 5 here and label 1 in the data set, are (HU - 200) / 50."""
    stage = threshold_stage("segment", 200, SPACING)
    weights = threshold_weights(stage)
    weights["prediction.weight"][1, 0] = 1.0
    return write_bundle(
        tmp_path / "soft",
        name="soft",
        stages=[stage],
        weights={"segment": weights},
        precision="fp32",
        labels=Labels.from_names({5: "organ"}),
        card="# soft",
    ).path


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two cases whose truth is drawn with odds at TRUE_TEMPERATURE; the second is for validation."""
    folder, draw = tmp_path / "data", np.random.default_rng(4)
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    pairs = []
    for name in ("one", "two"):
        hu = draw.normal(200, 150, SHAPE).astype(np.float32)
        truth = (draw.random(SHAPE) < 1 / (1 + np.exp(-(hu - 200) / 50 / TRUE_TEMPERATURE))).astype(np.uint8)
        geometry = oblique_geometry(SHAPE, SPACING)
        formats.write(folder / f"imagesTr/{name}.nii.gz", Volume(hu, geometry, modality="CT"))
        formats.write(
            folder / f"labelsTr/{name}.nii.gz", LabelMap(truth, geometry, Labels.from_names({1: "organ"}))
        )
        pairs.append({"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"})
    (folder / "dataset.json").write_text(
        json.dumps({"name": "made", "labels": {"1": "organ"}, "training": pairs[:1], "validation": pairs[1:]})
    )
    return folder


def test_a_temperature_is_fitted_on_the_validation_cases_and_stored(bundle: Path, dataset: Path) -> None:
    result = call("calibrate", bundle, "--data", dataset)
    assert result.exit_code == 0, result.output
    assert "must not have seen these cases: two" in result.stderr
    temperature, ece, nll = (line.split() for line in result.stdout.splitlines())
    assert float(temperature[1]) == pytest.approx(TRUE_TEMPERATURE, rel=0.08)
    assert float(ece[-3]) > 0.03 > float(ece[-1])
    assert float(nll[-3]) > float(nll[-1])
    found = store.read(bundle)
    found.verify()
    stage = json.loads((bundle / "configs/metadata.json").read_text())["ctseg"]["stages"][-1]
    assert stage["temperature"] == pytest.approx(float(temperature[1]), abs=1e-3)
    assert stage["calibration"]["data"] == {"name": "made", "cases": 1}
    again = call("calibrate", bundle, "--data", dataset)
    assert again.exit_code == 1 and "already calibrated (temperature" in again.stderr
    named = call("calibrate", bundle, "--data", dataset, "--cases", "one", "--cases", "two", "--overwrite")
    assert named.exit_code == 0, named.output


def test_what_cannot_be_calibrated_is_a_sentence(bundle: Path, dataset: Path) -> None:
    assert "no case 'three'" in call("calibrate", bundle, "--data", dataset, "--cases", "three").stderr
    (dataset / "dataset.json").write_text(
        (dataset / "dataset.json").read_text().replace('"organ"', '"liver"')
    )
    other = call("calibrate", bundle, "--data", dataset)
    assert other.exit_code == 1 and "no label 'liver'" in other.stderr
    assert call("calibrate", "no-such-bundle", "--data", dataset).exit_code == 1


def test_a_shipped_bundle_stays_as_it_is_and_a_calibrated_copy_is_the_persons(
    bundle: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped, own = tmp_path / "package", tmp_path / "own"
    shipped.mkdir()
    bundle = bundle.rename(shipped / "soft")
    monkeypatch.setattr(store, "shipped_folder", lambda: shipped)
    monkeypatch.setattr(store, "user_folder", lambda: own)
    monkeypatch.delenv("CTSEG_BUNDLES", raising=False)
    before = {file: file.read_bytes() for file in shipped.rglob("*") if file.is_file()}
    result = call("calibrate", "soft", "--data", dataset, "--cases", "one")
    assert result.exit_code == 0, result.output
    assert "In the training list of the data set: one." in result.stderr
    assert f"means the calibrated copy {own / 'soft'}" in result.stderr
    assert {file: file.read_bytes() for file in shipped.rglob("*") if file.is_file()} == before
    temperature = json.loads((own / "soft/configs/metadata.json").read_text())["ctseg"]["stages"][-1][
        "temperature"
    ]
    assert temperature == pytest.approx(TRUE_TEMPERATURE, rel=0.08)
    assert store.find("soft").path == own / "soft"
    store.find("soft").verify()
    again = call(
        "calibrate", bundle, "--data", dataset
    )  # by its path: the copy is there and is not replaced unasked
    assert again.exit_code == 1 and f"{own / 'soft'}: a bundle with this name already exists" in again.stderr
    assert call("calibrate", bundle, "--data", dataset, "--overwrite").exit_code == 0
    assert {file: file.read_bytes() for file in shipped.rglob("*") if file.is_file()} == before
