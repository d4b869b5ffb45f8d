"""The attributes of DICOM slices, read without pixels.

Nothing is refused here: problems are kept as `faults` of the slice.

Sources: DICOM PS3.3 C.7.6.2 (image plane), C.7.6.16 (functional groups), C.11.1 (modality LUT).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from ctseg_imaging.formats.dicom.picture import picture_faults, picture_remarks
from ctseg_imaging.formats.dicom.stacking import traits as dicom_traits
from ctseg_imaging.formats.dicom.stacking.lattice import last_decimal
from ctseg_imaging.formats.dicom.tags import Garbled, integer, items, number, numbers, text, values, words
from ctseg_imaging.formats.scaling import LARGEST_SCALE
from ctseg_imaging.geometry import Float
from ctseg_imaging.volume import Window

TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SpacingBetweenSlices",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "NumberOfFrames",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "ModalityLUTSequence",
    "PixelPaddingValue",
    "LossyImageCompression",
    "RealWorldValueMappingSequence",
    *dicom_traits.KEYWORDS,
)
_GROUPS = (
    "FrameContentSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "CTImageFrameTypeSequence",
    "MRImageFrameTypeSequence",
    "PETFrameTypeSequence",
    "CTReconstructionSequence",
    "CTXRayDetailsSequence",
    "MREchoSequence",
    "MRDiffusionSequence",
    "MRModifierSequence",
    "MRTimingAndRelatedParametersSequence",
    "CardiacSynchronizationSequence",
    "TemporalPositionSequence",
    "RealWorldValueMappingSequence",
)
_NESTED = {"MRDiffusionSequence": "DiffusionGradientDirectionSequence"}


@dataclass(frozen=True)
class Rescale:
    """Value = stored number * slope + intercept (PS3.3 C.11.1)."""

    slope: float = 1.0
    intercept: float = 0.0
    unit: str = ""  # RescaleType, as "HU"
    given: bool = False  # whether the file has a slope

    @property
    def line(self) -> tuple[float, float]:
        """(slope, intercept)."""
        return self.slope, self.intercept

    @property
    def is_whole(self) -> bool:
        """Whether whole numbers stay whole."""
        return self.slope.is_integer() and self.intercept.is_integer()


@dataclass(frozen=True, eq=False)
class Slice:
    """One plane. A missing attribute is None."""

    path: Path
    frame: int  # its number in the file, -1 in a file of one plane
    shape: tuple[int, int]
    position_lps_mm: Float | None  # (3,) centre of its first pixel
    # along_row, along_column: (3,) unit directions in which the column index and the row index grow
    along_row: Float | None
    along_column: Float | None
    spacing_mm: tuple[float, float] | None  # (between rows, between columns)
    thickness_mm: float | None  # of the slice, or the given distance of slices
    rescale: Rescale
    padding: float | None
    instance_uid: str
    series_uid: str
    traits: Mapping[str, dicom_traits.Value]  # see `stacking.traits`
    windows: tuple[Window, ...] = ()
    faults: tuple[str, ...] = ()  # why it cannot be read
    remarks: tuple[str, ...] = ()  # unusable attributes that are not needed
    doubts: tuple[str, ...] = ()  # sentences about the values
    direction_unit: float = 0.0  # the last decimal that a written direction cosine has; 0 where all are whole

    @property
    def is_localiser(self) -> bool:
        """Whether its image type is that of a localiser."""
        return bool({"LOCALIZER", "SCOUT"} & set(str(self.traits.get("image type", "")).split("\\")))


def slices_of(path: Path, header: Dataset) -> Iterator[Slice]:
    """One slice for a classic file, one per frame for an enhanced one; without groups it has no position."""
    try:
        frames = integer([header], "NumberOfFrames") or 1
        groups = items(header, "PerFrameFunctionalGroupsSequence")
        shared = next(iter(items(header, "SharedFunctionalGroupsSequence")), Dataset())
    except Garbled as fault:
        yield _slice(path, -1, [header], (str(fault),))
        return
    if frames == 1 and not groups:
        yield _slice(path, -1, [header])
        return
    if not groups and "ImagePositionPatient" in header:
        del header.ImagePositionPatient  # of the first frame only
    common = [*_group_items(shared), header]
    missing = () if len(groups) in (0, frames) else (f"it describes {len(groups)} of its {frames} frames",)
    for frame, group in enumerate(groups or [Dataset()]):
        yield _slice(path, frame, [*_group_items(group), *common], missing)


def _group_items(groups: Dataset) -> list[Dataset]:
    """The first item of every functional group that matters here. An unreadable group counts as missing."""
    found: list[Dataset] = []
    for name in _GROUPS:
        try:
            for item in items(groups, name)[:1]:
                found += [item, *(items(item, _NESTED[name])[:1] if name in _NESTED else [])]
        except Garbled:
            continue
    return found


class _Reading:
    """Attributes from a slice's datasets, the most specific first, and what is wrong with them."""

    def __init__(self, headers: Sequence[Dataset], faults: tuple[str, ...]) -> None:
        self.headers, self.faults = headers, list(faults)
        self.remarks: list[str] = []

    def needed(self, keyword: str, count: int) -> Float | None:
        """Numbers; what cannot be read is a fault of the slice."""
        try:
            return numbers(self.headers, keyword, count)
        except Garbled as fault:
            self.faults.append(str(fault))
            return None

    def size(self, keyword: str) -> int:
        """A number of pixels, 0 with a fault."""
        try:
            value = integer(self.headers, keyword)
        except Garbled as fault:
            self.faults.append(str(fault))
            return 0
        if value is None or value < 1:
            self.faults.append(f"{keyword} is missing or zero")
        return max(value or 0, 0)

    def useful(self, keyword: str) -> float | None:
        """A number that a volume can do without."""
        try:
            return number(self.headers, keyword)
        except Garbled as fault:
            self.remarks.append(str(fault))
            return None

    def rescale(self) -> Rescale:
        """From stored numbers to values."""
        slope, intercept = self.needed("RescaleSlope", 1), self.needed("RescaleIntercept", 1)
        if slope is not None and slope[0] == 0:
            self.faults.append("RescaleSlope is 0, which makes every pixel equal")
        if max(abs(value[0]) for value in (slope, intercept, (0.0,)) if value is not None) > LARGEST_SCALE:
            self.faults.append("RescaleSlope or RescaleIntercept is too large to be true")
        if (slope is None) != (intercept is None):
            self.faults.append("only one of RescaleSlope and RescaleIntercept is given")
        return Rescale(
            float(slope[0]) if slope is not None else 1.0,
            float(intercept[0]) if intercept is not None else 0.0,
            text(self.headers, "RescaleType"),
            slope is not None,
        )

    def thickness_mm(self) -> float | None:
        """The given distance of slices, which nuclear medicine may write as a negative number, or else their
        thickness.
        """
        between, thickness = self.useful("SpacingBetweenSlices"), self.useful("SliceThickness")
        return abs(between) if between is not None else thickness


