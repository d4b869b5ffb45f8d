"""Segmentation formats with named segments that may overlap: Slicer's .seg.nrrd, DICOM SEG and RTSTRUCT.

DICOM is recognised by the content of a file, not by its name.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from ctseg_imaging.formats.dicom import reading as dicom
from ctseg_imaging.formats.dicom.files import read_header
from ctseg_imaging.formats.dicom.tags import UNREADABLE
from ctseg_imaging.formats.edge import reading_edge
from ctseg_imaging.formats.segmentations import dicom_seg_reading, seg_nrrd
from ctseg_imaging.formats.segmentations.rtstruct import reading as rtstruct_reading
from ctseg_imaging.formats.segmentations.rtstruct import series as rtstruct_series
from ctseg_imaging.formats.segmentations.segments import MERGED, Segmentation
from ctseg_imaging.geometry import Geometry

__all__ = ["MERGED", "Segmentation", "SegmentationKind", "kind_of", "read"]


class SegmentationKind(StrEnum):
    """The kind of a segmentation file; the value is its name in messages."""

    SEG_NRRD = "Slicer segmentation"
    DICOM_SEG = "DICOM SEG"
    RTSTRUCT = "RTSTRUCT"


_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.66.4": SegmentationKind.DICOM_SEG,
    "1.2.840.10008.5.1.4.1.1.66.7": SegmentationKind.DICOM_SEG,
    "1.2.840.10008.5.1.4.1.1.481.3": SegmentationKind.RTSTRUCT,
}


def kind_of(path: str | Path) -> SegmentationKind | None:
    """The kind of segmentation that a file is, by its name and content, or None for anything else.

    Raises FormatError for a file that cannot be read.
    """
    path = Path(path)
    with reading_edge(path):
        return _kind_of(path) if path.is_file() else None


def _kind_of(path: Path) -> SegmentationKind | None:
    if path.name.lower().endswith(seg_nrrd.SUFFIX):
        return SegmentationKind.SEG_NRRD
    if not dicom.looks_like_file(path):
        return None
    header = read_header(path, ["SOPClassUID"])
    try:
        return None if header is None else _CLASSES.get(str(header.get("SOPClassUID", "")))
    except (
        UNREADABLE
    ):  # pydicom converts a value on access; a class that cannot be converted is not a segmentation
        return None


def read(path: Path, kind: SegmentationKind, like: Geometry | None = None) -> Segmentation:
    """The segments of a file.

    like : the grid of an image, which contours need and other formats take as a hint.

    Raises FormatError, GeometryError.
    """
    with reading_edge(path):
        if kind is SegmentationKind.SEG_NRRD:
            return seg_nrrd.read(path)
        if kind is SegmentationKind.RTSTRUCT:
            grid = rtstruct_series.image_of(path).geometry if like is None else like
            return rtstruct_reading.read(path, grid)
        return dicom_seg_reading.read(path, like)
