"""DICOM SEG of every kind and orientation, made by highdicom from an array and an affine, read by us."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from ctseg_imaging import formats
from ctseg_imaging.errors import ChoiceNeeded
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap
from tests.imaging.formats.dicom.making import TURN, series

highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed (the extra dicom).")

SHAPE, SPACING = (6, 9, 11), np.array([2.5, 1.5, 0.8])  # slices, rows, columns
AXIAL, CORONAL, SAGITTAL = np.eye(3)[:, ::-1], np.eye(3)[:, [1, 2, 0]], np.eye(3)[:, [0, 2, 1]]
FRAMES = {
    "axial": AXIAL,
    "coronal": CORONAL * [1, -1, 1],
    "sagittal": SAGITTAL * [1, -1, 1],
    "feet first": AXIAL * [-1, 1, 1],
    "oblique": TURN[:, ::-1],
    "oblique from the other side": TURN[:, ::-1] * [-1, 1, 1],
}


def affine_of(axes: np.ndarray) -> np.ndarray:
    """(slice, row, column) to LPS; the columns of `axes` are the directions of the three."""
    affine = np.eye(4)
    affine[:3, :3] = axes * SPACING
    affine[:3, 3] = (-30.5, 12.25, 700)
    return affine


def described(number: int, name: str) -> object:
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Liver,
        algorithm_type="MANUAL",
        display_color=highdicom.color.CIELabColor.from_rgb(min(10 * number, 255), 200, 40),
    )


def made(path: Path, array: np.ndarray, axes: np.ndarray, kind: str, names: dict[int, str]) -> Path:
    source = series(FrameOfReferenceUID="1.2.3.4")[:1]
    for one in source:
        one.PatientBirthDate = one.PatientSex = one.StudyDate = one.StudyTime = one.StudyID = (
            one.AccessionNumber
        ) = ""
    volume = highdicom.Volume(
        array, affine_of(axes), coordinate_system="PATIENT", frame_of_reference_uid="1.2.3.4",
        channels={"SegmentNumber": list(names)} if array.ndim == 4 else None,
    )  # fmt: skip
    highdicom.seg.Segmentation(
        source_images=source, pixel_array=volume, segmentation_type=kind,
        segment_descriptions=[described(number, name) for number, name in names.items()],
        series_instance_uid=highdicom.UID(), series_number=1,
        sop_instance_uid=highdicom.UID(), instance_number=1,
        manufacturer="nobody", manufacturer_model_name="none",
        software_versions="1", device_serial_number="1",
    ).save_as(path)  # fmt: skip
    return path


def blocks(first: int, second: int) -> np.ndarray:
    """Two labels, an empty slice between them, noise so every axis and direction shows."""
    array = np.zeros(SHAPE, np.uint8)
    noise = np.random.default_rng(6).random(SHAPE) < 0.4
    array[:3][noise[:3]] = first
    array[4:, 2:][noise[4:, 2:]] = second
    array[0, 0, 0], array[5, 8, 10] = first, second
    return array


def positions(found: LabelMap, value: int) -> np.ndarray:
    """LPS mm of the voxels of a value, sorted."""
    affine = found.geometry.affine_lps
    points = np.argwhere(found.array == value) @ affine[:3, :3].T + affine[:3, 3]
    return points[np.lexsort(np.round(points, 3).T)]


def expected(array: np.ndarray, axes: np.ndarray, value: int) -> np.ndarray:
    points = np.argwhere(array == value) @ affine_of(axes)[:3, :3].T + affine_of(axes)[:3, 3]
    return points[np.lexsort(np.round(points, 3).T)]


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("frame", FRAMES)
def test_every_voxel_lies_where_it_was_made(tmp_path: Path, frame: str, kind: str) -> None:
    array, axes = blocks(1, 2), FRAMES[frame]
    path = made(tmp_path / "seg.dcm", array, axes, kind, {1: "liver", 2: "spleen"})
    found = formats.read_labels(path)
    assert [label.name for label in found.labels] == ["liver", "spleen"]
    assert [label.colour for label in found.labels] == ["#0AC828", "#14C828"]
    for value in (1, 2):
        assert np.abs(positions(found, value) - expected(array, axes, value)).max() < 1e-3
    assert any("1 slices between the frames" in note for note in found.notes)


@pytest.mark.parametrize("frame", FRAMES)
def test_it_lands_on_an_image_in_another_voxel_order(tmp_path: Path, frame: str) -> None:
    array, axes = blocks(1, 2), FRAMES[frame]
    path = made(tmp_path / "seg.dcm", array, axes, "LABELMAP", {1: "liver", 2: "spleen"})
    turned = affine_of(axes)[:, [1, 0, 2, 3]]
    image = Geometry((SHAPE[1], SHAPE[0], SHAPE[2]), turned)
    found = formats.read_labels(path, like=image)
    assert found.geometry is image
    assert np.array_equal(found.array, array.transpose(1, 0, 2))


def test_a_label_map_keeps_numbers_with_gaps_and_above_255(tmp_path: Path) -> None:
    array = blocks(7, 200).astype(np.uint16)
    array[array == 200] = 300
    path = made(
        tmp_path / "seg.dcm", array, FRAMES["oblique"], "LABELMAP", {7: "liver", 9: "absent", 300: "spleen"}
    )
    found = formats.read_labels(path)
    assert {label.value: label.name for label in found.labels} == {7: "liver", 9: "absent", 300: "spleen"}
    for value in (7, 300):
        assert np.count_nonzero(found.array == value) == np.count_nonzero(array == value)
        assert np.abs(positions(found, value) - expected(array, FRAMES["oblique"], value)).max() < 1e-3


def test_codes_are_read_and_the_background_is_no_label(tmp_path: Path) -> None:
    path = made(tmp_path / "seg.dcm", blocks(1, 2), AXIAL, "LABELMAP", {1: "liver", 2: "spleen"})
    assert [item.SegmentNumber for item in pydicom.dcmread(path).SegmentSequence] == [0, 1, 2]
    found = formats.read_labels(path)
    assert found.labels.values == (1, 2)
    assert all("~SCT^10200004^Liver~" in label.tags for label in found.labels)


def test_overlapping_segments_of_a_coronal_object_are_layers(tmp_path: Path) -> None:
    array = np.zeros((*SHAPE, 2), np.uint8)
    array[1:4, 2:6, 3:8, 0] = 1
    array[3:5, 4:9, 1:5, 1] = 1
    path = made(tmp_path / "seg.dcm", array, FRAMES["coronal"], "BINARY", {1: "liver", 2: "tumour"})
    with pytest.raises(ChoiceNeeded, match=r"liver.*tumour"):
        formats.read_labels(path)
    for number, name in ((1, "liver"), (2, "tumour")):
        found = formats.read_labels(path, segment_layer=name)
        points = positions(found, number)
        assert np.abs(points - expected(array[..., number - 1], FRAMES["coronal"], 1)).max() < 1e-3