def _slice(path: Path, frame: int, headers: Sequence[Dataset], faults: tuple[str, ...] = ()) -> Slice:
    """A slice from its datasets, the most specific first."""
    read = _Reading(headers, faults)
    shape = read.size("Rows"), read.size("Columns")
    cosines = read.needed("ImageOrientationPatient", 6)
    along_row, along_column = _right_angled(cosines)
    spacing = read.needed("PixelSpacing", 2)
    rescale = read.rescale()
    read.faults += picture_faults(headers)
    thickness_mm = read.thickness_mm()
    windows, window_fault = _windows(headers)
    return Slice(
        path,
        frame,
        shape,
        read.needed("ImagePositionPatient", 3),
        along_row,
        along_column,
        (float(spacing[0]), float(spacing[1])) if spacing is not None else None,
        thickness_mm,
        rescale,
        _padding(headers),
        text(headers, "SOPInstanceUID"),
        text(headers, "SeriesInstanceUID"),
        dicom_traits.traits_of(headers),
        windows,
        tuple(dict.fromkeys(read.faults)),
        tuple(dict.fromkeys([*read.remarks, *window_fault])),
        picture_remarks(headers),
        _direction_unit(cosines),
    )


def _padding(headers: Sequence[Dataset]) -> float | None:
    try:
        return number(headers, "PixelPaddingValue")
    except Garbled:
        return None


def _direction_unit(cosines: Float | None) -> float:
    return 0.0 if cosines is None or (unit := last_decimal(cosines)) >= 1 else unit


def _right_angled(cosines: Float | None) -> tuple[Float | None, Float | None]:
    """Unit directions at right angles; files give them with six digits.

    None where they are not such a pair.
    """
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


def _windows(headers: Sequence[Dataset]) -> tuple[tuple[Window, ...], list[str]]:
    """The display windows of a slice, and a remark where they cannot be read."""
    try:
        levels = [float(level) for level in values(headers, "WindowCenter")]
        widths = [float(width) for width in values(headers, "WindowWidth")]
    except (Garbled, ValueError, TypeError, OverflowError):
        return (), ["the display window (WindowCenter, WindowWidth) is not a number"]
    names = words(headers, "WindowCenterWidthExplanation")
    windows: list[Window] = []
    for k, (level, width) in enumerate(zip(levels, widths, strict=False)):
        if 0 < width < np.inf and np.isfinite(level):
            name = (
                names[k].lower()
                if k < len(names) and names[k]
                else "file"
                if len(levels) == 1
                else f"file {k + 1}"
            )
            window = Window(name, width, level)
            if window not in windows:
                windows.append(window)
    return tuple(windows), []
