"""DICOM folders after public bug reports: each is read, offered as choices or refused as the collection's
README states."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from ctseg_imaging import formats
from ctseg_imaging.errors import ChoiceNeeded, FormatError

TOTAL = -2418320  # the sum of all voxels of the phantom that the files are made from
# folder: the choices (slices, what sets them apart)
CHOICES = {
    "dicom-no-series-uid": [(10, "series number 3"), (10, "series number 4")],
    "dicom-two-patients": [(6, "patient 1"), (6, "patient 2")],
    "dicom-interleaved-acquisitions": [(6, "acquisition 1"), (6, "acquisition 2")],
    "dicom-enhanced-two-times": [(6, "temporal position 1"), (6, "temporal position 2")],
}
REFUSED = {
    "dicom-rescale-missing": r"missing in 2 of 10 slices \(004.dcm, 007.dcm\)",
    "dicom-rescale-slope-zero": "RescaleSlope is 0",
    "dicom-mosaic": "Siemens mosaic",
}
READ = {"dicom-some-without-preamble": 12, "dicom-all-without-preamble": 10}


@pytest.mark.parametrize("name", READ)
def test_files_without_preamble_are_read(shared_file, name):
    folder = shared_file(f"reported/{name}")
    assert formats.is_readable(folder)
    volume = formats.read(folder)
    assert volume.array.shape == (READ[name], 24, 20)
    np.testing.assert_allclose(volume.geometry.spacing_mm, (3, 1, 1.5))
    np.testing.assert_allclose(volume.geometry.origin_lps_mm, (-10, -12, 100))
    if name == "dicom-all-without-preamble":
        assert int(volume.array.sum(dtype=np.int64)) == TOTAL


@pytest.mark.parametrize("name", CHOICES)
def test_what_differs_is_a_choice(shared_file, name):
    folder = shared_file(f"reported/{name}")
    with pytest.raises(ChoiceNeeded) as refusal:
        formats.read(folder)
    assert "Made" not in str(refusal.value) and "X1" not in str(refusal.value)
    choices = formats.list_choices(folder)
    assert [(choice.slices, choice.apart) for choice in choices] == CHOICES[name]
    first, second = (formats.read(folder, series=choice.uid) for choice in choices)
    assert first.array.shape == second.array.shape == (choices[0].slices, 24, 20)
    assert not np.array_equal(first.array, second.array)
    np.testing.assert_array_equal(formats.read(folder, series=2).array, second.array)


def test_interleaved_acquisitions_keep_their_values_apart(shared_file):
    """Six slices of 6 mm each, the second acquisition between those of the first one; every slice is
    pydicom's."""
    folder = shared_file("reported/dicom-interleaved-acquisitions")
    first, second = (formats.read(folder, series=number) for number in (1, 2))
    assert first.geometry.spacing_mm[0] == second.geometry.spacing_mm[0] == 6
    assert second.geometry.origin_lps_mm[2] - first.geometry.origin_lps_mm[2] == pytest.approx(3)
    for number, volume in ((1, first), (2, second)):
        files = [pydicom.dcmread(path) for path in folder.iterdir()]
        files = sorted(
            (file for file in files if file.AcquisitionNumber == number),
            key=lambda file: file.ImagePositionPatient[2],
        )
        np.testing.assert_array_equal(volume.array, [file.pixel_array.astype(int) - 1024 for file in files])


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_refused_by_name(shared_file, name):
    with pytest.raises(FormatError, match=REFUSED[name]) as refusal:
        formats.read(shared_file(f"reported/{name}"))
    assert not isinstance(refusal.value, ChoiceNeeded)


def test_every_reported_folder_has_its_test(shared_file):
    folders = {path.name for path in Path(shared_file("reported")).glob("dicom-*")}
    assert folders == {*CHOICES, *REFUSED, *READ}
