"""The contents of a folder exported by a PACS, from the headers alone: its series, their differences, and the
objects that refer to them.

Patients and studies are numbered in the order in which they are met; nothing here identifies a patient.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ctseg_imaging.formats.choice import Choice
from ctseg_imaging.formats.dicom import reading as dicom
from ctseg_imaging.formats.dicom.files import read_header
from ctseg_imaging.formats.dicom.pixels import StoredPixels, real_values
from ctseg_imaging.formats.dicom.places import along_normal
from ctseg_imaging.formats.dicom.series import Folder, OtherObject, Series
from ctseg_imaging.formats.dicom.series_words import series_words
from ctseg_imaging.formats.dicom.stacking.slices import Slice
from ctseg_imaging.formats.dicom.stacking.stack import judge
from ctseg_imaging.formats.dicom.tags import Garbled, items, text
from ctseg_imaging.progress import Progress

SEGMENTATIONS = ("RTSTRUCT", "SEG")
_STRUCTURES = {"StructureSetROISequence": "ROIName", "SegmentSequence": "SegmentLabel"}
_MOST_STRUCTURES = 200  # whose names are read
_REFERENCES = ("ReferencedSeriesSequence", "ReferencedFrameOfReferenceSequence")


class Use(StrEnum):
    """How a series can be used."""

    READ = "read"
    VIEW_ONLY = "view only"
    NOTHING = "not readable"


@dataclass(frozen=True, eq=False)
class SegmentationObject:
    """An RTSTRUCT or SEG. kind : "RTSTRUCT" or "SEG". structures : the names of the drawn structures."""

    path: Path
    kind: str
    structures: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class SeriesRow:
    """One series of the list."""

    choice: Choice  # as `formats.read` takes it
    # patient, study: numbers from 1
    patient: int
    study: int
    modality: str
    # use, reason: what can be done with it, and why not more ("" where it can be read)
    use: Use
    reason: str
    minor: bool  # a localiser, or far smaller than the largest series
    spacing_mm: tuple[float, float, float] | None  # (z, y, x), None where the headers do not give it
    objects: tuple[SegmentationObject, ...]  # segmentations that refer to it
    middle: Slice
    words: str  # a short name such as "CT thorax lung", "" where its description has no known word


@dataclass(frozen=True, eq=False)
class StudyFolder:
    """The series of a folder, those to choose from first, and segmentations that refer to none of them."""

    path: Path
    rows: tuple[SeriesRow, ...]
    unassigned: tuple[SegmentationObject, ...]

    @property
    def candidates(self) -> tuple[SeriesRow, ...]:
        """The rows of equal rank: what is asked about where there are several."""
        return tuple(row for row in self.rows if not row.minor)


def listing(path: Path, files: Collection[Path] = ()) -> Generator[Progress, None, StudyFolder]:
    """List the series below a folder, or those of a file.

    Reads headers only. files : of the folder, where only the series and objects that these belong to count.

    Raises FormatError where there is neither an image nor a segmentation.
    """
    folder = yield from dicom.scanned_for_anything(path, files)
    objects = [one for one in folder.others if one.kind in SEGMENTATIONS]
    if not objects:
        dicom.check_has_image(path, folder)
    ranked, choices = dicom.ranked(folder), dicom.choices_of(folder)
    candidates = len(dicom.candidates(folder))
    refers, drawings = _assigned(objects, folder)
    patients, studies = _numbers(folder.series, "patient"), _numbers(folder.series, "study")
    rows = tuple(
        _row(
            series,
            choice,
            patients[series.slices[0].traits.get("patient")],
            studies[series.slices[0].traits.get("study")],
            choice.index > candidates,
            tuple(one for one in drawings if series.uid in refers[one.path]),
        )
        for series, choice in zip(ranked, choices, strict=True)
    )
    return StudyFolder(path, rows, tuple(one for one in drawings if not refers[one.path]))


def picture(row: SeriesRow, size: int = 96) -> NDArray[np.uint8]:
    """(y, x) at most `size` pixels along the longer side: the middle slice in the file's own window, else
    between its 1 % and 99 % values.

    Pixels are dropped, not averaged. Raises FormatError where the pixels cannot be read.
    """
    one = row.middle
    step = max(1, -(-max(one.shape) // size))
    values = real_values(one, StoredPixels(one.path))[::step, ::step].astype(np.float64)
    if one.windows:
        low, high = one.windows[0].limits
    else:
        low, high = (float(value) for value in np.percentile(values, (1, 99)))
    scaled = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    return np.rint(scaled * 255).astype(np.uint8)


def _row(
    series: Series,
    choice: Choice,
    patient: int,
    study: int,
    minor: bool,
    objects: tuple[SegmentationObject, ...],
) -> SeriesRow:
    judged = judge(series)
    use = Use.READ if judged.readable else Use.VIEW_ONLY if judged.viewable else Use.NOTHING
    middle, step = _middle(series.slices)
    pixel = middle.spacing_mm
    spacing = (step, *pixel) if pixel is not None and step is not None else None
    return SeriesRow(
        choice,
        patient,
        study,
        series.modality,
        use,
        judged.reason,
        minor,
        spacing,
        objects,
        middle,
        series_words(middle.path, series.modality),
    )


def _middle(slices: Sequence[Slice]) -> tuple[Slice, float | None]:
    """The slice in the middle along the normal, and the usual distance of two slices."""
    along = along_normal(slices)
    if along is None:
        return slices[len(slices) // 2], None
    order = np.argsort(along)
    steps = np.diff(along[order])
    apart = steps[steps > 1e-3]
    return slices[int(order[len(order) // 2])], float(np.median(apart)) if apart.size else slices[
        0
    ].thickness_mm


def _numbers(series: Sequence[Series], trait: str) -> Mapping[object, int]:
    values = list(dict.fromkeys(one.slices[0].traits.get(trait) for one in series))
    return {value: k for k, value in enumerate(values, 1)}


def _assigned(
    objects: Sequence[OtherObject], folder: Folder
) -> tuple[dict[Path, set[str]], list[SegmentationObject]]:
    """The SeriesInstanceUIDs that each object refers to: those named in it, else those of its frame of
    reference; and its structures.
    """
    known = {series.uid for series in folder.series}
    frames: dict[str, set[str]] = {}
    for series in folder.series:
        frames.setdefault(str(series.slices[0].traits.get("frame of reference", "")), set()).add(series.uid)
    found, drawings = {}, []
    for one in objects:
        header = (
            read_header(one.path, ("SOPClassUID", "FrameOfReferenceUID", *_REFERENCES, *_STRUCTURES))
            or Dataset()
        )
        named = set(_series_named(header)) & known
        frame = one.frame_of_reference_uid or _frame_named(header)
        found[one.path] = named or (frames.get(frame, set()) if frame else set())
        drawings.append(SegmentationObject(one.path, one.kind, _structures(header)))
    return found, drawings


def _structures(header: Dataset) -> tuple[str, ...]:
    for sequence, keyword in _STRUCTURES.items():
        try:
            if found := items(header, sequence)[:_MOST_STRUCTURES]:
                return tuple(text([item], keyword) for item in found)
        except Garbled:
            continue
    return ()


def _series_named(header: Dataset) -> Generator[str, None, None]:
    """Every SeriesInstanceUID in the references of an object, however deep."""
    for name in (*_REFERENCES, "RTReferencedStudySequence", "RTReferencedSeriesSequence"):
        try:
            for item in items(header, name):
                if uid := text([item], "SeriesInstanceUID"):
                    yield uid
                yield from _series_named(item)
        except Garbled:
            continue


def _frame_named(header: Dataset) -> str:
    try:
        return next(
            (uid for item in items(header, _REFERENCES[1]) if (uid := text([item], "FrameOfReferenceUID"))),
            "",
        )
    except Garbled:
        return ""
