"""Unusual DICOM files of PACS exports: storage, damaged attributes, pictures that are not volumes."""

import warnings

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    generate_uid,
)

from ctseg_imaging import formats
from ctseg_imaging.errors import CtsegError, FormatError, GeometryError
from tests.imaging.formats.dicom.making import HU, ORIGIN, OTHER, SERIES, TURN, plane, save, series


@pytest.mark.parametrize("bare", ["all", "some", "with file meta"])
@pytest.mark.parametrize("implicit", [True, False])
def test_files_without_preamble(tmp_path, bare, implicit):
    folder = tmp_path / "ct"
    folder.mkdir()
    for k, header in enumerate(series()):
        syntax = ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian
        header.file_meta.TransferSyntaxUID = syntax
        path = folder / f"IM{k}"
        header.save_as(path, implicit_vr=implicit, little_endian=True, enforce_file_format=True)
        if bare == "some" and k % 2:
            continue
        if bare == "with file meta":
            path.write_bytes(path.read_bytes()[132:])
            continue
        del header.file_meta
        header.save_as(path, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
        assert path.read_bytes()[128:132] != b"DICM"
    assert formats.is_readable(folder)
    assert formats.is_readable(folder / "IM0")
    volume = formats.read(folder)
    np.testing.assert_array_equal(volume.array, HU)
    assert volume.notes == ()


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_rare_transfer_syntaxes(tmp_path, syntax):
    planes = series()
    for header in planes:
        header.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            header.PixelData = np.frombuffer(header.PixelData, "<u2").astype(">u2").tobytes()
            header["PixelData"].VR = "OW"
    folder = tmp_path / "ct"
    folder.mkdir()
    for k, header in enumerate(planes):
        header.save_as(
            folder / f"{k}.dcm",
            enforce_file_format=True,
            implicit_vr=False,
            little_endian=syntax != ExplicitVRBigEndian,
        )
    np.testing.assert_array_equal(formats.read(folder).array, HU)


def test_a_codec_that_nobody_has_names_the_extra(tmp_path):
    larger = HU.repeat(8, 1).repeat(8, 2)
    planes = [plane(k, larger[k]) for k in range(7)]
    for header in planes:
        header.compress(JPEG2000Lossless, generate_instance_uid=False)
        header.file_meta.TransferSyntaxUID = MPEG2MPML
    folder = save(tmp_path / "ct", planes)
    with pytest.raises(FormatError, match=r"compressed .* napari-ctseg\[dicom\]"):
        formats.read(folder)


def test_twelve_stored_bits_of_sixteen_are_signed(tmp_path):
    """The upper four bits hold what an overlay left there; the sign is bit 11."""
    planes = series(RescaleIntercept="0", BitsStored=12, HighBit=11, PixelRepresentation=1)
    for k, header in enumerate(planes):
        stored = (HU[k].astype(np.int32) & 0x0FFF) | 0x5000
        header.PixelData = stored.astype("<u2").tobytes()
    volume = formats.read(save(tmp_path / "ct", planes))
    np.testing.assert_array_equal(volume.array, HU)


def test_padding_and_inverted_display_are_remarks(tmp_path):
    planes = series(PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
    volume = formats.read(save(tmp_path / "ct", planes))
    np.testing.assert_array_equal(volume.array, HU)
    notes = " ".join(volume.notes)
    assert "MONOCHROME1" in notes and "padding value -1024" in notes


def raw(header: Dataset, keyword: str, text: str) -> Dataset:
    """An attribute as a file with a wrong text has it: pydicom refuses to make one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tag = Tag(keyword)
        vr = pydicom.datadict.dictionary_VR(tag)
        value = text.encode().ljust(len(text) + len(text) % 2)
        header[tag] = pydicom.dataelem.RawDataElement(tag, vr, len(value), value, 0, False, True)
    return header


NEEDED = (
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "RescaleSlope",
    "RescaleIntercept",
)


@pytest.mark.parametrize("text", ["1.25mm", "garbage\\more", "NaN\\NaN", "1e999", "\\"])
@pytest.mark.parametrize("keyword", NEEDED)
def test_a_needed_number_that_is_none_is_a_sentence(tmp_path, keyword, text):
    planes = series()
    raw(planes[3], keyword, text)
    with pytest.raises(CtsegError) as refusal:
        formats.read(save(tmp_path / "ct", planes), series=SERIES)
    assert "mm" not in str(refusal.value).replace("pixel spacing (mm)", "").replace(" mm", "")
    for planes_of_all in [series()]:
        for header in planes_of_all:
            raw(header, keyword, text)
        with pytest.raises(CtsegError, match=keyword if text != "\\" else "all"):
            formats.read(save(tmp_path / "all", planes_of_all))


NOT_NEEDED = (
    "WindowCenter",
    "WindowWidth",
    "SliceThickness",
    "SpacingBetweenSlices",
    "InstanceNumber",
    "EchoTime",
    "AcquisitionNumber",
    "SeriesNumber",
    "KVP",
    "PixelPaddingValue",
    "TriggerTime",
    "EchoNumbers",
)


@pytest.mark.parametrize("keyword", NOT_NEEDED)
def test_a_number_that_is_not_needed_does_not_stop_the_reading(tmp_path, keyword):
    planes = [raw(header, keyword, "1.25mm") for header in series(WindowCenter="40", WindowWidth="400")]
    volume = formats.read(save(tmp_path / "ct", planes))
    np.testing.assert_array_equal(volume.array, HU)
    if keyword in ("WindowCenter", "SliceThickness", "SpacingBetweenSlices"):
        assert f"{keyword}" in " ".join(volume.notes) and "ignored" in " ".join(volume.notes)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "colour picture"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour picture"),
        ({"RescaleIntercept": None}, "only one of RescaleSlope"),
        ({"RescaleSlope": "0"}, "RescaleSlope is 0"),
        ({"RescaleSlope": "1E30"}, "too large to be true"),
        ({"RescaleIntercept": "-1E200"}, "too large to be true"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"], "Modality": "MR"}, "Siemens mosaic"),
    ],
)
def test_pictures_that_are_no_planes_of_numbers(tmp_path, fields, sentence):
    with pytest.raises(FormatError, match=sentence):
        formats.read(save(tmp_path / "ct", series(**fields)))


def test_a_mosaic_that_only_its_private_tags_name(tmp_path):
    planes = series(Modality="MR")
    for header in planes:
        header.add_new(0x00190010, "LO", "SIEMENS MR HEADER")
        header.add_new(0x0019100A, "US", 9)
    with pytest.raises(FormatError, match="Siemens mosaic, 9 slices"):
        formats.read(save(tmp_path / "mr", planes))


def test_reports_captures_and_scouts_do_not_stand_in_the_way(tmp_path):
    """Next to seven slices: a screen capture in colour, a dose report, a key object, a presentation state, a
    scout.
    """
    capture = plane(
        0, SOPClassUID="1.2.840.10008.5.1.4.1.1.7.4", SeriesInstanceUID=generate_uid(), SamplesPerPixel=3
    )
    grey = plane(0, SeriesInstanceUID=generate_uid(), Modality="OT", ImagePositionPatient=None)
    scout = plane(0, SeriesInstanceUID=generate_uid(), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    objects = [
        plane(
            0, SOPClassUID=uid, SeriesInstanceUID=generate_uid(), Modality=modality, Rows=None, PixelData=None
        )
        for uid, modality in (
            ("1.2.840.10008.5.1.4.1.1.88.67", "SR"),
            ("1.2.840.10008.5.1.4.1.1.88.59", "KO"),
            ("1.2.840.10008.5.1.4.1.1.11.1", "PR"),
            ("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT"),
        )
    ]
    folder = save(tmp_path / "ct", [*series()[:3], capture, grey, scout, *objects])
    volume = formats.read(folder)
    np.testing.assert_array_equal(volume.array, HU[:3])
    assert "5 DICOM object(s)" in " ".join(volume.notes)


def test_reformatted_series_are_offered(tmp_path):
    """Coronal planes of the same study, marked as derived and reformatted."""
    turned = [f"{v:.9f}" for v in (*TURN[:, 0], *TURN[:, 2])]
    coronal = [
        plane(
            k,
            SeriesInstanceUID=OTHER,
            SeriesNumber=5,
            ImageOrientationPatient=turned,
            ImageType=["DERIVED", "SECONDARY", "REFORMATTED"],
            ImagePositionPatient=[f"{v:.9g}" for v in ORIGIN + k * 2 * TURN[:, 1]],
        )
        for k in range(7)
    ]
    folder = save(tmp_path / "ct", [*series(), *coronal])
    assert [choice.slices for choice in formats.list_choices(folder)] == [7, 7]
    assert formats.read(folder, series=2).geometry.spacing_mm[0] == pytest.approx(2)


def test_a_damaged_header_elsewhere_is_a_remark(tmp_path):
    folder = save(tmp_path / "ct", series())
    (folder / "broken").write_bytes(bytes(128) + b"DICM" + b"\xff" * 300)
    volume = formats.read(folder)
    np.testing.assert_array_equal(volume.array, HU)
    assert "broken" in " ".join(volume.notes)


def test_frames_without_positions_of_their_own_are_refused(tmp_path):
    """A multi-frame object with the position of its first frame only: one frame read as a slice would lose
    the others.
    """
    stored = (HU.astype(np.int32) + 1024).astype("<u2").tobytes()
    folder = save(tmp_path / "nm", [plane(0, NumberOfFrames=7, PixelData=stored)])
    with pytest.raises(GeometryError, match="no position"):
        formats.read(folder)
