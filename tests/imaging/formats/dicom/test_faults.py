"""Faults of an export, a disc or an anonymiser: each is refused by its true cause, or read with a remark."""

import os
import sys

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGLSLossless, generate_uid

from ctseg_imaging import formats
from ctseg_imaging.errors import FormatError, GeometryError, OnlyViewable
from ctseg_imaging.volume import LabelMap
from tests.imaging.formats.dicom.making import HU, ORIGIN, OTHER, STEP, TURN, enhanced, plane, save, series

CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
# ---- files that cannot be read
LOST = {
    "empty": (b"", r"008.dcm is empty \(0 bytes\)"),
    "cut off in its header": (None, "008.dcm begins as DICOM and cannot be read"),
    "zeros": (bytes(5000), "008.dcm is not a DICOM file"),
}


@pytest.mark.parametrize("kind", LOST)
def test_a_file_that_may_be_the_last_slice_makes_a_series_view_only(tmp_path, kind):
    """The last slice leaves no gap: nothing but the file shows that it is missing."""
    content, sentence = LOST[kind]
    folder = save(tmp_path / "ct", series())
    (folder / "008.dcm").write_bytes((folder / "007.dcm").read_bytes()[:300] if content is None else content)
    with pytest.raises(OnlyViewable, match=sentence):
        formats.read(folder)
    volume = formats.read_view_only(folder)
    np.testing.assert_array_equal(volume.array, HU)
    assert "008.dcm" in volume.why and "008.dcm" in " ".join(volume.notes)
    (folder / "008.dcm").unlink()
    assert formats.read(folder).notes == ()


@pytest.mark.parametrize("name", ["001.dcm.part", "001.dcm.gz"])
def test_a_slice_under_another_ending_is_one_that_is_missing(tmp_path, name):
    """A download that was not finished, a slice that was packed."""
    folder = save(tmp_path / "ct", series())
    (folder / name).write_bytes((folder / "001.dcm").read_bytes()[:400])
    assert formats.read(folder).array.shape == HU.shape  # the slice itself is there
    (folder / "001.dcm").unlink()
    with pytest.raises(OnlyViewable, match=f"{name} .* may be a slice"):
        formats.read(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets only administrators make links.")
def test_linked_folders_are_followed_once(tmp_path):
    save(tmp_path / "elsewhere", series())
    root = tmp_path / "patient"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root)
    volume = formats.read(root)
    np.testing.assert_array_equal(volume.array, HU)
    assert volume.notes == ()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="Root may open every folder.")
def test_a_folder_that_cannot_be_opened_is_reported(tmp_path):
    save(tmp_path / "ct", series())
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    assert "1 folder(s) that cannot be opened" in " ".join(formats.read(tmp_path).notes)
    closed.chmod(0o700)


@pytest.mark.parametrize("name", ["readme.txt", "DICOM.log", ".nomedia", "._008.dcm", "VERSION"])
def test_an_empty_file_of_another_name_is_no_slice(tmp_path, name):
    folder = save(tmp_path / "ct", series())
    (folder / name).touch()
    volume = formats.read(folder)
    np.testing.assert_array_equal(volume.array, HU)
    assert volume.notes == (f"Left out 1 empty file(s) ({name}).",)


def test_an_empty_file_counts_for_the_series_that_is_called_so(tmp_path):
    folder = save(
        tmp_path / "ct", [*series(), *[plane(k, HU[k] + 1, SeriesInstanceUID=OTHER) for k in range(7)]]
    )
    for k, file in enumerate(sorted(folder.iterdir())):
        file.rename(folder / f"{'MR' if k < 7 else 'CT'}{k}")  # the first seven are of the second series
    (folder / "MR14").touch()
    np.testing.assert_array_equal(formats.read(folder, series=1).array, HU)
    with pytest.raises(OnlyViewable, match="MR14 is empty"):
        formats.read(folder, series=2)


