"""DICOM SEG against highdicom's own way of reading, and against voxels placed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from ctseg_imaging import formats
from ctseg_imaging.errors import ChoiceNeeded, FormatError, GeometryError

FILES = ("binary", "binary_fractional", "binary_overlap", "binary_single_frame", "true_fractional")


def masks_of(path: Path) -> dict[int, dict[tuple[float, ...], np.ndarray]]:
    """{segment: {position: mask}} frame by frame, by highdicom's reader of the object and numpy alone."""
    highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed (the extra dicom)")
    seg = highdicom.seg.segread(path)
    found: dict[int, dict[tuple[float, ...], np.ndarray]] = {}
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    top = float(seg.get("MaximumFractionalValue", 1))
    for frame, group in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        position = tuple(map(float, group.PlanePositionSequence[0].ImagePositionPatient))
        found.setdefault(number, {})[position] = frame / top >= 0.5
    return found


@pytest.mark.parametrize("name", FILES)
def test_every_frame_lies_at_its_position(shared_file, name: str) -> None:
    path = shared_file(f"dicom-seg/seg_image_ct_{name}.dcm")
    for number, planes in masks_of(path).items():
        found = formats.read_labels(path, segment_layer=number)
        for position, mask in planes.items():
            z, y, x = np.rint(found.geometry.lps_to_index(position)).astype(int)
            assert (y, x) == (0, 0)
            assert np.array_equal(found.array[z] == number, mask)
        assert np.count_nonzero(found.array) == sum(mask.sum() for mask in planes.values())


def test_overlapping_segments_are_layers_with_their_names(shared_file) -> None:
    path = shared_file("dicom-seg/seg_image_ct_binary_overlap.dcm")
    with pytest.raises(ChoiceNeeded, match=r"first segment.*second segment"):
        formats.read_labels(path)
    assert [label.name for label in formats.read_labels(path, segment_layer="second segment").labels] == [
        "second segment"
    ]


def test_a_seg_lands_on_its_image(shared_file) -> None:
    image = formats.read(shared_file("dicom-seg/ct_image.dcm"))
    found = formats.read_labels(shared_file("dicom-seg/seg_image_ct_binary_single_frame.dcm"), like=image)
    assert found.geometry is image.geometry
    assert np.count_nonzero(found.array) == 1832


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda seg: seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence.clear(), GeometryError),
        (lambda seg: seg.PerFrameFunctionalGroupsSequence.pop(), FormatError),
        (lambda seg: setattr(seg, "SegmentationType", "OTHER"), FormatError),
        (lambda seg: setattr(seg, "PixelData", seg.PixelData[:20]), FormatError),
        (lambda seg: seg.SegmentSequence.clear(), FormatError),
        (lambda seg: delattr(seg, "Rows"), FormatError),
        (
            lambda seg: setattr(
                seg.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0],
                "ImagePositionPatient",
                [0, 0, 0],
            ),
            GeometryError,
        ),
    ],
)
def test_a_damaged_seg_is_a_sentence(shared_file, tmp_path: Path, change, error) -> None:
    seg = pydicom.dcmread(shared_file("dicom-seg/seg_image_ct_binary.dcm"))
    change(seg)
    seg.save_as(tmp_path / "seg.dcm")
    with pytest.raises(error, match=r"seg\.dcm"):
        formats.read_labels(tmp_path / "seg.dcm")
