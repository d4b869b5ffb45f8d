"""`evaluate` from the command line: what it prints, writes and returns for good and for awkward pairs."""

import csv
import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from ctseg_imaging.formats import write
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap
from napari_ctseg.commands.main import app

GEOMETRY = Geometry.from_parts((7, 18, 19), (2.5, 0.8, 0.9), (-12.5, 7.25, 30.0))
ELSEWHERE = Geometry.from_parts((7, 18, 19), (2.5, 0.8, 0.9), (5000.0, 7.25, 30.0))
COARSER = GEOMETRY.with_spacing((5.0, 1.6, 1.8))


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def label_map(boxes, geometry=GEOMETRY):
    array = np.zeros(geometry.shape, np.uint8)
    for value, box in boxes.items():
        array[box] = value
    return LabelMap(array, geometry)


@pytest.fixture
def dataset(tmp_path):
    """Four cases: a good, b on a coarser grid, c elsewhere, d without the spleen's contour; liver missed in
    none.
    """
    (tmp_path / "data" / "labelsTr").mkdir(parents=True)
    (tmp_path / "pred").mkdir()
    truth = label_map({1: np.s_[1:5, 2:9, 3:11], 2: np.s_[3:6, 11:16, 2:8]})
    for case in "abcd":
        write(tmp_path / "data" / "labelsTr" / f"{case}.nii.gz", truth)
    shifted = {1: np.s_[1:5, 3:10, 3:11], 2: np.s_[3:6, 11:16, 2:8]}
    write(tmp_path / "pred" / "a.nii.gz", label_map(shifted))
    write(
        tmp_path / "pred" / "b.nii.gz", label_map({1: np.s_[1:2, 1:4, 2:5], 2: np.s_[2:3, 6:8, 1:4]}, COARSER)
    )
    write(tmp_path / "pred" / "c.nii.gz", label_map(shifted, ELSEWHERE))
    write(tmp_path / "pred" / "d.nii.gz", label_map(shifted))
    (tmp_path / "data" / "dataset.json").write_text(
        json.dumps(
            {"labels": {"0": "background", "1": "liver", "2": "spleen"}, "labels_present": {"d": ["liver"]}}
        )
    )
    return tmp_path


def test_a_pair_of_files(dataset):
    result = run(
        dataset / "pred" / "a.nii.gz", dataset / "data" / "labelsTr" / "a.nii.gz", "--nsd-tolerance", 1
    )
    assert result.exit_code == 0, result.output
    table = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}
    assert table["liver"][:4] == ["0.857", "0.8", table["liver"][2], "1.000"]
    assert table["spleen"][0] == "1.000"
    assert "mean Dice 0.929 over 2 rows" in result.stdout


def test_a_folder_goes_on_past_a_case_that_fails_and_ends_with_1(dataset):
    result = run(
        dataset / "pred",
        dataset / "data",
        "--csv",
        dataset / "a.csv",
        "--json",
        dataset / "a.json",
        "--html",
        dataset / "a.html",
        "--per-slice",
        dataset / "s.csv",
    )
    assert result.exit_code == 1
    assert "c: the prediction and the truth do not overlap" in result.stderr
    assert "b: the prediction lies on another grid" in result.stderr
    assert "no point" not in result.stdout
    with (dataset / "a.csv").open(newline="") as file:
        rows = {(row["case"], row["name"]): row for row in csv.DictReader(file)}
    assert rows["a", "liver"]["resampled"] == "no"
    assert rows["b", "liver"]["resampled"] == "yes"
    assert "do not overlap" in rows["c", ""]["note"]
    assert rows["d", "spleen"]["note"] == "not contoured"
    assert rows["d", "spleen"]["dice"] == "nan"
    means = json.loads((dataset / "a.json").read_text())["summary"]
    assert [(row["name"], row["n"], row["n_not_contoured"]) for row in means] == [
        ("liver", 3, 0),
        ("spleen", 2, 1),
        ("all labels", 5, 1),
    ]
    assert means[0]["mean"]["dice"] == pytest.approx(
        np.mean([float(rows[case, "liver"]["dice"]) for case in "abd"])
    )
    assert (dataset / "a.html").stat().st_size > 1000
    assert "d,2," not in (dataset / "s.csv").read_text()


