"""The commands on a patient's folder as a PACS exports it: studies and series in sub-folders, RTSTRUCT and
SEG next to, a DICOMDIR.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom.fileset import FileSet
from pydicom.uid import generate_uid
from typer.testing import CliRunner, Result

from ctseg_imaging import formats
from ctseg_imaging.volume import LabelMap, Labels, Volume
from napari_ctseg.commands.main import app
from tests.imaging.formats.dicom.making import HU, OTHER, plane, save, series
from tests.models.making import threshold_bundle

NEEDED = {
    "StudyDate": "20200101",
    "StudyTime": "120000",
    "StudyID": "1",
    "FrameOfReferenceUID": generate_uid(entropy_srcs=["frame"]),
}
BOX = np.zeros(HU.shape, np.uint8)
BOX[2:5, 1:6, 2:7] = 1


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def drawing(volume: Volume) -> LabelMap:
    return LabelMap(BOX, volume.geometry, Labels.from_names({1: "liver"}))


@pytest.fixture(params=["plain", "DICOMDIR"])
def patient(request, tmp_path: Path) -> Path:
    """One image series in a study's folder, an RTSTRUCT and a report in folders of their own."""
    root = tmp_path / "patient"
    if request.param == "DICOMDIR":
        disc = FileSet()
        for header in series(**NEEDED):
            disc.add(header)
        disc.write(root)
    else:
        (root / "ST1").mkdir(parents=True)
        save(root / "ST1" / "SE1", series(**NEEDED))
    (root / "ST1" / "RT").mkdir(parents=True)
    volume = formats.read(root)
    formats.write(root / "ST1" / "RT" / "contours.rtstruct.dcm", drawing(volume), like=volume)
    (root / "ST1" / "SR").mkdir()
    save(
        root / "ST1" / "SR",
        [
            plane(
                0,
                SOPClassUID="1.2.840.10008.5.1.4.1.1.88.67",
                Modality="SR",
                Rows=None,
                PixelData=None,
                SeriesInstanceUID=generate_uid(),
            )
        ],
    )
    return root


@pytest.fixture
def two(patient: Path) -> Path:
    """A second series, and a SEG of the first one."""
    volume = formats.read(patient)
    (patient / "ST1" / "SEG").mkdir()
    formats.write(patient / "ST1" / "SEG" / "segments.dcm", drawing(volume), like=volume)
    save(
        patient / "ST1" / "SE2",
        [plane(k, HU[k] + 50, SeriesInstanceUID=OTHER, SeriesNumber=4, **NEEDED) for k in range(7)],
    )
    return patient


def voxels(path: Path) -> np.ndarray:
    """By nibabel, in the order of DICOM."""
    return np.asarray(nibabel.load(path).dataobj).T


def test_one_series_just_works(patient: Path, tmp_path: Path) -> None:
    result = call("info", patient)
    assert (
        result.exit_code == 0 and "RTSTRUCT    " in result.stdout and "contours.rtstruct.dcm" in result.stdout
    )
    [found] = json.loads(call("info", patient, "--json").stdout)["segmentations"]
    assert (found["kind"], found["structures"]) == ("RTSTRUCT", ["liver"])
    assert call("convert", patient, tmp_path / "ct.nii.gz").exit_code == 0
    assert voxels(tmp_path / "ct.nii.gz").shape == HU.shape
    bundle = threshold_bundle(tmp_path / "threshold").path
    result = call("predict", "-m", bundle, patient, tmp_path / "out.nii.gz")
    assert result.exit_code == 0, result.output
    assert "contours, reports" in result.stderr
    assert voxels(tmp_path / "out.nii.gz").shape == HU.shape


def test_its_only_segmentation_is_taken_for_labels(patient: Path, tmp_path: Path) -> None:
    result = call("convert", "--labels", patient, tmp_path / "labels.nii.gz")
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(np.sort(voxels(tmp_path / "labels.nii.gz").ravel()), np.sort(BOX.ravel()))
    for words in ((tmp_path / "labels.nii.gz", patient), (patient, tmp_path / "labels.nii.gz")):
        result = call("evaluate", *words)
        assert result.exit_code == 0, result.output
        assert "liver  1.000" in result.stdout


def test_several_series_are_asked_about(two: Path, tmp_path: Path) -> None:
    bundle = threshold_bundle(tmp_path / "threshold").path
    for words in (
        ("convert", two, tmp_path / "out.nii.gz"),
        ("predict", "-m", bundle, two, tmp_path / "out.nii.gz"),
    ):
        refused = call(*words)
        assert refused.exit_code == 1
        assert (
            "series number 3" in refused.stderr
            and "series number 4" in refused.stderr
            and "--series" in refused.stderr
        )
        assert not (tmp_path / "out.nii.gz").exists()
        assert call(*words, "--series", 2).exit_code == 0
        assert voxels(tmp_path / "out.nii.gz").shape == HU.shape
        for file in tmp_path.glob("out.*"):
            file.unlink()
    lines = call("info", two).stdout.splitlines()
    assert (
        "2 to choose from" in lines[0]
        and "RTSTRUCT (liver)" in lines[2]
        and "SEG (liver)" in lines[3]
        and "series number 4" in lines[4]
    )


def test_several_segmentations_are_listed(two: Path, tmp_path: Path) -> None:
    truth = tmp_path / "labels.nii.gz"
    assert call("convert", "--labels", two / "ST1" / "SEG" / "segments.dcm", truth).exit_code == 0
    for words in (("convert", "--labels", two, tmp_path / "out.nii.gz"), ("evaluate", truth, two)):
        refused = call(*words)
        assert refused.exit_code == 1
        assert (
            "RTSTRUCT (liver)" in refused.stderr
            and "SEG (liver)" in refused.stderr
            and "give the file of one" in refused.stderr
        )


def test_segmentations_without_their_series(two: Path, tmp_path: Path) -> None:
    alone = tmp_path / "elsewhere" / "deep" / "study"
    alone.mkdir(parents=True)
    shutil.copytree(two / "ST1" / "RT", alone / "RT")
    result = call("info", alone)
    assert result.exit_code == 0
    assert "no image series" in result.stdout and "without its series: RTSTRUCT (liver)" in result.stdout
    refused = call("convert", alone, tmp_path / "out.nii.gz")
    assert refused.exit_code == 1 and "give the image series" in refused.stderr
    refused = call("convert", "--labels", alone, tmp_path / "out.nii.gz")
    assert refused.exit_code == 1 and "give the image as well" in refused.stderr
    result = call("convert", "--labels", alone, tmp_path / "out.nii.gz", "--like", two, "--series", 1)
    assert result.exit_code == 0, result.output
    assert voxels(tmp_path / "out.nii.gz").sum() == BOX.sum()


def test_images_beside_dicom_are_the_cases_and_it_is_said(patient: Path, tmp_path: Path) -> None:
    assert call("convert", patient, patient / "case.nii.gz").exit_code == 0
    bundle = threshold_bundle(tmp_path / "threshold").path
    result = call("predict", "-m", bundle, patient, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "holds DICOM besides its images" in result.stderr
    assert (tmp_path / "out" / "case.nii.gz").exists()
