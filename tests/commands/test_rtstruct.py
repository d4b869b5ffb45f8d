"""RTSTRUCT out of the commands: `predict` and `convert`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from typer.testing import CliRunner, Result

from ctseg_imaging import formats
from ctseg_imaging.formats import SegmentationKind
from ctseg_imaging.volume import LabelMap, Labels
from napari_ctseg.commands.main import app
from tests.imaging.formats.dicom.making import plane, save, series
from tests.models.making import body_with_organ, threshold_bundle


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def ct_folder(folder: Path, empty: bool = False) -> Path:
    volume, _ = body_with_organ()
    array = np.full_like(volume.array, -1000) if empty else volume.array
    return save(folder, [plane(k, hu, FrameOfReferenceUID="1.2.3.4") for k, hu in enumerate(array)])


def test_predict_writes_contours_next_to_the_labels(tmp_path: Path) -> None:
    bundle, folder = threshold_bundle(tmp_path / "threshold").path, ct_folder(tmp_path / "ct")
    result = call("predict", "-m", bundle, folder, tmp_path / "out.nii.gz", "--rtstruct")
    assert result.exit_code == 0, result.output
    made = tmp_path / "out.rtstruct.dcm"
    assert formats.kind_of_segmentation(made) is SegmentationKind.RTSTRUCT
    image, plain = formats.read(folder), formats.read_labels(tmp_path / "out.nii.gz")
    drawn = formats.read_labels(made, like=image)
    assert {label.name for label in drawn.labels} == {label.name for label in plain.labels}
    for label in plain.labels:
        (same,) = (one.value for one in drawn.labels if one.name == label.name)
        assert (
            np.array_equal(drawn.array == same, plain.array == label.value)
            and (plain.array == label.value).any()
        )
    again = call("predict", "-m", bundle, folder, tmp_path / "new.nii.gz", "--rtstruct")
    assert again.exit_code == 0  # other names, nothing in the way
    twice = call("predict", "-m", bundle, folder, tmp_path / "out.nii.gz", "--rtstruct")
    assert twice.exit_code == 1 and "--overwrite" in twice.stderr


def test_contours_alone(tmp_path: Path) -> None:
    bundle, folder = threshold_bundle(tmp_path / "threshold").path, ct_folder(tmp_path / "ct")
    result = call("predict", "-m", bundle, folder, tmp_path / "out.rtstruct.dcm", "--edge-map")
    assert result.exit_code == 0, result.output
    assert formats.kind_of_segmentation(tmp_path / "out.rtstruct.dcm") is SegmentationKind.RTSTRUCT
    assert sorted(file.name for file in tmp_path.glob("out*")) == [
        "out.provenance.json",
        "out.rtstruct.dcm",
        "out_edges.nii.gz",
    ]


def test_an_empty_prediction_has_no_contours_and_keeps_its_labels(tmp_path: Path) -> None:
    bundle, folder = threshold_bundle(tmp_path / "threshold").path, ct_folder(tmp_path / "ct", empty=True)
    result = call("predict", "-m", bundle, folder, tmp_path / "out.nii.gz", "--rtstruct")
    assert result.exit_code == 0 and "out.rtstruct.dcm was not written" in result.stderr
    assert (tmp_path / "out.nii.gz").is_file() and not (tmp_path / "out.rtstruct.dcm").exists()


def test_contours_need_a_series_and_that_is_said_before_the_work(tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    formats.write(tmp_path / "ct.nii.gz", volume)
    result = call(
        "predict",
        "-m",
        threshold_bundle(tmp_path / "t").path,
        tmp_path / "ct.nii.gz",
        tmp_path / "o.nii.gz",
        "--rtstruct",
    )
    assert result.exit_code == 1 and "RTSTRUCT needs a DICOM series as input" in result.stderr
    assert not [file for file in tmp_path.iterdir() if file.name.startswith("o.")]


def test_convert_there_and_back(tmp_path: Path) -> None:
    folder = save(tmp_path / "ct", series(FrameOfReferenceUID="1.2.3.4"))
    image = formats.read(folder)
    array = np.zeros(image.geometry.shape, np.uint8)
    array[2:5, 1:4, 2:6], array[3, 2, 3] = 7, 0  # with a hole
    formats.write(
        tmp_path / "labels.seg.nrrd", LabelMap(array, image.geometry, Labels.from_names({7: "liver"}))
    )
    there = call(
        "convert", "--labels", tmp_path / "labels.seg.nrrd", tmp_path / "out.rtstruct.dcm", "--like", folder
    )
    assert there.exit_code == 0, there.output
    back = call(
        "convert", "--labels", tmp_path / "out.rtstruct.dcm", tmp_path / "back.nii.gz", "--like", folder
    )
    assert back.exit_code == 0, back.output
    assert np.array_equal(formats.read_labels(tmp_path / "back.nii.gz").array == 7, array == 7)
    alone = call("convert", "--labels", tmp_path / "labels.seg.nrrd", tmp_path / "alone.rtstruct.dcm")
    assert alone.exit_code == 1 and "--like DICOM_FOLDER" in alone.stderr