@pytest.mark.parametrize("name", ["001.dcm", "IM0001", "1.2.840.1", "A.IMA"])
def test_a_folder_of_empty_files_is_reported(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(FormatError, match=rf"{name} is empty \(0 bytes\)"):
        formats.read(tmp_path)


@pytest.mark.parametrize("name", ["empty.nii.gz", "note.txt", ".nomedia"])
def test_a_folder_with_an_empty_file_of_another_kind_holds_no_dicom(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(FormatError, match="holds no DICOM file"):
        formats.read(tmp_path)


# ---- how pixels are stored


@pytest.mark.parametrize(
    "keyword",
    ["SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation"],
)
def test_a_missing_tag_of_the_pixels_is_named(tmp_path, keyword):
    planes = series()
    planes[3]["PixelData"].VR = "OW"
    delattr(planes[3], keyword)
    with pytest.raises(FormatError, match=rf"004.dcm: {keyword} is missing"):
        formats.read(save(tmp_path / "ct", planes))


@pytest.mark.parametrize(("stored", "high"), [(12, 15), (16, 11)])
def test_a_high_bit_at_another_place_is_refused(tmp_path, stored, high):
    """Two readers differ here: the twelve bits below the high bit, or the lowest twelve."""
    with pytest.raises(FormatError, match=f"HighBit is {high} where the {stored} bits"):
        formats.read(save(tmp_path / "ct", series(BitsStored=stored, HighBit=high)))


def test_a_stream_that_is_cut_off_inside_its_file_is_refused(tmp_path):
    """A decoder of JPEG-LS completes it with whatever it has."""
    planes = [plane(k, HU[k].repeat(8, 0).repeat(8, 1)) for k in range(7)]
    for header in planes:
        header.compress(JPEGLSLossless, generate_instance_uid=False)
    [stream] = generate_frames(planes[3].PixelData, number_of_frames=1)
    planes[3].PixelData = encapsulate([stream[: len(stream) // 4 * 2]])
    with pytest.raises(FormatError, match=r"compressed pixels of 004.dcm end too early"):
        formats.read(save(tmp_path / "ct", planes))


@pytest.mark.parametrize("more", [bytes(18), bytes(144)])
def test_more_pixels_than_rows_are_refused(tmp_path, more):
    planes = series()
    planes[3].PixelData += more
    with pytest.raises(FormatError, match=r"004.dcm holds more pixels than its 8 rows"):
        formats.read(save(tmp_path / "ct", planes))


def test_a_byte_that_makes_the_pixels_even_is_none_of_them(tmp_path):
    stored = np.random.default_rng(3).integers(0, 256, (3, 7, 9)).astype(np.uint8)
    planes = [
        plane(
            k,
            HU[k][:7],
            BitsAllocated=8,
            BitsStored=8,
            HighBit=7,
            RescaleIntercept="0",
            PixelData=stored[k].tobytes() + b"\0",
        )
        for k in range(3)
    ]
    for header in planes:
        header["PixelData"].VR = "OB"
    np.testing.assert_array_equal(formats.read(save(tmp_path / "ct", planes)).array, stored)


def test_more_bits_than_a_pixel_has_are_refused(tmp_path):
    with pytest.raises(FormatError, match="BitsStored is 32 where a pixel has 16 bits"):
        formats.read(save(tmp_path / "ct", series(BitsStored=32, HighBit=31)))


# ---- doubts about values and sizes


def mapped(slope: float, **fields) -> list[Dataset]:
    item = Dataset()
    item.RealWorldValueSlope, item.RealWorldValueIntercept = slope, 0.0
    return series(Modality="MR", RealWorldValueMappingSequence=[item], **fields)


DOUBTS = {
    "lossy": (lambda: series(LossyImageCompression="01"), "compressed with loss"),
    "real world": (
        lambda: mapped(2.5, RescaleSlope=None, RescaleIntercept=None),
        "RealWorldValueMappingSequence",
    ),
    "metres": (lambda: series(PixelSpacing=["0.0017", "0.0009"]), "0.0009 x 0.0017 mm is unusual"),
}
NO_DOUBTS = {
    "not lossy": lambda: series(LossyImageCompression="00"),
    "rescaled": lambda: mapped(2.5),
    "same scale": lambda: mapped(1.0, RescaleSlope=None, RescaleIntercept=None),
    "distance against the normal": lambda: series(SpacingBetweenSlices="-3"),
}


@pytest.mark.parametrize("what", DOUBTS)
def test_a_doubt_is_a_remark(tmp_path, what):
    planes, sentence = DOUBTS[what]
    assert sentence in " ".join(formats.read(save(tmp_path / "ct", planes())).notes)


@pytest.mark.parametrize("what", NO_DOUBTS)
def test_no_remark_without_a_doubt(tmp_path, what):
    assert formats.read(save(tmp_path / "ct", NO_DOUBTS[what]())).notes == ()


# ---- UIDs


def test_one_instance_uid_for_all_slices_hides_no_second_volume(tmp_path):
    planes = [
        *series(SOPInstanceUID="1.2.3", AcquisitionTime="10"),
        *[plane(k, HU[k] + 50, SOPInstanceUID="1.2.3", AcquisitionTime="11") for k in range(7)],
    ]
    folder = save(tmp_path / "ct", planes)
    assert [choice.slices for choice in formats.list_choices(folder)] == [7, 7]
    volume = formats.read(folder, series=2)
    np.testing.assert_array_equal(volume.array, HU + 50)
    with pytest.raises(FormatError, match="refers to every slice"):
        formats.write(tmp_path / "out.dcm", LabelMap((HU > 0).astype(np.uint8), volume.geometry), like=volume)


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "StudyInstanceUID", "Modality"])
def test_slices_without_an_identity_that_complete_a_stack_belong_to_it(tmp_path, keyword):
    planes = series(FrameOfReferenceUID="1.2.3")
    for k in (1, 4):
        delattr(planes[k], keyword)
    volume = formats.read(save(tmp_path / "ct", planes))
    np.testing.assert_array_equal(volume.array, HU)
    assert "2 slice(s) give no" in volume.notes[0]


def test_slices_without_a_patient_are_not_mixed_with_those_of_one(tmp_path):
    planes = series()
    for k in (1, 4):
        planes[k].PatientID, planes[k].PatientName = "", ""
    assert sorted(choice.slices for choice in formats.list_choices(save(tmp_path / "ct", planes))) == [2, 5]


def test_slices_at_one_position_are_no_series_of_single_slices(tmp_path):
    with pytest.raises(GeometryError, match="no attribute tells which"):
        formats.read(save(tmp_path / "ct", series(ImagePositionPatient=["0", "0", "0"])))


TORN = {
    "SeriesInstanceUID": ["SeriesInstanceUID"],
    "StudyInstanceUID": ["StudyInstanceUID"],
    "FrameOfReferenceUID": ["FrameOfReferenceUID"],
    "all": ["SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"],
}


def torn(planes: list[Dataset], keywords: list[str]) -> list[Dataset]:
    for header in planes:
        for keyword in keywords:
            setattr(header, keyword, generate_uid())
    return planes


@pytest.mark.parametrize("what", TORN)
def test_files_with_a_uid_of_their_own_each_are_one_series(tmp_path, what):
    folder = save(tmp_path / "ct", torn(series(), TORN[what]))
    [choice] = formats.list_choices(folder)
    assert choice.slices == 7
    for path in (folder, folder / "004.dcm"):
        volume = formats.read(path)
        np.testing.assert_array_equal(volume.array, HU)
        assert (
            len(volume.notes) == 1
            and TORN[what][-1] in volume.notes[0]
            and "read as one series" in volume.notes[0]
        )
    mask = LabelMap((volume.array > 0).astype(np.uint8), volume.geometry)
    with pytest.raises(FormatError, match="share no SeriesInstanceUID"):
        formats.write(tmp_path / "out.dcm", mask, like=volume)


def test_two_torn_series_stay_two(tmp_path):
    planes = [*series(AcquisitionNumber=1), *[plane(k, HU[k] + 50, AcquisitionNumber=2) for k in range(7)]]
    folder = save(tmp_path / "ct", torn(planes, ["SeriesInstanceUID"]))
    choices = formats.list_choices(folder)
    assert [choice.apart for choice in choices] == [f"acquisition {n}, joined from 7 files" for n in (1, 2)]
    for n, choice in enumerate(choices):
        np.testing.assert_array_equal(formats.read(folder, series=choice.uid).array, HU + 50 * n)


def test_torn_slices_of_several_patients_are_not_joined(tmp_path):
    planes = torn(series(), ["SeriesInstanceUID"])
    for k, header in enumerate(planes):
        header.PatientID = f"{k}"
    assert [choice.slices for choice in formats.list_choices(save(tmp_path / "ct", planes))] == [1] * 7


# ---- rounded positions


def rounded(decimals: int, planes: list[Dataset], places) -> list[Dataset]:
    """The planes at places (in mm along the normal), their coordinates rounded."""
    for header, place in zip(planes, places, strict=True):
        header.ImagePositionPatient = [f"{v:.{decimals}f}" for v in ORIGIN + place * TURN[:, 2]]
    return planes


def test_an_oblique_volume_with_positions_rounded_to_a_tenth_is_a_volume(tmp_path):
    """The true first and last positions are met within the rounding, which is 0.05 mm along each axis."""
    folder = save(tmp_path / "mr", rounded(1, series(), STEP * np.arange(7)))
    volume = formats.read(folder)
    np.testing.assert_array_equal(volume.array, HU)
    assert "rounded to 0.1 mm" in volume.notes[0]
    for k in range(7):
        np.testing.assert_allclose(
            volume.geometry.index_to_lps((k, 0, 0)), ORIGIN + k * STEP * TURN[:, 2], atol=0.05 * np.sqrt(3)
        )
    written = formats.write(tmp_path / "out.nii.gz", volume)
    assert written == ()
    np.testing.assert_allclose(
        formats.read(tmp_path / "out.nii.gz").geometry.affine_lps, volume.geometry.affine_lps, atol=1e-5
    )


UNEVEN = {
    "moved by 0.4 mm": (1, [0, 3, 6.4, 9, 12, 15, 18]),
    "missing": (1, [0, 3, 6, 12, 15, 18, 21]),
    "creeping": (1, [0, 3, 6, 9, 12.3, 15.6, 18.9]),
    "whole mm": (0, 2.5 * np.arange(7)),
    "six decimals": (6, [0, 3, 6.08, 9, 12, 15, 18]),
}


@pytest.mark.parametrize("what", UNEVEN)
def test_what_is_more_than_rounding_is_uneven(tmp_path, what):
    with pytest.raises(OnlyViewable, match=r"uneven|missing|straight above"):
        formats.read(save(tmp_path / "mr", rounded(UNEVEN[what][0], series(), UNEVEN[what][1])))


def long_series(decimals: int, lean: float = 0.0) -> list[Dataset]:
    """Sixty slices whose directions are rounded and whose positions are not; lean : mm aside with each
    slice.
    """
    directions = [f"{v:.{decimals}f}" for v in (*TURN[:, 0], *TURN[:, 1])]
    return [
        plane(
            k % 7,
            InstanceNumber=k,
            ImageOrientationPatient=directions,
            PixelSpacing=["0.5", "0.4"],
            ImagePositionPatient=[f"{v:.6f}" for v in ORIGIN + k * (STEP * TURN[:, 2] + lean * TURN[:, 1])],
        )
        for k in range(60)
    ]


def test_directions_rounded_to_three_decimals_are_no_tilt(tmp_path):
    volume = formats.read(save(tmp_path / "mr", long_series(3)))
    assert "directions of the slices are rounded" in volume.notes[0]
    for k in (0, 30, 59):
        np.testing.assert_allclose(
            volume.geometry.index_to_lps((k, 0, 0)), ORIGIN + k * STEP * TURN[:, 2], atol=0.1
        )


@pytest.mark.parametrize(("decimals", "lean"), [(3, 0.02), (9, 0.005)])
def test_more_than_the_rounding_of_directions_is_a_tilt(tmp_path, decimals, lean):
    with pytest.raises(OnlyViewable, match="tilt of"):
        formats.read(save(tmp_path / "mr", long_series(decimals, lean)))


def test_a_rounded_tilt_is_a_tilt(tmp_path):
    planes = series()
    for k, header in enumerate(planes):
        header.ImagePositionPatient = [
            f"{v:.1f}" for v in ORIGIN + k * (STEP * TURN[:, 2] + 0.1 * TURN[:, 1])
        ]
    with pytest.raises(OnlyViewable, match="tilt of"):
        formats.read(save(tmp_path / "ct", planes))


def test_rounding_does_not_divide_a_series(tmp_path):
    """Acquisitions of two slices each, which lie evenly in any case."""
    planes = [plane(k, AcquisitionNumber=1 + k // 2) for k in range(6)]
    np.testing.assert_array_equal(
        formats.read(save(tmp_path / "mr", rounded(1, planes, STEP * np.arange(6)))).array, HU[:6]
    )


# ---- frames of an enhanced object


def frames(count: int, change) -> Dataset:
    """`count` times the frames of one object, the values of each 50 HU above those before; change(volume,
    frame number, frame).
    """
    made = enhanced()
    stored = np.frombuffer(made.PixelData, "<u2")
    made.PixelData = b"".join((stored + 50 * n).astype("<u2").tobytes() for n in range(count))
    groups = []
    for n in range(count):
        for k, group in enumerate(enhanced().PerFrameFunctionalGroupsSequence):
            change(n, k, group)
            groups.append(group)
    made.PerFrameFunctionalGroupsSequence, made.NumberOfFrames = groups, len(groups)
    return made


def indexed(indices):
    """A change that gives each frame its DimensionIndexValues."""

    def change(n, k, group):
        item = Dataset()
        item.DimensionIndexValues = indices(n, k)
        group.FrameContentSequence = [item]

    return change


def test_stacks_that_only_their_indices_tell_apart_are_choices(tmp_path):
    folder = save(tmp_path / "mr", [frames(2, indexed(lambda n, k: [k + 1, n + 1]))])
    assert [choice.apart for choice in formats.list_choices(folder)] == [
        "dimension 2 at 1",
        "dimension 2 at 2",
    ]
    for n in range(2):
        np.testing.assert_array_equal(formats.read(folder, series=n + 1).array, HU + 50 * n)


def test_volumes_that_only_two_indices_together_tell_apart_are_choices(tmp_path):
    folder = save(tmp_path / "mr", [frames(4, indexed(lambda n, k: [n // 2 + 1, k + 1, n % 2 + 1]))])
    assert [choice.apart for choice in formats.list_choices(folder)] == [
        f"dimension 1 at {first}, dimension 3 at {third}" for first in (1, 2) for third in (1, 2)
    ]
    for n in range(4):
        np.testing.assert_array_equal(formats.read(folder, series=n + 1).array, HU + 50 * n)


def test_positions_that_do_not_follow_the_orientation_are_no_copies(tmp_path):
    """A second stack with other directions and the same positions: all of it lies in one plane, side by
    side.
    """

    def change(n, k, group):
        if n:
            turned = Dataset()
            turned.ImageOrientationPatient = [f"{v:.9f}" for v in (*TURN[:, 0], *TURN[:, 2])]
            group.PlaneOrientationSequence = [turned]

    made = frames(2, change)
    made.PixelData = bytes(len(made.PixelData))  # copies would be equal
    folder = save(tmp_path / "mr", [made])
    assert formats.read(folder, series=1).array.shape == HU.shape
    with pytest.raises(GeometryError, match=r"frame \d+ of 001.dcm .* mm apart in one plane"):
        formats.read(folder, series=2)


# ---- messages


def test_a_folder_of_secondary_captures_is_called_so(tmp_path):
    captures = [
        plane(k, SOPClassUID=CAPTURE, Modality="OT", ImagePositionPatient=None, ImageOrientationPatient=None)
        for k in range(3)
    ]
    folder = save(tmp_path / "captures", captures)
    for path in (folder, next(folder.iterdir())):
        with pytest.raises(FormatError, match="secondary captures") as refusal:
            formats.read(path)
        assert "contours" not in str(refusal.value)


def test_a_named_series_does_not_list_the_others(tmp_path):
    folder = save(tmp_path / "two", [*series(), plane(0, SeriesInstanceUID=OTHER)])
    assert "Left out another series" in formats.read(folder).notes[0]
    assert formats.read(folder, series=1).notes == ()