def test_a_folder_with_a_single_case_that_fails_still_writes_its_row(dataset):
    for case in "abd":
        (dataset / "pred" / f"{case}.nii.gz").unlink()
    result = run(dataset / "pred", dataset / "data", "--csv", dataset / "a.csv")
    assert result.exit_code == 1
    assert "do not overlap" in (dataset / "a.csv").read_text()
    assert "No prediction for a, b, d" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("pred/c.nii.gz", "data/labelsTr/c.nii.gz"),
        ("pred/nothing.nii.gz", "data/labelsTr/a.nii.gz"),
        ("pred/a.nii.gz", "data"),
        ("pred", "pred/a.nii.gz"),
    ],
)
def test_what_cannot_be_evaluated_is_a_sentence_and_nothing_is_written(dataset, arguments):
    before = sorted(dataset.rglob("*"))
    result = run(
        *(dataset / argument for argument in arguments),
        "--csv",
        dataset / "a.csv",
        "--html",
        dataset / "a.html",
    )
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()[-1]) > 20
    assert "Traceback" not in result.output
    assert sorted(dataset.rglob("*")) == before


def test_a_truncated_file_in_a_folder_is_that_cases_row(dataset):
    path = dataset / "pred" / "a.nii.gz"
    path.write_bytes(path.read_bytes()[:60])
    result = run(dataset / "pred", dataset / "data", "--csv", dataset / "a.csv")
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert (dataset / "a.csv").read_text().splitlines()[1].startswith("a,,")


def test_existing_files_are_kept_unless_told_and_asked_for_before_the_work(dataset):
    kept = dataset / "a.csv"
    kept.write_text("mine")
    pair = (dataset / "pred" / "a.nii.gz", dataset / "data" / "labelsTr" / "a.nii.gz")
    refused = run(*pair, "--csv", kept)
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert kept.read_text() == "mine"
    assert run(*pair, "--csv", kept, "--overwrite").exit_code == 0
    assert kept.read_text().startswith("case,label")


def test_a_missed_organ_is_left_out_of_the_mean_and_said(dataset):
    write(dataset / "pred" / "a.nii.gz", label_map({1: np.s_[1:5, 2:9, 3:11]}), overwrite=True)
    result = run(dataset / "pred" / "a.nii.gz", dataset / "data" / "labelsTr" / "a.nii.gz")
    assert result.exit_code == 0
    assert "mean Dice 1.000 over 1 row with" in result.stdout
    assert "mean Dice 0.500 when a label that only one side has counts as 0" in result.stdout
    assert "empty in the prediction" in result.stdout


def test_usage_is_2(dataset):
    assert run(dataset / "pred").exit_code == 2
    assert run(dataset / "pred", dataset / "data", "--convention", "mine").exit_code == 2
    assert run(dataset / "pred", dataset / "data", "--nsd-tolerance", "-1").exit_code == 2


def test_the_wmh_convention_agrees_with_the_challenges_program(shared_file, tmp_path):
    folder = shared_file("oracles/wmh")
    expected = json.loads((folder / "expected.json").read_text())["other_pathology"]
    masks = np.load(folder / "masks.npz")
    geometry = Geometry.from_parts(masks["other_pathology__result"].shape, expected["spacing_xyz"][::-1])
    write(tmp_path / "truth.nii.gz", LabelMap(masks["other_pathology__reference"], geometry))
    write(tmp_path / "result.nii.gz", LabelMap(masks["other_pathology__result"], geometry))
    result = run(
        tmp_path / "result.nii.gz",
        tmp_path / "truth.nii.gz",
        "--convention",
        "wmh2017",
        "--json",
        tmp_path / "a.json",
    )
    assert result.exit_code == 0, result.output
    (row,) = json.loads((tmp_path / "a.json").read_text())["cases"][0]["rows"]
    for key, theirs in (
        ("dice", "dice"),
        ("hd95", "hd95_mm"),
        ("avd_percent", "avd_percent"),
        ("lesion_recall", "lesion_recall"),
        ("lesion_f1", "lesion_f1"),
    ):
        assert row[key] == pytest.approx(expected[theirs], abs=1e-6, rel=1e-7)


