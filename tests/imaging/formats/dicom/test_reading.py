"""DICOM series made here, oblique and with unequal sides, against SimpleITK's own series reader; then what
must be refused.
"""

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless, generate_uid

from ctseg_imaging import formats
from ctseg_imaging.errors import ChoiceNeeded, CtsegError, FormatError, GeometryError
from ctseg_imaging.formats.dicom import pixels as dicom_pixels
from ctseg_imaging.formats.dicom.pixels import decode_with_itk
from ctseg_imaging.formats.dicom.series import scanning
from ctseg_imaging.progress import finish
from tests.imaging.formats.dicom.making import (
    COLUMN_SPACING,
    HU,
    ORIGIN,
    OTHER,
    ROW_SPACING,
    SERIES,
    STEP,
    TURN,
    enhanced,
    plane,
    save,
    series,
)


def with_itk(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def test_agrees_with_simpleitk_on_an_oblique_series(tmp_path):
    folder = save(tmp_path / "ct", series())
    volume, expected = formats.read(folder), with_itk(folder)
    np.testing.assert_array_equal(volume.array, HU)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(expected), HU)
    assert volume.array.dtype == np.int16
    assert (volume.modality, volume.notes) == ("CT", ())
    for index in ((0, 0, 0), (6, 7, 8), (3, 1, 5)):
        np.testing.assert_allclose(
            volume.geometry.index_to_lps(index),
            expected.TransformIndexToPhysicalPoint(index[::-1]),
            atol=1e-5,
        )
    np.testing.assert_allclose(volume.geometry.spacing_mm, (STEP, ROW_SPACING, COLUMN_SPACING), atol=1e-6)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_compressed_pixels(tmp_path, syntax, monkeypatch):
    """By pydicom's plugins, and by SimpleITK where there are none (pydicom knows RLE by itself)."""
    larger = HU.repeat(8, 1).repeat(8, 2)  # JPEG 2000 wants 32 pixels at least
    planes = [plane(k, larger[k]) for k in range(7)]
    for header in planes:
        header.compress(syntax, generate_instance_uid=False)
    folder = save(tmp_path / "ct", planes)
    np.testing.assert_array_equal(formats.read(folder).array, larger)
    if syntax != RLELossless:
        monkeypatch.setattr(dicom_pixels, "_has_decoder", lambda syntax: False)
        np.testing.assert_array_equal(formats.read(folder).array, larger)


def test_simpleitk_gives_the_stored_numbers(tmp_path):
    folder = save(tmp_path / "ct", series(RescaleSlope="2", RescaleIntercept="-500"))
    (found,) = finish(scanning(folder)).series
    for one in found.slices:
        np.testing.assert_array_equal(decode_with_itk(one), pydicom.dcmread(one.path).pixel_array)


def test_rescale_is_each_slices_own(tmp_path):
    planes = [plane(k, RescaleSlope=f"{0.5 + 0.1 * k:.1f}", RescaleIntercept="3") for k in range(7)]
    volume = formats.read(save(tmp_path / "pet", planes))
    for k in range(7):
        np.testing.assert_allclose(volume.array[k], (HU[k] + 1024.0) * (0.5 + 0.1 * k) + 3, rtol=1e-6)
    assert volume.array.dtype == np.float32


def test_values_beyond_int16_become_int32(tmp_path):
    planes = series()
    planes[4].RescaleIntercept = "60000"
    volume = formats.read(save(tmp_path / "ct", planes))
    assert volume.array.dtype == np.int32
    np.testing.assert_array_equal(volume.array[4], HU[4].astype(np.int32) + 61024)
    np.testing.assert_array_equal(volume.array[3], HU[3])


def test_whole_values_beyond_int64_become_float32(tmp_path):
    planes = series(RescaleSlope="1000000000000000")
    planes[4].PixelData = np.full(HU[4].shape, 30000, np.int16).tobytes()
    volume = formats.read(save(tmp_path / "ct", planes))
    np.testing.assert_allclose(volume.array[4], 3e19, rtol=1e-6)


