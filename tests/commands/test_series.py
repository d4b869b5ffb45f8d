"""One of several DICOM series in the commands: listed by `info`, named by number or UID everywhere else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner, Result

from ctseg_imaging import formats
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap
from napari_ctseg.commands.main import app
from tests.imaging.formats.dicom.making import HU, OTHER, plane, save, series
from tests.models.making import threshold_bundle


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    """Two acquisitions in one series, and a localiser of its own."""
    scout = plane(0, SeriesInstanceUID=OTHER, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    second = [plane(k, HU[k] + 50, AcquisitionNumber=2) for k in range(7)]
    return save(tmp_path / "patient", [*series(AcquisitionNumber=1), *second, scout])


def test_info_lists_what_sets_them_apart(patient: Path) -> None:
    result = call("info", patient)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "2 to choose from" in lines[0]
    assert "acquisition 1" in lines[1] and "acquisition 2" in lines[2] and "localiser" in lines[3]
    assert "Nobody" not in result.output and "0815" not in result.output


def test_the_list_for_a_program(patient: Path) -> None:
    found = json.loads(call("info", patient, "--json").stdout)["choices"]
    assert [(row["index"], row["slices"], row["apart"], row["use"], row["minor"]) for row in found] == [
        (1, 7, "acquisition 1", "read", False),
        (2, 7, "acquisition 2", "read", False),
        (3, 1, "", "read", True),
    ]
    assert found[0]["spacing_zyx_mm"] == pytest.approx([3, 1.7, 0.9])
    chosen = json.loads(call("info", patient, "--json", "--series", found[1]["uid"]).stdout)
    assert (chosen["minimum"], chosen["maximum"]) == (HU.min() + 50, HU.max() + 50)


def test_convert_takes_a_number_or_a_uid_and_lists_them_otherwise(patient: Path, tmp_path: Path) -> None:
    refused = call("convert", patient, tmp_path / "out.nii.gz")
    assert refused.exit_code == 1 and "acquisition 2" in refused.stderr
    uid = json.loads(call("info", patient, "--json").stdout)["choices"][1]["uid"]
    for k, wanted in enumerate((2, uid)):
        target = tmp_path / f"{k}.nrrd"
        assert call("convert", patient, target, "--series", wanted).exit_code == 0
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(target))), HU + 50)


def test_predict_runs_on_the_named_series(patient: Path, tmp_path: Path) -> None:
    """The network marks what is above its threshold, which the second acquisition passes in more voxels."""
    bundle = threshold_bundle(tmp_path / "threshold").path
    refused = call("predict", "-m", bundle, patient, tmp_path / "out.nrrd")
    assert refused.exit_code == 1 and "2 series to choose from" in refused.stderr
    result = call("predict", "-m", bundle, patient, tmp_path / "out.nrrd", "--series", "2")
    assert result.exit_code == 0, result.output
    assert sitk.ReadImage(str(tmp_path / "out.nrrd")).GetSize() == (9, 8, 7)


@pytest.mark.skipif(sys.platform != "linux", reason="Xvfb is for Linux.")
def test_open_shows_the_named_series(patient: Path, tmp_path: Path) -> None:
    incomplete = series()
    del incomplete[3]
    other = save(tmp_path / "incomplete", incomplete)
    code = (
        "import sys, napari\n"
        "from napari_ctseg.commands.main import app\n"
        "close = napari.Viewer.close\n"
        "def look(viewer):\n"
        "    print([(layer.name, int(layer.data.min())) for layer in viewer.layers])\n"
        "    close(viewer)\n"
        "napari.Viewer.close = look\n"
        "app(sys.argv[1:])"
    )
    words = {name: os.environ[name] for name in os.environ if name not in ("DISPLAY", "WAYLAND_DISPLAY")}

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, "open", *map(str, arguments)]
        return subprocess.run(command, env=words, capture_output=True, text=True, check=False, timeout=280)

    answer = run(patient, "--series", "2", "--series", "1")
    assert answer.returncode == 0, answer.stderr
    lowest = int(HU.min())
    assert f"('patient', {lowest + 50}), ('patient [1]', {lowest})" in answer.stdout
    answer = run(other, "--view-only")
    assert answer.returncode == 0, answer.stderr
    assert "('incomplete (view only)'" in answer.stdout and "View only: 6 slices" in answer.stderr


def test_view_only_is_offered_and_never_converted(tmp_path: Path) -> None:
    incomplete = series()
    del incomplete[3]
    folder = save(tmp_path / "incomplete", incomplete)
    refused = call("convert", folder, tmp_path / "out.nii.gz")
    assert (
        refused.exit_code == 1 and "--view-only" in refused.stderr and not (tmp_path / "out.nii.gz").exists()
    )
    assert call("open", folder, "--view-only", "--truth", folder).exit_code == 2


def test_no_command_measures_or_segments_a_view_only_series(tmp_path: Path) -> None:
    """Each gives the reason, and how to look at it."""
    incomplete = series()
    del incomplete[3]
    folder = save(tmp_path / "incomplete", incomplete)
    bundle = threshold_bundle(tmp_path / "threshold").path
    truth = tmp_path / "truth.nii.gz"
    formats.write(
        truth, LabelMap(np.zeros((6, 8, 9), np.uint8), Geometry.from_parts((6, 8, 9), (3, 1.7, 0.9)))
    )
    before = set(tmp_path.rglob("*"))
    for words in (
        ("predict", "-m", bundle, folder, tmp_path / "out.nii.gz"),
        ("convert", "--labels", folder, tmp_path / "out.nii.gz"),
        ("convert", "--labels", truth, tmp_path / "out.dcm", "--like", folder),
        ("info", folder),
    ):
        refused = call(*words)
        assert refused.exit_code == 1, words
        assert "1 slice is missing" in refused.stderr and "--view-only" in refused.stderr, words
    for words in (("evaluate", folder, truth), ("evaluate", truth, folder)):
        refused = call(*words)
        assert refused.exit_code == 1 and "no segmentation; give" in refused.stderr
    assert set(tmp_path.rglob("*")) == before