def test_labels_of_real_cases_against_themselves(shared_file, tmp_path):
    truth = shared_file("headneck-ct/labelsTr")
    cases = sorted(truth.glob("*.nii.gz"))[-3:]
    for case in cases:
        shutil.copy(case, tmp_path / case.name)
    result = run(tmp_path, truth.parent, "--json", tmp_path / "a.json")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "a.json").read_text())
    present = json.loads((truth.parent / "dataset.json").read_text())["labels_present"]
    for case in found["cases"]:
        contoured = [row["name"] for row in case["rows"] if row["note"] != "not contoured"]
        assert sorted(contoured) == sorted(present[case["case"]])
    assert found["summary"][-1]["mean"]["dice"] == found["summary"][-1]["dice_empty_as_0"] == 1


def test_two_models_are_compared_on_the_cases_that_both_have(dataset):
    other = dataset / "other"
    other.mkdir()
    truth = dataset / "data" / "labelsTr" / "a.nii.gz"
    for case in "ad":
        shutil.copy(truth, other / f"{case}.nii.gz")
    for case in "bc":
        (dataset / "pred" / f"{case}.nii.gz").unlink()
    pages = ("--json", dataset / "a.json", "--html", dataset / "a.html")
    result = run(dataset / "pred", dataset / "data", "--against", other, *pages)
    assert result.exit_code == 0, result.output
    found = json.loads((dataset / "a.json").read_text())["against"]
    (liver,) = [row for row in found["rows"] if (row["name"], row["measure"]) == ("liver", "dice")]
    assert (liver["n"], liver["wins"], liver["ties"], liver["losses"]) == (2, 0, 0, 2)
    assert liver["first"] == pytest.approx(6 / 7) and liver["second"] == 1
    lines = result.stdout.split("on the same cases:")[1].splitlines()
    assert sum(line.startswith("spleen") for line in lines) == 3  # Dice, NSD, HD95
    page = (dataset / "a.html").read_text()
    assert "Compared with the second model" in page and "-0.143" in page


def test_a_second_folder_without_a_case_in_common_is_a_sentence(dataset):
    (dataset / "none").mkdir()
    result = run(
        dataset / "pred", dataset / "data", "--against", dataset / "none", "--csv", dataset / "a.csv"
    )
    assert result.exit_code == 1 and "no file of the same name" in result.stderr
    assert not (dataset / "a.csv").exists()


def test_the_worst_labels_come_with_the_command_that_opens_them(dataset):
    (dataset / "data" / "imagesTr").mkdir()
    image = dataset / "data" / "imagesTr" / "b_0000.nii.gz"
    write(image, label_map({}))
    (dataset / "pred" / "c.nii.gz").unlink()
    result = run(dataset / "pred", dataset / "data")
    lines = result.stdout.splitlines()
    worst = lines[lines.index("lowest Dice:") + 1 :]
    dice = [float(line.split()[0]) for line in worst]
    assert dice == sorted(dice) and len(dice) == 5
    (of_b,) = [line for line in worst if "liver of b" in line]
    prediction, truth = dataset / "pred" / "b.nii.gz", dataset / "data" / "labelsTr" / "b.nii.gz"
    assert of_b.endswith(f"napari-ctseg open {image} --labels {prediction} --truth {truth}")
