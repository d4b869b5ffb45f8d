"""PET in SUV by body weight: activity concentration / (injected activity, decayed to the time that the image
is corrected to, / body weight).

Source: QIBA, FDG-PET/CT profile, SUV calculation (vendor-neutral pseudo-code, "happy path"); DICOM PS3.3
C.8.9.1 (PET series), C.8.9.2 (isotope).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.dicom.files import read_header
from ctseg_imaging.formats.dicom.stacking.slices import Slice
from ctseg_imaging.formats.dicom.tags import Garbled, items, number, text, words
from ctseg_imaging.volume import Window

WINDOW = Window("SUV 0-10", 10.0, 5.0)
_ISOTOPE = "RadiopharmaceuticalInformationSequence"
_TAGS = (
    "SOPClassUID",
    "Units",
    "SUVType",
    "DecayCorrection",
    "CorrectedImage",
    "PatientWeight",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    _ISOTOPE,
)
_GRAMS, _DAY = 1000.0, timedelta(days=1)  # g in a kg
EARLIEST = 1900  # a year: earlier ones are mistakes


class NoSuv(FormatError):
    """Why the values cannot be converted."""


def in_suv(
    array: NDArray[Any], slices: Sequence[Slice], windows: tuple[Window, ...], notes: list[str]
) -> tuple[NDArray[Any], tuple[Window, ...]]:
    """The values of a PET series in SUV (g/ml) as float32, with WINDOW; values and windows as they are where
    the header does not allow it. A note gives the reason.
    """
    try:
        factor = suv_factor([one.path for one in slices])
    except NoSuv as reason:
        notes.append(f"The values are not SUV, because {reason}; they are in the unit of the file.")
        return array, windows
    notes.append("The values are SUV by body weight.")
    return array.astype(np.float32) * np.float32(factor), (WINDOW,)


def suv_factor(files: Sequence[Path]) -> float:
    """SUV for a value of the files, in g/ml for Bq/ml; 1 for files in SUV by body weight.

    files : of one series. Raises NoSuv with what is missing.
    """
    try:
        headers = [_header(files[0])]
        if (unit := text(headers, "Units")) == "GML":
            return _already(headers)
        if unit != "BQML":
            raise NoSuv(f"Units is {unit or 'missing'}, not BQML")
        _check_corrected(headers)
        isotope = items(headers[0], _ISOTOPE)[:1]
        dose = _positive(isotope, "RadionuclideTotalDose")
        half_life_s = _positive(isotope, "RadionuclideHalfLife")
        weight_kg = _positive(headers, "PatientWeight")
        decay_s = _decay_s(headers, isotope, files)
    except Garbled as fault:
        raise NoSuv(str(fault)) from fault
    activity = dose * 2 ** (-decay_s / half_life_s)
    factor = weight_kg * _GRAMS / activity if activity else math.inf
    if not factor <= np.finfo(np.float32).max:
        raise NoSuv("RadionuclideHalfLife leaves no activity at the time of the scan")
    return factor


def _header(file: Path) -> Dataset:
    header = read_header(file, _TAGS)
    if header is None:
        raise NoSuv(f"the header of {file.name} cannot be read")
    return header


def _already(headers: Sequence[Dataset]) -> float:
    kind = text(headers, "SUVType") or "BW"
    if kind != "BW":
        raise NoSuv(f"they are SUV by another measure than body weight (SUVType {kind})")
    return 1.0


def _check_corrected(headers: Sequence[Dataset]) -> None:
    missing = {"ATTN", "DECY"} - set(words(headers, "CorrectedImage"))
    if missing:
        raise NoSuv(f"CorrectedImage does not name {' and '.join(sorted(missing))}")


def _positive(headers: Sequence[Dataset], keyword: str) -> float:
    value = number(headers, keyword)
    if value is None:
        raise NoSuv(f"{keyword} is missing")
    if value <= 0:
        raise NoSuv(f"{keyword} is not positive")
    return value


def _decay_s(headers: Sequence[Dataset], isotope: Sequence[Dataset], files: Sequence[Path]) -> float:
    """Seconds from the injection to the time that the values are corrected to."""
    correction = text(headers, "DecayCorrection")
    if correction == "ADMIN":
        return 0.0
    if correction != "START":
        raise NoSuv(f"DecayCorrection is {correction or 'missing'}, not START or ADMIN")
    scan = _scan_start(headers, files)
    injection = _injection(isotope, scan)
    if injection > scan:
        raise NoSuv("the injection is later than the scan")
    return (scan - injection).total_seconds()


def _scan_start(headers: Sequence[Dataset], files: Sequence[Path]) -> datetime:
    """The time of the series, unless it was made after the scan: then of the earliest acquisition."""
    series = _time(headers, "Series")
    if series <= _time(headers, "Acquisition"):
        return series
    return min(_time([_header(file)], "Acquisition") for file in files)


def _injection(isotope: Sequence[Dataset], scan: datetime) -> datetime:
    """With its date, or else at most a day before the scan."""
    if with_date := text(isotope, "RadiopharmaceuticalStartDateTime"):
        return _moment(with_date[:8], with_date[8:], "RadiopharmaceuticalStartDateTime")
    given = text(isotope, "RadiopharmaceuticalStartTime")
    injection = _moment(scan.strftime("%Y%m%d"), given, "RadiopharmaceuticalStartTime")
    return injection - _DAY if injection > scan else injection


def _time(headers: Sequence[Dataset], what: str) -> datetime:
    return _moment(text(headers, f"{what}Date"), text(headers, f"{what}Time"), f"{what}Time")


def _moment(date: str, time: str, keyword: str) -> datetime:
    """From DICOM's YYYYMMDD and HHMMSS.FFFFFF; an offset from UTC is ignored."""
    if not date or not time:
        raise NoSuv(f"{keyword} or its date is missing")
    clock, _, fraction = time.partition("+")[0].partition("-")[0].replace(":", "").partition(".")
    try:
        whole = datetime.strptime(date.replace(".", "") + clock.ljust(6, "0"), "%Y%m%d%H%M%S")
        if whole.year < EARLIEST:
            raise NoSuv(f"{keyword} is in the year {whole.year}")
        return whole + timedelta(microseconds=int(fraction[:6].ljust(6, "0") or 0))
    except ValueError as error:
        raise NoSuv(f"{keyword} is not a time") from error
