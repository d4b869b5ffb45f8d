"""DICOM SEG out of the commands: `predict` and `convert`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ctseg_imaging import formats
from ctseg_imaging.formats import SegmentationKind
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels
from napari_ctseg.commands.main import app
from tests.imaging.formats.dicom.making import plane, save, series
from tests.models.making import body_with_organ, threshold_bundle

pytest.importorskip("highdicom", reason="highdicom is not installed (the extra dicom).")


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def ct_folder(folder: Path) -> Path:
    volume, _ = body_with_organ()
    return save(folder, [plane(k, hu, FrameOfReferenceUID="1.2.3.4") for k, hu in enumerate(volume.array)])


def test_predict_writes_a_seg_for_a_series(tmp_path: Path) -> None:
    bundle, folder = threshold_bundle(tmp_path / "threshold").path, ct_folder(tmp_path / "ct")
    for name in ("out.dcm", "out.nii.gz"):
        result = call("predict", "-m", bundle, folder, tmp_path / name, "--edge-map", "--overwrite")
        assert result.exit_code == 0, result.output
    assert (
        "label 5 is segment 1"
        in call("predict", "-m", bundle, folder, tmp_path / "out.dcm", "--overwrite").stderr
    )
    found = formats.read_labels(tmp_path / "out.dcm", like=formats.read(folder))
    plain = formats.read_labels(tmp_path / "out.nii.gz")
    assert formats.kind_of_segmentation(tmp_path / "out.dcm") is SegmentationKind.DICOM_SEG
    assert np.array_equal(found.array, plain.array) and found.array.any()
    assert [label.name for label in found.labels] == [label.name for label in plain.labels]
    assert (tmp_path / "out.provenance.json").is_file() and (tmp_path / "out_edges.nii.gz").is_file()


def test_predict_refuses_a_seg_of_another_format_before_it_computes(tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    formats.write(tmp_path / "ct.nii.gz", volume)
    result = call(
        "predict", "-m", threshold_bundle(tmp_path / "t").path, tmp_path / "ct.nii.gz", tmp_path / "o.dcm"
    )
    assert result.exit_code == 1 and "use the ending .seg.nrrd or .nii.gz" in result.stderr
    assert not [file for file in tmp_path.iterdir() if file.name.startswith("o.")]


def test_predict_never_replaces_a_slice_of_its_series(tmp_path: Path) -> None:
    folder = ct_folder(tmp_path / "ct")
    slice_file = next(iter(folder.iterdir()))
    before = slice_file.read_bytes()
    result = call("predict", "-m", threshold_bundle(tmp_path / "t").path, folder, slice_file, "--overwrite")
    assert result.exit_code == 1 and slice_file.read_bytes() == before


def test_convert_makes_a_seg_of_labels_in_another_voxel_order(tmp_path: Path) -> None:
    image = formats.read(save(tmp_path / "ct", series(FrameOfReferenceUID="1.2.3.4")))
    array = np.random.default_rng(2).integers(0, 3, image.geometry.shape).astype(np.uint8)
    back = np.diag([-1.0, 1, 1, 1])
    back[0, 3] = len(array) - 1
    turned = Geometry(image.geometry.shape, image.geometry.affine_lps @ back)
    flipped = LabelMap(array[::-1], turned, Labels.from_names({1: "liver", 2: "spleen"}))
    formats.write(tmp_path / "labels.seg.nrrd", flipped)
    result = call(
        "convert", "--labels", tmp_path / "labels.seg.nrrd", tmp_path / "out.dcm", "--like", tmp_path / "ct"
    )
    assert result.exit_code == 0, result.output
    found = formats.read_labels(tmp_path / "out.dcm", like=image)
    assert np.array_equal(found.array, array)
    assert [label.name for label in found.labels] == ["liver", "spleen"]


def test_convert_says_what_a_seg_needs(tmp_path: Path) -> None:
    folder = save(tmp_path / "ct", series())
    formats.write(tmp_path / "ct.nii.gz", formats.read(folder))
    alone = call("convert", "--labels", tmp_path / "ct.nii.gz", tmp_path / "out.dcm")
    assert alone.exit_code == 1 and "--like DICOM_FOLDER" in alone.stderr
    picture = call("convert", tmp_path / "ct.nii.gz", tmp_path / "out.dcm", "--like", folder)
    assert picture.exit_code == 1 and "only labels are written as DICOM" in picture.stderr
    assert "Nobody" not in alone.stderr + picture.stderr and not (tmp_path / "out.dcm").exists()