def test_windows_of_the_file(tmp_path):
    planes = series(
        WindowCenter=["40", "-600"],
        WindowWidth=["400", "1200"],
        WindowCenterWidthExplanation=["ABDOMEN", "LUNG"],
    )
    windows = formats.read(save(tmp_path / "ct", planes)).windows
    assert [(window.name, window.width, window.level) for window in windows] == [
        ("abdomen", 400, 40),
        ("lung", 1200, -600),
    ]


def test_no_word_names_the_patient(tmp_path):
    """Neither the choice, nor notes, nor a refusal holds the name, the id or the free description."""
    folder = save(tmp_path / "a", series())
    save(folder / "..", series(SeriesInstanceUID=OTHER, SeriesNumber=4))
    for file in tmp_path.glob("*.dcm"):
        file.rename(folder / f"other-{file.name}")
    sentences = [choice.description for choice in formats.list_choices(folder)]
    with pytest.raises(ChoiceNeeded) as refusal:
        formats.read(folder)
    sentences += [str(refusal.value), *formats.read(folder, series=1).notes]
    sentences += formats.read(save(tmp_path / "b", [*series(), plane(0, SeriesInstanceUID=OTHER)])).notes
    for word in ("Nobody", "0815", "abdomen"):
        assert not [sentence for sentence in sentences if word in sentence]


def test_series_are_chosen_by_number_or_uid(tmp_path):
    planes = [*series(), *[plane(k, HU[k] + 1, SeriesInstanceUID=OTHER, SeriesNumber=9) for k in range(7)]]
    folder = save(tmp_path / "two", planes)
    assert [(choice.index, choice.uid, choice.slices) for choice in formats.list_choices(folder)] == [
        (1, SERIES, 7),
        (2, OTHER, 7),
    ]
    for wanted in (2, "2", OTHER):
        volume = formats.read(folder, series=wanted)
        np.testing.assert_array_equal(volume.array, HU + 1)
        assert volume.notes == ()
    with pytest.raises(FormatError, match="no series 3"):
        formats.read(folder, series=3)


def test_one_file_stands_for_its_series(tmp_path):
    folder = save(
        tmp_path / "two", [*series(), *[plane(k, HU[k] + 1, SeriesInstanceUID=OTHER) for k in range(7)]]
    )
    file = next(path for path in folder.iterdir() if pydicom.dcmread(path).SeriesInstanceUID == OTHER)
    assert formats.is_readable(file)
    np.testing.assert_array_equal(formats.read(file).array, HU + 1)


