"""`info`: facts about a file, for a user and for a program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from napari_ctseg.commands.main import app


def write(
    path: Path, array: np.ndarray[Any, Any], spacing: tuple[float, float, float] = (0.7, 1.1, 2.5)
) -> Path:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin((-11.0, 22.0, 33.0))
    sitk.WriteImage(image, str(path))
    return path


def facts(path: Path) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["info", str(path), "--json"])
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_facts_of_a_ct_are_those_it_was_made_with(tmp_path: Path) -> None:
    found = facts(
        write(tmp_path / "ct.mha", np.linspace(-1000, 1500, 9 * 10 * 11).astype(np.int16).reshape(9, 10, 11))
    )
    assert found["shape_zyx"] == [9, 10, 11]
    assert found["spacing_zyx_mm"] == [2.5, 1.1, 0.7]
    assert found["origin_lps_mm"] == [-11, 22, 33]
    assert found["axes_zyx"] == "SPL"
    assert (found["minimum"], found["maximum"]) == (-1000, 1500)
    assert "labels" not in found
    assert found["remarks"] == []


def test_labels_are_named_by_the_files_next_to_them(tmp_path: Path) -> None:
    array = np.zeros((9, 10, 11), np.uint8)
    array[0, 0, :5], array[1, 1, :3] = 1, 2
    (tmp_path / "labelsTr").mkdir()
    path = write(tmp_path / "labelsTr" / "case.nii.gz", array)
    (tmp_path / "dataset.json").write_text(
        '{"labels": {"liver": 1, "spleen": 2}, "labels_present": {"case": ["liver"]}}'
    )
    assert [(label["name"], label["contoured"]) for label in facts(path)["names"]] == [
        ("liver", True),
        ("spleen", False),
    ]
    lines = CliRunner().invoke(app, ["info", str(path)]).stdout.splitlines()
    assert [line.split()[1:] for line in lines if line.startswith("label ")] == [
        ["1", "liver", "#E69F00", "5", "voxels"],
        ["2", "spleen", "#56B4E9", "3", "voxels", "not", "contoured"],
    ]
    (tmp_path / "dataset.json").write_text("{")
    assert "names" not in facts(path) and any("dataset.json" in remark for remark in facts(path)["remarks"])


def test_labels_are_counted_by_value(tmp_path: Path) -> None:
    array = np.zeros((9, 10, 11), np.uint16)
    array[1, 2, 3:5], array[4] = 300, 7
    assert facts(write(tmp_path / "labels.nrrd", array))["labels"] == {"0": 990 - 2 - 110, "7": 110, "300": 2}


@pytest.mark.parametrize(
    ("array", "spacing", "word"),
    [
        (np.full((9, 10, 11), 5, np.int16), (1, 1, 1), "same value"),
        (np.arange(990, dtype=np.int16).reshape(9, 10, 11) * 3, (1, 1, 1), "HU"),
        (np.linspace(-1000, 1500, 990).astype(np.int16).reshape(9, 10, 11), (0.5, 0.5, 5), "five times"),
        (np.linspace(-1000, 1500, 990).astype(np.int16).reshape(9, 10, 11), (0.05, 0.05, 0.05), "units"),
        (np.linspace(-1000, 1500, 990).astype(np.int16).reshape(3, 30, 11), (1, 1, 1), "3 slices"),
    ],
)
def test_what_looks_wrong_is_said(
    tmp_path: Path, array: np.ndarray[Any, Any], spacing: tuple[float, float, float], word: str
) -> None:
    assert any(word in remark for remark in facts(write(tmp_path / "x.mha", array, spacing))["remarks"])


def test_nothing_that_names_the_patient_is_shown(shared_data: Path) -> None:
    import pydicom

    folder = shared_data / "nasty/dicom/ok"
    header = pydicom.dcmread(next(iter(sorted(folder.glob("*")))), stop_before_pixels=True)
    result = CliRunner().invoke(app, ["info", str(folder)])
    assert result.exit_code == 0
    for field in ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber"):
        if value := str(header.get(field, "")):
            assert value not in result.stdout.replace(str(folder), "")
