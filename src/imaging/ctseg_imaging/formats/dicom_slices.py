"""What DICOM files say about their slices, read without pixels.

Sources: DICOM PS3.3 C.7.6.2 (image plane), C.7.6.16 (functional groups).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from ctseg_imaging.geometry import Float
from ctseg_imaging.volume import Window

_TAGS = ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality", "ImageType", "Rows", "Columns",
         "SamplesPerPixel", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices",
         "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "NumberOfFrames",
         "ConvolutionKernel", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "ModalityLUTSequence"]
# Objects with rows and columns that are no images of a patient: segmentations, dose, and whatever is drawn on a screen.
_NO_IMAGE = ("1.2.840.10008.5.1.4.1.1.66.", "1.2.840.10008.5.1.4.1.1.481.", "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.11.",
             "1.2.840.10008.5.1.4.1.1.88.", "1.2.840.10008.5.1.4.1.1.104.", "1.2.840.10008.1.3.10")


@dataclass(frozen=True, eq=False)
class Slice:
    """One plane. frame : its number in the file, -1 in a file of one plane. What the file does not say is None.

    position_lps_mm : (3,) centre of its first pixel. along_row, along_column : (3,) unit directions in which the column index and
    the row index grow. spacing_mm : (between rows, between columns). thickness_mm : of the slice, or the given distance of slices.
    """

    path: Path
    frame: int
    shape: tuple[int, int]
    position_lps_mm: Float | None
    along_row: Float | None
    along_column: Float | None
    spacing_mm: tuple[float, float] | None
    thickness_mm: float | None
    slope: float
    intercept: float
    instance_uid: str


@dataclass(frozen=True, eq=False)
class Series:
    """The slices of one SeriesInstanceUID in no particular order. kernel : the reconstruction kernel, "" if none is given."""

    uid: str
    number: int
    modality: str
    kernel: str
    localiser: bool
    slices: tuple[Slice, ...]
    windows: tuple[Window, ...]
    trouble: str = ""

    @property
    def description(self) -> str:
        """What kind of image, from technical fields only (a series description may name the patient)."""
        rows, columns = self.slices[0].shape
        kernel = f", kernel {self.kernel}" if self.kernel else ""
        return f"{self.modality or 'image'}, {len(self.slices)} slices of {columns} x {rows}{kernel}, series number {self.number}"


@dataclass(frozen=True)
class Folder:
    """What a folder holds: its image series, and how many other files (no DICOM; DICOM without a picture of the patient)."""

    series: tuple[Series, ...]
    other_files: int
    other_objects: int


def looks_like_dicom(path: Path) -> bool:
    """Whether the file begins as DICOM does: DICM after 128 bytes, or a first element of group 0008 in old files."""
    with path.open("rb") as file:
        start = file.read(132)
    return start[128:] == b"DICM" or (start[:2] == b"\x08\x00" and start[4:6].isalpha() and len(start) == 132)


def scan(files: list[Path]) -> Folder:
    """Read the headers of `files` and sort them by series, ordered by series number, then UID."""
    found: dict[str, list[tuple[Path, Dataset]]] = {}
    other_files = other_objects = 0
    for path in files:
        header = read_header(path) if looks_like_dicom(path) else None
        if header is None:
            other_files += 1
        elif "Rows" not in header or str(header.get("SOPClassUID", "")).startswith(_NO_IMAGE):
            other_objects += 1
        else:
            found.setdefault(str(header.get("SeriesInstanceUID", "")), []).append((path, header))
    series = sorted((_series(uid, members) for uid, members in found.items()), key=lambda one: (one.number, one.uid))
    return Folder(tuple(series), other_files, other_objects)


def read_header(path: Path) -> Dataset | None:
    """The header of one file without pixels, or None if it is no DICOM after all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings may quote values
        try:
            return pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=_TAGS)
        except (InvalidDicomError, EOFError, ValueError, KeyError, NotImplementedError):
            return None


def _series(uid: str, members: list[tuple[Path, Dataset]]) -> Series:
    first = members[0][1]
    slices = tuple(one for path, header in members for one in _slices(path, header))
    kinds = [str(word).upper() for _, header in members for word in _list(header.get("ImageType"))]
    flagged = [any(str(word).upper() in ("LOCALIZER", "SCOUT") for word in _list(header.get("ImageType"))) for _, header in members]
    trouble = ""
    if any(int(header.get("SamplesPerPixel") or 1) != 1 for _, header in members):
        trouble = "holds colour pictures, not a CT, MR or PET volume"
    elif any("ModalityLUTSequence" in header for _, header in members):
        trouble = "gives its values through a lookup table, which is not supported"
    elif kinds and any(flagged) and not all(flagged):
        trouble = f"holds {sum(flagged)} localiser (scout) image among its {len(members)} slices; take that file out of the folder"
    return Series(uid, int(first.get("SeriesNumber") or 0), str(first.get("Modality") or ""), _kernel(first), all(flagged), slices,
                  _windows(first), trouble)