def test_small_series_localisers_and_strangers_are_left_out_and_noted(tmp_path):
    scout = plane(0, SeriesInstanceUID=generate_uid(), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    planes = [*series(), plane(0, SeriesInstanceUID=OTHER), scout]
    contours = plane(
        0,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3",
        Rows=None,
        PixelData=None,
        SeriesInstanceUID=generate_uid(),
    )
    folder = save(tmp_path / "ct", [*planes, contours])
    (folder / "readme.txt").write_text("no DICOM")
    volume = formats.read(folder)
    np.testing.assert_array_equal(volume.array, HU)
    notes = " ".join(volume.notes)
    for word in ("another series", "a localiser", "1 DICOM object", "1 file(s) that are not DICOM"):
        assert word in notes


def test_slices_in_sub_folders_are_found(tmp_path):
    (tmp_path / "disc").mkdir()
    save(tmp_path / "disc" / "series", series())
    (tmp_path / "disc" / "readme.txt").write_text("no DICOM")
    np.testing.assert_array_equal(formats.read(tmp_path / "disc").array, HU)


def test_a_directory_file_stands_for_its_folder(tmp_path):
    save(tmp_path / "disc", series())
    plane(0).save_as(tmp_path / "disc" / "DICOMDIR", enforce_file_format=True)
    np.testing.assert_array_equal(formats.read(tmp_path / "disc" / "DICOMDIR").array, HU)


def test_identical_doubles_are_used_once(tmp_path):
    volume = formats.read(save(tmp_path / "ct", [*series(), plane(3), plane(5)]))
    np.testing.assert_array_equal(volume.array, HU)
    assert "2 slice(s) occur twice" in volume.notes[0]


def test_rounded_positions_are_no_uneven_spacing(tmp_path):
    planes = series()
    for k, header in enumerate(planes):
        header.ImagePositionPatient = [f"{v:.2f}" for v in ORIGIN + k * STEP * TURN[:, 2]]
    volume = formats.read(save(tmp_path / "ct", planes))
    assert volume.geometry.spacing_mm[0] == pytest.approx(STEP, abs=5e-3)


def at(*along: float) -> list[Dataset]:
    """The slices at these places (in steps) along the normal."""
    return [
        plane(k, ImagePositionPatient=[f"{v:.6f}" for v in ORIGIN + place * STEP * TURN[:, 2]])
        for k, place in enumerate(along)
    ]


def changed(k: int, **fields) -> list[Dataset]:
    return [plane(i, **(fields if i == k else {})) for i in range(7)]


REFUSED = {
    "missing": (
        lambda: at(0, 1, 2, 4, 5, 6, 7),
        GeometryError,
        r"slices 3 and 4 lie 6.00 mm apart .* \(1 slice is missing\)",
    ),
    "two missing": (lambda: at(0, 1, 2, 5, 6, 7, 8), GeometryError, "2 slices are missing"),
    "uneven": (lambda: at(0, 1, 2, 3.5, 4.5, 5.5, 6.5), GeometryError, "spacing is uneven"),
    "creeping": (lambda: at(0, 1, 2, 3, 4.015, 5.03, 6.045), GeometryError, "uneven"),
    "double": (
        lambda: [*series(), plane(3, HU[3] + 1)],
        GeometryError,
        "two different slices lie at one position",
    ),
    "no position": (lambda: changed(2, ImagePositionPatient=None), GeometryError, "no position"),
    "no orientation": (lambda: changed(2, ImageOrientationPatient=None), GeometryError, "no .*orientation"),
    "no right angle": (
        lambda: changed(2, ImageOrientationPatient=[1, 0, 0, 0.5, 0.9, 0]),
        GeometryError,
        "orientation",
    ),
    "orientation": (
        lambda: changed(2, ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        ChoiceNeeded,
        "1 slice .*orientation 2",
    ),
    "no spacing": (lambda: changed(2, PixelSpacing=None), GeometryError, "no pixel spacing"),
    "spacing": (
        lambda: changed(2, PixelSpacing=["1.7", "0.95"]),
        ChoiceNeeded,
        r"pixel spacing \(mm\) 1.7 x 0.95",
    ),
    "localiser": (
        lambda: changed(2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        FormatError,
        "localiser",
    ),
    "cut": (lambda: changed(2, PixelData=bytes(100)), FormatError, "cut off"),
    "no pixels": (lambda: changed(2, PixelData=None), FormatError, "no pixels"),
    "colour": (lambda: changed(2, SamplesPerPixel=3), FormatError, "colour"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_doubtful_series_is_refused_in_one_sentence(tmp_path, fault):
    planes, kind, sentence = REFUSED[fault]
    with pytest.raises(kind, match=sentence) as refusal:
        formats.read(save(tmp_path / "ct", planes()))
    assert str(tmp_path / "ct") in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_slices_of_another_size_are_refused(tmp_path):
    planes = [*series()[:6], plane(6, HU[6][:, :5])]
    with pytest.raises(ChoiceNeeded, match=r"pixels 5 x 8.*pixels 9 x 8"):
        formats.read(save(tmp_path / "ct", planes))


@pytest.mark.parametrize("degrees", [0.5, 15])
def test_tilt_is_refused_with_its_angle(tmp_path, degrees):
    lean = np.tan(np.radians(degrees)) * TURN[:, 1]
    planes = [
        plane(k, ImagePositionPatient=[f"{v:.6f}" for v in ORIGIN + k * STEP * (TURN[:, 2] + lean)])
        for k in range(7)
    ]
    with pytest.raises(GeometryError, match=f"tilt of {degrees:.1f} degrees"):
        formats.read(save(tmp_path / "ct", planes))


def test_a_single_slice_needs_a_thickness(tmp_path):
    volume = formats.read(save(tmp_path / "one", [plane(2)]))
    assert volume.array.shape == (1, 8, 9)
    assert volume.geometry.spacing_mm[0] == pytest.approx(STEP)
    assert "single slice" in volume.notes[0]
    with pytest.raises(GeometryError, match="without a thickness"):
        formats.read(save(tmp_path / "thin", [plane(2, SliceThickness=None)]))


def test_enhanced_multiframe_is_ordered_by_position(tmp_path):
    folder = save(tmp_path / "enhanced", [enhanced()])
    volume = formats.read(folder)
    np.testing.assert_array_equal(volume.array, HU)
    np.testing.assert_allclose(volume.geometry.origin_lps_mm, ORIGIN, atol=1e-6)
    np.testing.assert_array_equal(formats.read(next(folder.iterdir())).array, HU)


def test_multiframe_without_positions_is_refused(tmp_path):
    header = enhanced()
    del header.PerFrameFunctionalGroupsSequence
    with pytest.raises(GeometryError, match="no position"):
        formats.read(save(tmp_path / "enhanced", [header]))


def test_a_folder_of_contours_only_is_named_as_such(tmp_path):
    contours = plane(0, SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3", Rows=None, PixelData=None)
    with pytest.raises(FormatError, match=r"no image .*contours"):
        formats.read(save(tmp_path / "rt", [contours]))


@pytest.mark.parametrize(
    "place", ["sarcoma-ct-mr-pet/ct-dicom", "torso-ct/example_ct_dicom", "thorax-ct-dicom/dicom"]
)
def test_real_series_agree_with_simpleitk(shared_data, place):
    if not (folder := shared_data / place).is_dir():
        pytest.skip(f"{place} is not here")
    reader = sitk.ImageSeriesReader()
    names = max(
        (reader.GetGDCMSeriesFileNames(str(folder), uid) for uid in reader.GetGDCMSeriesIDs(str(folder))),
        key=len,
    )
    reader.SetFileNames(names)
    expected, volume = reader.Execute(), formats.read(folder)
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(expected))
    assert volume.array.dtype == np.int16
    np.testing.assert_allclose(volume.geometry.spacing_mm[::-1], expected.GetSpacing(), atol=1e-6)
    np.testing.assert_allclose(volume.geometry.origin_lps_mm, expected.GetOrigin(), atol=1e-6)
    np.testing.assert_allclose(volume.geometry.direction.ravel(), expected.GetDirection(), atol=1e-6)


def test_the_formats_of_one_patient_hold_one_volume(shared_data):
    if not (folder := shared_data / "sarcoma-ct-mr-pet").is_dir():
        pytest.skip("sarcoma-ct-mr-pet is not here")
    first = formats.read(folder / "ct-dicom")
    for name in ("ct.nii.gz", "ct.nrrd", "ct.mha"):
        other = formats.read(folder / name)
        np.testing.assert_array_equal(other.array, first.array)
        np.testing.assert_allclose(other.geometry.affine_lps, first.geometry.affine_lps, atol=1e-3)


def test_a_series_with_a_stray_slice_is_refused(shared_data):
    if not (folder := shared_data / "dicom-seg" / "ct-series").is_dir():
        pytest.skip("dicom-seg is not here")
    with pytest.raises(CtsegError, match="apart"):
        formats.read(folder)
