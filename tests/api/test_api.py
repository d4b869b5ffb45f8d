"""The public API as a notebook uses it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
import yaml

import napari_ctseg as ctseg
from ctseg_imaging.phantom import abdomen
from ctseg_models.bundles.own.bundle import OwnBundle
from ctseg_models.contract.stage import Model
from tests.tiny_recipe import TINY

OBLIQUE = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def phantom() -> tuple[ctseg.Volume, ctseg.LabelMap]:
    case = abdomen(90_003, (42, 50, 52), (9.0, 6.8, 6.8))
    return case.image, case.labels


def boxes() -> tuple[ctseg.LabelMap, ctseg.LabelMap]:
    """A truth with two labels, and a prediction that is one voxel short in label 1 and has label 2 whole."""
    truth = np.zeros((7, 8, 9), np.uint8)
    truth[1:3, 2:6, 3:7] = 1
    truth[4:6, 2:4, 3:5] = 2
    predicted = truth.copy()
    predicted[1:3, 2:6, 6] = 0
    names = {1: "box", 2: "cube"}
    return (
        ctseg.as_labels(predicted, names=names, spacing_mm=(3, 2, 1)),
        ctseg.as_labels(truth, names=names, spacing_mm=(3, 2, 1)),
    )


def test_an_array_becomes_a_volume_with_the_geometry_that_is_given() -> None:
    array = np.arange(7 * 8 * 9, dtype=np.int16).reshape(7, 8, 9)
    image = ctseg.as_volume(array, spacing_mm=(3, 2, 1), origin_lps_mm=(10, 20, 30), direction=OBLIQUE)
    assert image.geometry.spacing_mm == pytest.approx((3, 2, 1))
    # one step along x is 1 mm in the direction of the first column, one along y is 2 mm in the second
    assert image.geometry.index_to_lps((0, 0, 1)) == pytest.approx((10.8, 20.6, 30))
    assert image.geometry.index_to_lps((0, 1, 0)) == pytest.approx((8.8, 21.6, 30))
    assert ctseg.as_volume(image) is image


def test_an_array_without_spacing_is_refused() -> None:
    with pytest.raises(ctseg.GeometryError, match="give spacing_mm"):
        ctseg.as_volume(np.zeros((2, 3, 4)))
    with pytest.raises(ctseg.GeometryError, match=r"\(3, 4\)"):
        ctseg.as_labels(np.zeros((3, 4), np.uint8), spacing_mm=(1, 1, 1))
    with pytest.raises(ValueError, match="integers"):
        ctseg.as_labels(np.zeros((2, 3, 4)), spacing_mm=(1, 1, 1))


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_images_and_labels_come_back_from_a_file(tmp_path: Path, ending: str) -> None:
    array = np.arange(7 * 8 * 9, dtype=np.int16).reshape(7, 8, 9)
    image = ctseg.as_volume(array, spacing_mm=(3, 2, 1), origin_lps_mm=(10, 20, 30), direction=OBLIQUE)
    mask = ctseg.as_labels(array > 300, names={1: "bright"}, **parts(image))
    assert ctseg.write(tmp_path / f"image{ending}", image) == ()
    ctseg.write(str(tmp_path / f"mask{ending}"), mask, like=image)
    back = ctseg.read(tmp_path / f"image{ending}")
    assert np.array_equal(back.array, array)
    assert back.geometry.affine_lps == pytest.approx(image.geometry.affine_lps, abs=1e-5)
    labels = ctseg.as_labels(str(tmp_path / f"mask{ending}"), names={1: "bright"})
    assert np.array_equal(labels.array, array > 300) and labels.labels.name(1) == "bright"
    with pytest.raises(ctseg.FormatError, match="exists"):
        ctseg.write(tmp_path / f"image{ending}", image)


@pytest.mark.parametrize("library", ["SimpleITK", "nibabel"])
def test_images_of_other_libraries_are_taken(library: str) -> None:
    """Their own way to place a voxel is the oracle."""
    array = np.zeros((5, 6, 7), np.int16)
    array[2:4, 1:4, 3:6] = 1
    image: Any
    if library == "SimpleITK":
        image = SimpleITK.GetImageFromArray(array)
        image.SetSpacing((1.0, 2.0, 3.0))
        image.SetDirection(OBLIQUE.ravel().tolist())
        image.SetOrigin((10.0, 20.0, 30.0))
        place = image.TransformIndexToPhysicalPoint((4, 3, 2))
    else:
        affine = np.diag([-1.0, -2.0, 3.0, 1.0])
        affine[:3, 3] = -10, -20, 30
        image = nibabel.Nifti1Image(array.T, affine)
        place = (affine @ (4, 3, 2, 1))[:3] * (-1, -1, 1)
    volume = ctseg.as_volume(image)
    assert np.array_equal(np.asarray(volume), array)
    assert volume.geometry.index_to_lps((2, 3, 4)) == pytest.approx(place)
    mask = ctseg.as_labels(image, names={1: "box"})
    assert mask.labels.name(1) == "box" and mask.array.dtype == np.uint8
    assert ctseg.evaluate(image, mask).mean_dice == 1.0
    assert ctseg.predict(image, "phantom-abdomen-scn").labels.shape == array.shape


def parts(image: ctseg.Volume) -> dict[str, object]:
    """The geometry of an image as `as_labels` takes it."""
    grid = image.geometry
    return {"spacing_mm": grid.spacing_mm, "origin_lps_mm": grid.origin_lps_mm, "direction": grid.direction}


def test_presets_have_limits_around_their_level() -> None:
    assert ctseg.presets()["lung"].limits == (-1350.0, 150.0)
    image = ctseg.as_volume(np.arange(1000.0).reshape(10, 10, 10), spacing_mm=(1, 1, 1))
    assert set(ctseg.presets(image)) == {"0.5-99.5 %", "60-99 %"}


def test_models_are_listed_and_found() -> None:
    assert {"headneck-ct-scn", "phantom-abdomen-scn"} <= set(ctseg.list_models())
    model = ctseg.load_model("phantom-abdomen-scn")
    assert [label.name for label in model.labels] == ["liver", "kidneys", "spleen", "pancreas"]
    with pytest.raises(ctseg.BundleError, match="no-such-model"):
        ctseg.load_model("no-such-model")


def test_a_loaded_model_is_read_once_for_many_images(
    phantom: tuple[ctseg.Volume, ctseg.LabelMap], monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _ = phantom
    loads: list[str] = []
    load = OwnBundle.load

    def counted(bundle: OwnBundle, device: str = "cpu") -> Model:
        loads.append(bundle.name)
        return load(bundle, device)

    monkeypatch.setattr(OwnBundle, "load", counted)
    model = ctseg.load_model("phantom-abdomen-scn")
    one, again = ctseg.predict(image, model), ctseg.predict(image, ctseg.load_model(model))
    assert loads == ["phantom-abdomen-scn"]
    both = ctseg.predict(image, [model, model], combine="vote")
    assert loads == ["phantom-abdomen-scn"]
    by_name = ctseg.predict(image, "phantom-abdomen-scn")
    assert len(loads) == 2
    for other in (again, both, by_name):
        assert np.array_equal(one.labels.array, other.labels.array)
    assert one.provenance["bundles"] == by_name.provenance["bundles"]


def test_what_a_notebook_shows_of_a_model_and_a_prediction_is_one_line(
    phantom: tuple[ctseg.Volume, ctseg.LabelMap],
) -> None:
    model = ctseg.load_model("phantom-abdomen-scn")
    labels = ctseg.as_labels(phantom[1].array[:1], spacing_mm=(3, 2, 1))
    prediction = ctseg.Prediction(labels, provenance={"bundles": [{"name": "phantom-abdomen-scn"}]})
    for text, parts in ((repr(model), ("liver", "spacing_mm=(3, 3, 3)")), (repr(prediction), ("LabelMap",))):
        assert "phantom-abdomen-scn" in text and all(part in text for part in parts)
        assert "\n" not in text and len(text) < 300


def test_a_prediction_lies_on_the_grid_of_its_image(phantom: tuple[ctseg.Volume, ctseg.LabelMap]) -> None:
    image, truth = phantom
    steps: list[ctseg.Progress] = []
    prediction = ctseg.predict(image, "phantom-abdomen-scn", progress=steps.append)
    assert prediction.labels.array.shape == image.array.shape
    assert np.array_equal(prediction.labels.geometry.affine_lps, image.geometry.affine_lps)
    assert prediction.labels.labels.name(1) == "liver"
    assert {"load", "localise", "segment"} <= {step.stage for step in steps}
    evaluation = ctseg.evaluate(prediction, truth)
    both = np.logical_and(prediction.labels.array == 1, truth.array == 1).sum()
    dice = 2 * both / ((prediction.labels.array == 1).sum() + (truth.array == 1).sum())
    assert evaluation.rows[0].dice == pytest.approx(dice)
    assert dice > 0.5


def test_a_region_is_looked_at_and_nothing_else(phantom: tuple[ctseg.Volume, ctseg.LabelMap]) -> None:
    image, _ = phantom
    model = ctseg.load_model("phantom-abdomen-scn")
    region = ctseg.Region.from_index(image.geometry, (10, 10, 10), (30, 40, 30))
    found = np.argwhere(ctseg.predict(image, model, region=region).labels.array)
    assert len(found)
    assert (found.min(axis=0) >= (10, 10, 10)).all() and (found.max(axis=0) < (30, 40, 30)).all()


def test_an_ensemble_of_one_model_twice_agrees_with_itself(
    phantom: tuple[ctseg.Volume, ctseg.LabelMap],
) -> None:
    image, _ = phantom
    one = ctseg.predict(image, "phantom-abdomen-scn")
    two = ctseg.predict(image, ["phantom-abdomen-scn", "phantom-abdomen-scn"], combine="vote")
    assert np.array_equal(one.labels.array, two.labels.array)
    assert two.disagreement is not None and not two.disagreement.array.any()
    with pytest.raises(ValueError, match="single model"):
        ctseg.predict(image, ["phantom-abdomen-scn"] * 2, edge_map=True)
    with pytest.raises(ValueError, match="at least one"):
        ctseg.predict(image, [])


def test_an_evaluation_is_a_table(tmp_path: Path) -> None:
    evaluation = ctseg.evaluate(*boxes())
    box, cube = evaluation.rows
    assert (box.name, box.dice) == ("box", pytest.approx(2 * 24 / (24 + 32)))
    assert (cube.name, cube.dice, cube.hd95) == ("cube", 1.0, 0.0)
    assert box.volume_truth_ml == pytest.approx(32 * 6 / 1000)
    assert evaluation.mean_dice == pytest.approx((box.dice + 1) / 2)
    assert [row.name for row in evaluation.worst(1)] == ["box"]
    assert [row.name for row in evaluation.worst(1, "hd")] == ["box"]
    assert len(evaluation) == 2 and evaluation.to_records()[1]["dice"] == 1.0
    assert "mean Dice" in str(evaluation) and "<pre>" in evaluation._repr_html_()
    evaluation.to_csv(tmp_path / "scores.csv")
    evaluation.to_json(tmp_path / "scores.json")
    evaluation.to_html(tmp_path / "scores.html")
    lines = list(csv.DictReader((tmp_path / "scores.csv").open(encoding="utf-8")))
    assert [float(line["dice"]) for line in lines] == pytest.approx([row.dice for row in evaluation.rows])
    assert json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))["n_cases"] == 1
    with pytest.raises(ctseg.FormatError, match="exists"):
        evaluation.to_csv(tmp_path / "scores.csv")


def test_folders_are_paired_by_name_and_a_bad_case_is_reported(tmp_path: Path) -> None:
    predicted, truth = boxes()
    for folder in ("truth", "predicted"):
        (tmp_path / folder).mkdir()
    ctseg.write(tmp_path / "predicted/a.nii.gz", predicted)
    (tmp_path / "predicted/b.nii.gz").write_bytes(b"no image")
    ctseg.write(tmp_path / "predicted/extra.nii.gz", predicted)
    for case in ("a", "b"):
        ctseg.write(tmp_path / f"truth/{case}.nii.gz", truth)
    evaluation = ctseg.evaluate(tmp_path / "predicted", tmp_path / "truth")
    good, bad = evaluation.cases
    assert good.rows[0].dice == pytest.approx(24 / 28) and not good.failed
    assert "b.nii.gz" in bad.failed and bad.failed in evaluation.warnings
    assert evaluation.only_predicted == ("extra",)


def test_training_gives_a_model_that_predicts(tmp_path: Path) -> None:
    data = data_set(tmp_path / "data")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    result = ctseg.train(
        recipe, data, tmp_path / "run", steps=3, overrides={"seed": 3, "optimiser.learning_rate": 1e-5}
    )
    assert result.steps[-1]["step"] == 3 and result.steps[-1]["learning_rate"] == pytest.approx(1e-5, rel=0.9)
    assert set(result.dice) == {"box", "mean"} and result.dice_before == {}
    assert "3 steps" in repr(result)
    image = ctseg.read(data / "imagesTr/c0.nii.gz")
    assert ctseg.predict(image, result.model).labels.array.shape == image.array.shape
    more = ctseg.train(recipe, data, tmp_path / "more", start_from=result.model, name="boxes")
    assert more.model.name == "boxes" and set(more.dice_before) == {"box", "mean"}
    assert ctseg.TrainingResult.read(tmp_path / "run").dice == result.dice
    with pytest.raises(ctseg.RecipeError, match="holds a run already"):
        ctseg.train(recipe, data, tmp_path / "run")


def test_a_script_without_a_guard_is_told_to_have_one(tmp_path: Path) -> None:
    """The process that makes the samples imports the script, which would train there too."""
    recipe, data = tmp_path / "tiny.yaml", data_set(tmp_path / "data")
    recipe.write_text(yaml.safe_dump({**TINY, "workers": 1}), encoding="utf-8")
    script = tmp_path / "script.py"
    call = f"ctseg.train({str(recipe)!r}, {str(data)!r}, {str(tmp_path / 'run')!r}, steps=2)"
    script.write_text(f"import napari_ctseg as ctseg\n{call}\n", encoding="utf-8")
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert "RecipeError" in last and 'if __name__ == "__main__":' in last


def test_recipes_are_listed() -> None:
    assert "headneck-segment" in ctseg.list_recipes()


def data_set(folder: Path) -> Path:
    """Two cases with a bright box in each."""
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    labels = np.zeros((12, 14, 16), np.uint8)
    labels[4:9, 4:10, 5:11] = 1
    pairs = []
    for number in range(2):
        pair = {"image": f"imagesTr/c{number}.nii.gz", "label": f"labelsTr/c{number}.nii.gz"}
        ctseg.write(
            folder / pair["image"], ctseg.as_volume(labels.astype(np.int16) * 300, spacing_mm=(3, 2.5, 2))
        )
        ctseg.write(folder / pair["label"], ctseg.as_labels(labels, spacing_mm=(3, 2.5, 2)))
        pairs.append(pair)
    listing = {"labels": {"0": "background", "1": "box"}, "training": pairs}
    (folder / "dataset.json").write_text(json.dumps(listing), encoding="utf-8")
    return folder


def test_a_region_of_another_type_is_refused(phantom: tuple[ctseg.Volume, ctseg.LabelMap]) -> None:
    corners: Any = ((10, 10, 10), (60, 60, 60))
    with pytest.raises(ctseg.GeometryError, match=r"^region is a tuple; give a Region"):
        ctseg.predict(phantom[0], "phantom-abdomen-scn", region=corners)
