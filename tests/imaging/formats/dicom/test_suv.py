"""SUV by body weight: numbers worked out by hand, and QIBA's pseudo-code written down a second time."""

import datetime

import numpy as np
import pytest
from pydicom.dataset import Dataset

from ctseg_imaging.formats import read
from ctseg_imaging.formats.dicom.suv import WINDOW
from tests.imaging.formats.dicom.making import HU, save, series

BQML = (HU.astype(np.int32) + 1024) * 10  # stored numbers times the slope below


def pet(**fields):
    """The planes of a series of BQML: 70 kg, 370 MBq injected 6600 s, one half-life, before the scan."""
    isotope = Dataset()
    isotope.RadionuclideTotalDose, isotope.RadionuclideHalfLife = "370000000", "6600"
    isotope.RadiopharmaceuticalStartTime = "081000.00"
    for name in [name for name in fields if hasattr(isotope, name) or name.startswith("Radiopharm")]:
        value = fields.pop(name)
        delattr(isotope, name) if value is None else setattr(isotope, name, value)
    values = {
        "Modality": "PT",
        "RescaleSlope": "10",
        "RescaleIntercept": "0",
        "Units": "BQML",
        "DecayCorrection": "START",
        "CorrectedImage": ["NORM", "DECY", "ATTN", "SCAT"],
        "PatientWeight": "70",
        "SeriesDate": "20200301",
        "SeriesTime": "100000",
        "AcquisitionDate": "20200301",
        "AcquisitionTime": "100000",
        "RadiopharmaceuticalInformationSequence": [isotope],
    } | fields
    return series(**{name: value for name, value in values.items() if value is not None})


def qiba(header, acquisitions):
    """The factor by the pseudo-code, for seconds of one day."""

    def seconds(time):
        return int(time[:2]) * 3600 + int(time[2:4]) * 60 + float(time[4:])

    scan = seconds(str(header.SeriesTime))
    if scan > seconds(str(header.AcquisitionTime)):
        scan = min(seconds(time) for time in acquisitions)
    isotope = header.RadiopharmaceuticalInformationSequence[0]
    elapsed = scan - seconds(str(isotope.RadiopharmaceuticalStartTime))
    if header.DecayCorrection == "ADMIN":
        elapsed = 0
    decayed = float(isotope.RadionuclideTotalDose) * np.exp(
        -np.log(2) * elapsed / float(isotope.RadionuclideHalfLife)
    )
    return float(header.PatientWeight) * 1000 / decayed


@pytest.mark.parametrize(
    ("fields", "factor"),
    [
        ({}, 70_000 / 185e6),  # half of the activity is left
        ({"DecayCorrection": "ADMIN"}, 70_000 / 370e6),
        ({"PatientWeight": "35"}, 35_000 / 185e6),
        ({"RadiopharmaceuticalStartTime": "062000"}, 70_000 / 92.5e6),  # two half-lives
        ({"Units": "GML", "PatientWeight": None}, 1.0),
    ],
)
def test_numbers_by_hand(tmp_path, fields, factor):
    volume = read(save(tmp_path / "pet", pet(**fields)))
    np.testing.assert_allclose(volume.array, BQML * factor, rtol=1e-6)
    assert volume.windows == (WINDOW,) and WINDOW.limits == (0, 10)
    assert "The values are SUV by body weight." in volume.notes


def test_a_series_that_was_made_after_the_scan_counts_from_the_first_acquisition(tmp_path):
    planes = pet(SeriesTime="150000")
    times = [f"10{30 - 3 * k:02d}00.5" for k in range(len(planes))]
    for header, time in zip(planes, times, strict=True):
        header.AcquisitionTime = time
    factor = qiba(planes[0], times)
    assert factor == pytest.approx(70_000 / (370e6 * 2 ** (-(6600 + 12 * 60 + 0.5) / 6600)))
    np.testing.assert_allclose(read(save(tmp_path / "pet", planes)).array, BQML * factor, rtol=1e-6)


@pytest.mark.parametrize("injected", ["070000", "093015.25", "080159"])
def test_as_the_pseudo_code(tmp_path, injected):
    planes = pet(RadiopharmaceuticalStartTime=injected)
    factor = qiba(planes[0], ["100000"])
    np.testing.assert_allclose(read(save(tmp_path / "pet", planes)).array, BQML * factor, rtol=1e-6)


def test_an_injection_before_midnight(tmp_path):
    """23:30 for a scan at 01:20 the next day: 6600 s; the same with a date, which an offset from UTC
    follows.
    """
    scan = {"SeriesTime": "012000", "AcquisitionTime": "012000"}
    before = datetime.datetime(2020, 2, 29, 23, 30)
    for k, injected in enumerate(
        (
            {"RadiopharmaceuticalStartTime": "233000"},
            {"RadiopharmaceuticalStartDateTime": before.strftime("%Y%m%d%H%M%S") + ".000000+0100"},
        )
    ):
        volume = read(save(tmp_path / str(k), pet(**scan, **injected)))
        np.testing.assert_allclose(volume.array, BQML * (70_000 / 185e6), rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"PatientWeight": None}, "PatientWeight is missing"),
        ({"PatientWeight": "0"}, "PatientWeight is not positive"),
        ({"RadionuclideTotalDose": None}, "RadionuclideTotalDose is missing"),
        ({"RadionuclideHalfLife": None}, "RadionuclideHalfLife is missing"),
        ({"RadiopharmaceuticalStartTime": None}, "RadiopharmaceuticalStartTime or its date is missing"),
        ({"RadionuclideHalfLife": "0.1"}, "RadionuclideHalfLife leaves no activity"),
        ({"PatientWeight": "1e300", "RadionuclideTotalDose": "1e-300"}, "leaves no activity"),
        ({"SeriesDate": "00010101", "AcquisitionDate": "00010101"}, "SeriesTime is in the year 1"),
        ({"RadiopharmaceuticalStartTime": "tenish"}, "RadiopharmaceuticalStartTime is not a time"),
        ({"RadiopharmaceuticalStartDateTime": "20200302100000"}, "the injection is later than the scan"),
        ({"SeriesTime": None}, "SeriesTime or its date is missing"),
        ({"DecayCorrection": "NONE"}, "DecayCorrection is NONE, not START or ADMIN"),
        ({"CorrectedImage": ["NORM"]}, "CorrectedImage does not name ATTN and DECY"),
        ({"Units": "CNTS"}, "Units is CNTS, not BQML"),
        ({"Units": "GML", "SUVType": "LBM"}, "they are SUV by another measure than body weight"),
    ],
)
def test_what_is_missing_is_told_and_the_values_stay(tmp_path, fields, why):
    volume = read(save(tmp_path / "pet", pet(**fields)))
    np.testing.assert_array_equal(volume.array, BQML)
    assert volume.windows == ()
    [note] = [note for note in volume.notes if "not SUV" in note]
    assert why in note and note.endswith("they are in the unit of the file.")
