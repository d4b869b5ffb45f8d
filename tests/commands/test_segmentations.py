"""Segmentations through the commands: info, convert, evaluate."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from ctseg_imaging import formats
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels
from napari_ctseg.commands.main import app
from tests.imaging.formats.segmentations.rtstruct.making import square
from tests.imaging.formats.segmentations.rtstruct.making import write as write_rtstruct

GRID = Geometry.from_parts((7, 14, 12), (3.0, 1.0, 1.5), (-10, 20, 30))


def run(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


def boxes(places, names, grid=GRID) -> LabelMap:
    array = np.zeros(grid.shape, np.uint8)
    for value, place in places.items():
        array[place] = value
    return LabelMap(array, grid, Labels.from_names(names))


def test_info_names_labels_and_layers(shared_file) -> None:
    found = run("info", shared_file("reported/seg-nrrd-names/seg.seg.nrrd")).output
    assert "2  left kidney  #1A994C  48 voxels" in found
    assert "2 to choose from" in run("info", shared_file("reported/seg-nrrd-layers/seg.seg.nrrd")).output
    layer = run("info", "--json", "--layer", "tumour", shared_file("reported/seg-nrrd-layers/seg.seg.nrrd"))
    assert [label["name"] for label in json.loads(layer.output)["names"]] == ["tumour"]


def test_a_seg_is_converted_onto_its_image(shared_file, tmp_path) -> None:
    image = shared_file("dicom-seg/ct_image.dcm")
    formats.write(tmp_path / "image.nii.gz", formats.read(image))
    seg = shared_file("dicom-seg/seg_image_ct_binary_single_frame.dcm")
    assert (
        run(
            "convert", "--labels", seg, tmp_path / "out.seg.nrrd", "--like", tmp_path / "image.nii.gz"
        ).exit_code
        == 0
    )
    found = formats.read_labels(tmp_path / "out.seg.nrrd")
    assert np.count_nonzero(found.array) == 1832
    assert [label.name for label in found.labels] == ["first segment"]


def test_evaluate_draws_contours_on_the_other_and_matches_by_name(tmp_path) -> None:
    """Structure 1 is the kidney and 2 the liver; the truth has them the other way round. The kidney is one
    row short.
    """
    formats.write(
        tmp_path / "truth.seg.nrrd",
        boxes({1: np.s_[3, 1:5, 1:5], 2: np.s_[3, 7:11, 7:11]}, {1: "Liver", 2: "left_kidney"}),
    )
    kidney = square(GRID, 3, 6.5, 10.5)
    kidney[:2] += [0, 1.0, 0]
    write_rtstruct(tmp_path / "pred.dcm", [("left kidney", [kidney]), ("liver", [square(GRID, 3, 0.5, 4.5)])])
    result = run(
        "evaluate", tmp_path / "pred.dcm", tmp_path / "truth.seg.nrrd", "--json", tmp_path / "out.json"
    )
    assert result.exit_code == 0, result.output
    rows = {
        row["name"]: row["dice"]
        for row in json.loads((tmp_path / "out.json").read_text())["cases"][0]["rows"]
    }
    assert rows == {"Liver": 1.0, "left_kidney": pytest.approx(2 * 12 / 28)}
    assert "matched to those of the truth by their names" in result.output


def test_a_cropped_truth_counts_what_was_predicted_outside_it(tmp_path) -> None:
    whole = boxes({1: np.s_[0:7, 1:5, 1:5]}, {1: "liver"})
    formats.write(tmp_path / "pred.nii.gz", whole)
    part = LabelMap(whole.array[2:4], GRID.crop((2, 0, 0), (4, 14, 12)), whole.labels)
    formats.write(tmp_path / "truth.seg.nrrd", part)
    run("evaluate", tmp_path / "pred.nii.gz", tmp_path / "truth.seg.nrrd", "--json", tmp_path / "out.json")
    [row] = json.loads((tmp_path / "out.json").read_text())["cases"][0]["rows"]
    assert row["dice"] == pytest.approx(2 * 2 / (2 + 7))


def test_folders_pair_segs_by_name(tmp_path, shared_file) -> None:
    (tmp_path / "pred").mkdir()
    (tmp_path / "truth").mkdir()
    seg = shared_file("dicom-seg/seg_image_ct_binary.dcm")
    (tmp_path / "truth" / "case1.dcm").write_bytes(seg.read_bytes())
    (tmp_path / "truth" / "slice.dcm").write_bytes(shared_file("dicom-seg/ct_image.dcm").read_bytes())
    formats.write(tmp_path / "pred" / "case1.nii.gz", formats.read_labels(seg))
    result = run("evaluate", tmp_path / "pred", tmp_path / "truth")
    assert result.exit_code == 0, result.output
    assert "1.000" in result.output


def test_layers_are_chosen_for_evaluate(tmp_path, shared_file) -> None:
    path = shared_file("reported/seg-nrrd-layers/seg.seg.nrrd")
    refused = run("evaluate", path, path)
    assert refused.exit_code == 1 and "layers of overlapping segments" in refused.output
    assert run("evaluate", path, path, "--prediction-layer", "2", "--truth-layer", "tumour").exit_code == 0