def _slices(path: Path, header: Dataset) -> Iterator[Slice]:
    """One slice for a classic file, one a frame for an enhanced one; frames without groups have no position."""
    frames = int(header.get("NumberOfFrames") or 1)
    groups = list(header.get("PerFrameFunctionalGroupsSequence") or [])
    shared = next(iter(header.get("SharedFunctionalGroupsSequence") or []), Dataset())
    if frames == 1 and not groups:
        yield _slice(path, -1, header, header, header, header, header)
        return
    for frame in range(frames):
        own = groups[frame] if frame < len(groups) else Dataset()
        parts = [_group(own, shared, name) for name in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence",
                                                        "PixelValueTransformationSequence")]
        yield _slice(path, frame, header, *parts)


def _group(own: Dataset, shared: Dataset, name: str) -> Dataset:
    """The functional group of a frame: its own, else the shared one, else an empty one."""
    return next(iter(own.get(name) or shared.get(name) or []), Dataset())


def _slice(path: Path, frame: int, header: Dataset, position: Dataset, orientation: Dataset, measures: Dataset, values: Dataset) -> Slice:
    cosines = _floats(orientation.get("ImageOrientationPatient"), 6)
    spacing = _floats(measures.get("PixelSpacing"), 2)
    between = _floats(measures.get("SpacingBetweenSlices"), 1)
    thickness = _floats(measures.get("SliceThickness"), 1)
    slope, intercept = _floats(values.get("RescaleSlope"), 1), _floats(values.get("RescaleIntercept"), 1)
    along_row, along_column = _right_angled(cosines)
    apart = between if between is not None else thickness
    return Slice(
        path, frame, (int(header.Rows), int(header.Columns)), _floats(position.get("ImagePositionPatient"), 3), along_row, along_column,
        (float(spacing[0]), float(spacing[1])) if spacing is not None else None, float(apart[0]) if apart is not None else None,
        float(slope[0]) if slope is not None else 1.0, float(intercept[0]) if intercept is not None else 0.0,
        str(header.get("SOPInstanceUID", "")))


def _right_angled(cosines: Float | None) -> tuple[Float | None, Float | None]:
    """Unit directions at right angles; files give them with six digits. None where they are no such pair at all."""
    if cosines is None:
        return None, None
    lengths = np.linalg.norm(cosines[:3]), np.linalg.norm(cosines[3:])
    if min(lengths) < 1e-6:
        return None, None
    row, column = cosines[:3] / lengths[0], cosines[3:] / lengths[1]
    if abs(float(row @ column)) > 1e-3:
        return None, None
    column = column - (row @ column) * row
    return row, column / np.linalg.norm(column)


def _windows(header: Dataset) -> tuple[Window, ...]:
    """The display windows of a file; of the first frame of an enhanced one."""
    holder = header
    if "WindowCenter" not in header:
        shared = next(iter(header.get("SharedFunctionalGroupsSequence") or []), Dataset())
        own = next(iter(header.get("PerFrameFunctionalGroupsSequence") or []), Dataset())
        holder = _group(own, shared, "FrameVOILUTSequence")
    levels, widths = _list(holder.get("WindowCenter")), _list(holder.get("WindowWidth"))
    names = [str(name).strip() for name in _list(holder.get("WindowCenterWidthExplanation"))]
    windows: list[Window] = []
    for k, (level, width) in enumerate(zip(levels, widths, strict=False)):
        if float(width) > 0:
            name = names[k].lower() if k < len(names) and names[k] else "file" if len(levels) == 1 else f"file {k + 1}"
            window = Window(name, float(width), float(level))
            if window not in windows:
                windows.append(window)
    return tuple(windows)


def _kernel(header: Dataset) -> str:
    return " ".join(str(word) for word in _list(header.get("ConvolutionKernel")))


def _list(value: Any) -> list[Any]:
    """A DICOM value as a list, whatever its multiplicity."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (list, tuple, pydicom.multival.MultiValue)) else [value]


def _floats(value: Any, count: int) -> Float | None:
    """`count` finite numbers, or None if there are not as many."""
    numbers = [float(number) for number in _list(value) if number is not None and number != ""]
    array = np.array(numbers, np.float64)
    return array if len(numbers) == count and np.isfinite(array).all() else None
