"""The lines of the series list, and what is opened for those that the user selects."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ctseg_imaging.formats.dicom.study import SegmentationObject, SeriesRow, StudyFolder, Use


@dataclass(frozen=True)
class Heading:
    """Whose series follow; there only where the folder holds several patients or studies."""

    text: str


@dataclass(frozen=True, eq=False)
class DrawnOn:
    """A segmentation and the series that it refers to, None where that is not in the folder."""

    drawing: SegmentationObject
    series: SeriesRow | None


Line = Heading | SeriesRow | DrawnOn


@dataclass(frozen=True, eq=False)
class Opening:
    """What is opened: series, and segmentations that each lie on one of them, or on their own. left_out :
    what was not asked about.
    """

    series: tuple[SeriesRow, ...] = ()
    drawings: tuple[DrawnOn, ...] = ()
    left_out: tuple[SeriesRow, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.series or self.drawings)


def lines_of(study: StudyFolder) -> list[Line]:
    """Series by patient and study, in their rank, each followed by its segmentations; those without a series
    come last.
    """
    headings = len({(row.patient, row.study) for row in study.rows}) > 1
    return [*_series_lines(study, headings), *(DrawnOn(one, None) for one in study.unassigned)]


def _series_lines(study: StudyFolder, headings: bool) -> Iterator[Line]:
    several_patients = len({row.patient for row in study.rows}) > 1
    before = None
    for row in sorted(study.rows, key=lambda row: (row.patient, row.study)):
        if headings and (row.patient, row.study) != before:
            before = row.patient, row.study
            yield Heading(
                f"Patient {row.patient}, study {row.study}" if several_patients else f"Study {row.study}"
            )
        yield row
        yield from (DrawnOn(one, row) for one in row.objects)


def can_open(line: Line) -> bool:
    """Contours need the voxels of an image that is read exactly; a SEG has its own."""
    if isinstance(line, SeriesRow):
        return line.use is not Use.NOTHING
    return isinstance(line, DrawnOn) and (
        line.series is None or line.series.use is Use.READ or line.drawing.kind == "SEG"
    )


def opening(lines: Collection[Line], selected: Collection[Line]) -> Opening:
    """What the selected lines open, in the order of the list: a segmentation with its series, each thing
    once.
    """
    chosen = [line for line in lines if line in selected and can_open(line)]
    drawings = list({one.drawing.path: one for one in chosen if isinstance(one, DrawnOn)}.values())
    needed = {id(one.series) for one in drawings}
    return Opening(
        tuple(
            line
            for line in lines
            if isinstance(line, SeriesRow) and can_open(line) and (line in chosen or id(line) in needed)
        ),
        tuple(drawings),
    )


def unasked(study: StudyFolder) -> Opening | None:
    """What is opened without a question: the only series with its only segmentation, or the only
    segmentation; None for a choice.
    """
    lines = lines_of(study)
    ready = study.candidates
    if not study.rows and len(lines) == 1:
        return opening(lines, lines)
    if len(ready) != 1 or ready[0].use is Use.VIEW_ONLY or len(ready[0].objects) > 1 or study.unassigned:
        return None
    drawings = tuple(
        line for line in lines if isinstance(line, DrawnOn) and line.series is ready[0] and can_open(line)
    )
    return Opening((ready[0],), drawings, tuple(row for row in study.rows if row is not ready[0]))
