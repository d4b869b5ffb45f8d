"""Slicer segmentations against header and voxels worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from ctseg_imaging import formats
from ctseg_imaging.errors import ChoiceNeeded, FormatError, GeometryError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Label, LabelMap, Labels

TURN = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])


def oblique() -> Geometry:
    return Geometry.from_parts((4, 5, 7), (3.0, 1.0, 1.5), (-10, 20, 30), TURN)


def test_names_colours_and_values_are_those_of_the_header(shared_file) -> None:
    found = formats.read_labels(shared_file("reported/seg-nrrd-names/seg.seg.nrrd"))
    assert [(label.value, label.name, label.colour) for label in found.labels] == [
        (1, "liver", "#CC6633"),
        (2, "left kidney", "#1A994C"),
        (7, "tumour", "#FF0000"),
    ]
    image = sitk.ReadImage(str(shared_file("reported/seg-nrrd-names/seg.seg.nrrd")))
    assert np.array_equal(found.array, sitk.GetArrayFromImage(image))
    assert found.geometry.origin_lps_mm == image.GetOrigin()


def test_a_cropped_segmentation_lands_on_the_image(shared_file) -> None:
    """The phantom is 10 x 24 x 20 with its origin at (-10, -12, 100); the segmentation begins 1, 6 and 4
    voxels further.
    """
    image = Geometry.from_parts((10, 24, 20), (3, 1, 1.5), (-10, -12, 100))
    path = shared_file("reported/seg-nrrd-names/seg.seg.nrrd")
    alone, placed = formats.read_labels(path), formats.read_labels(path, like=image)
    assert placed.array.shape == image.shape
    assert np.array_equal(placed.array[1:7, 6:18, 4:14], alone.array)
    assert placed.array.sum() == alone.array.sum()


def test_layers_are_offered_and_segments_can_be_named(shared_file) -> None:
    path = shared_file("reported/seg-nrrd-layers/seg.seg.nrrd")
    with pytest.raises(ChoiceNeeded, match="liver, cyst"):
        formats.read_labels(path)
    assert len(formats.list_choices(path)) == 2
    layers = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    assert np.array_equal(formats.read_labels(path, segment_layer=1).array, layers[..., 0])
    assert np.array_equal(formats.read_labels(path, segment_layer="tumour").array, layers[..., 1])
    merged = formats.read_labels(path, segment_layer="merged")
    assert merged.labels.values == (1, 2, 3)
    assert any("overlap" in note for note in merged.notes)
    with pytest.raises(FormatError, match="no layer 3"):
        formats.read_labels(path, segment_layer=3)


def test_written_segmentations_keep_names_colours_and_grid(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 3, oblique().shape).astype(np.uint8) * 7
    labels = Labels((Label(7, "Größe: links", "#102030"), Label(14, "tumour", "#FF0000")))
    path = tmp_path / "mask.seg.nrrd"
    formats.write(path, LabelMap(array, oblique(), labels))
    again = formats.read_labels(path)
    assert np.array_equal(again.array, array)
    assert again.labels == labels
    image = sitk.ReadImage(str(path))
    assert image.GetOrigin() == pytest.approx((-10, 20, 30))
    assert image.GetDirection() == pytest.approx(TURN.ravel())
    assert image.GetMetaData("Segment1_Name") == "tumour"
    assert image.GetMetaData("Segment0_Extent") == "0 6 0 4 0 3"
    assert "SCT^85756007^Tissue" in image.GetMetaData("Segment0_Tags")


def test_terminology_survives_a_round_trip(tmp_path: Path) -> None:
    array = np.ones((3, 4, 5), np.uint8)
    image = sitk.GetImageFromArray(array)
    tags = "TerminologyEntry:mine~SCT^1^Organ~SCT^10200004^Liver~^^~mine~^^~^^|"
    for key, value in {
        "Segment0_Name": "liver",
        "Segment0_LabelValue": "1",
        "Segment0_Layer": "0",
        "Segment0_Tags": tags,
    }.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(tmp_path / "in.seg.nrrd"))
    formats.write(tmp_path / "out.seg.nrrd", formats.read_labels(tmp_path / "in.seg.nrrd"))
    assert sitk.ReadImage(str(tmp_path / "out.seg.nrrd")).GetMetaData("Segment0_Tags") == tags


def test_another_lattice_is_refused(tmp_path: Path) -> None:
    formats.write(
        tmp_path / "mask.seg.nrrd",
        LabelMap(np.ones((4, 5, 7), np.uint8), oblique(), Labels.from_names({1: "a"})),
    )
    shifted = Geometry.from_parts((4, 5, 7), (3.0, 1.0, 1.5), (-10.6, 20, 30), TURN)
    with pytest.raises(GeometryError, match="do not lie on those of the image"):
        formats.read_labels(tmp_path / "mask.seg.nrrd", like=shifted)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Segment0_LabelValue", "one"),
        ("Segment0_Layer", "4"),
        ("Segment0_Color", "red"),
        ("Segment0_Color", "nan 0 0"),
        ("Segment0_LabelValue", "-3"),
    ],
)
def test_a_damaged_header_is_a_sentence(tmp_path: Path, field: str, value: str) -> None:
    image = sitk.GetImageFromArray(np.ones((3, 4, 5), np.uint8))
    for key, text in {"Segment0_Name": "liver", field: value}.items():
        image.SetMetaData(key, text)
    sitk.WriteImage(image, str(tmp_path / "in.seg.nrrd"))
    with pytest.raises(FormatError, match="segment 0"):
        formats.read_labels(tmp_path / "in.seg.nrrd")
