"""Faults of an export, a disc or an anonymiser: each is refused by its true cause, or read with a remark."""

import numpy as np
import pytest

from ctseg_imaging import formats
from ctseg_imaging.errors import FormatError, OnlyViewable
from tests.imaging.dicom_making import HU, OTHER, plane, save, series

CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


# ---- files that cannot be read

LOST = {
    "empty": (b"", r"008.dcm is empty \(0 bytes\)"),
    "cut off in its header": (None, "008.dcm begins as DICOM and cannot be read"),
    "zeros": (bytes(5000), "008.dcm is no DICOM file"),
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


@pytest.mark.parametrize("name", ["readme.txt", "DICOM.log", ".nomedia", "._008.dcm", "VERSION"])
def test_an_empty_file_of_another_name_is_no_slice(tmp_path, name):
    folder = save(tmp_path / "ct", series())
    (folder / name).touch()
    volume = formats.read(folder)
    np.testing.assert_array_equal(volume.array, HU)
    assert volume.notes == ("Left out 1 file(s) that are not DICOM.",)


def test_an_empty_file_counts_for_the_series_that_is_called_so(tmp_path):
    folder = save(tmp_path / "ct", [*series(), *[plane(k, HU[k] + 1, SeriesInstanceUID=OTHER) for k in range(7)]])
    for k, file in enumerate(sorted(folder.iterdir())):
        file.rename(folder / f"{'MR' if k < 7 else 'CT'}{k}")  # the first seven are of the second series
    (folder / "MR14").touch()
    np.testing.assert_array_equal(formats.read(folder, series=1).array, HU)
    with pytest.raises(OnlyViewable, match="MR14 is empty"):
        formats.read(folder, series=2)


def test_a_folder_of_empty_files_says_so(tmp_path):
    (tmp_path / "001.dcm").touch()
    with pytest.raises(FormatError, match=r"001.dcm is empty \(0 bytes\)"):
        formats.read(tmp_path)


# ---- how pixels are stored

@pytest.mark.parametrize("keyword", ["SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation"])
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


# ---- what is said

def test_a_folder_of_screen_captures_is_called_so(tmp_path):
    captures = [plane(k, SOPClassUID=CAPTURE, Modality="OT", ImagePositionPatient=None, ImageOrientationPatient=None) for k in range(3)]
    folder = save(tmp_path / "captures", captures)
    for path in (folder, next(folder.iterdir())):
        with pytest.raises(FormatError, match="screen captures") as refusal:
            formats.read(path)
        assert "contours" not in str(refusal.value)


def test_a_named_series_is_not_told_about_the_others(tmp_path):
    folder = save(tmp_path / "two", [*series(), plane(0, SeriesInstanceUID=OTHER)])
    assert "Left out another series" in formats.read(folder).notes[0]
    assert formats.read(folder, series=1).notes == ()
