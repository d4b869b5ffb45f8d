"""The series and segmentations of a DICOM folder for a user and for a program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ctseg_imaging.formats.dicom.study import SegmentationObject, SeriesRow, StudyFolder

_MOST_NAMES = 6  # structures of a segmentation that are named


def study_of(path: Path) -> StudyFolder | None:
    """The series of a DICOM path, None for another format. Progress goes to stderr. Raises FormatError."""
    from ctseg_imaging import formats
    from napari_ctseg.commands.console import follow
    from napari_ctseg.compute import reading

    return follow(reading.series_list(path)) if formats.is_dicom(path) else None


def segmentation_in(path: Path) -> Path:
    """The only segmentation of a DICOM folder; `path` itself for a file and a folder of label maps or images.

    Raises ChoiceNeeded, with all of them listed, where there are several.
    """
    from ctseg_imaging import formats
    from ctseg_imaging.endings import ENDINGS
    from ctseg_imaging.errors import ChoiceNeeded

    if (
        not path.is_dir()
        or any(file.name.lower().endswith(ENDINGS) for file in path.iterdir())
        or not formats.is_readable(path)
    ):
        return path
    study = study_of(path)
    found = [] if study is None else every_drawing(study)
    if len(found) > 1:
        listed = "; ".join(f"{one.path.relative_to(path)}: {_drawn(one)}" for one in found)
        raise ChoiceNeeded(
            f"{path}: contains {len(found)} segmentations ({listed}); give the file of one of them."
        )
    return found[0].path if found else path


def every_drawing(study: StudyFolder) -> list[SegmentationObject]:
    """The segmentations of a folder, each once though it may refer to several series."""
    drawings = [one for row in study.rows for one in row.objects] + list(study.unassigned)
    return list({one.path: one for one in drawings}.values())


def drawing_facts(drawings: Iterable[SegmentationObject]) -> list[dict[str, Any]]:
    """One object for each segmentation, as plain JSON."""
    return [{"kind": one.kind, "path": str(one.path), "structures": list(one.structures)} for one in drawings]


def drawing_lines(drawings: Iterable[SegmentationObject]) -> list[str]:
    """The segmentations, one line each."""
    return [f"{_drawn(one)}: {one.path}" for one in drawings]


def _drawn(one: SegmentationObject) -> str:
    names = ", ".join(name for name in one.structures[:_MOST_NAMES] if name)
    more = ", ..." if len(one.structures) > _MOST_NAMES else ""
    return f"{one.kind} ({names}{more})" if names else one.kind


def facts(study: StudyFolder) -> list[dict[str, Any]]:
    """One object for each series, as plain JSON; `use` is "read", "view only" or "not readable"."""
    return [_row(row) for row in study.rows]


def _row(row: SeriesRow) -> dict[str, Any]:
    return {
        "index": row.choice.index,
        "uid": row.choice.uid,
        "description": row.choice.description,
        "slices": row.choice.slices,
        "apart": row.choice.apart,
        "patient": row.patient,
        "study": row.study,
        "modality": row.modality or None,
        "spacing_zyx_mm": None if row.spacing_mm is None else [round(step, 6) for step in row.spacing_mm],
        "use": row.use.value,
        "reason": row.reason,
        "minor": row.minor,
        "objects": drawing_facts(row.objects),
    }


def lines(study: StudyFolder) -> list[str]:
    """The series, the readable ones first; for the others, why they cannot be read."""
    patients, studies = {row.patient for row in study.rows}, {row.study for row in study.rows}
    printed = [
        f"{study.path}: {len(study.candidates)} to choose from with --series"
        if study.rows
        else f"{study.path}: no image series"
    ]
    for row in study.rows:
        where = [f"patient {row.patient}"] * (len(patients) > 1) + [f"study {row.study}"] * (len(studies) > 1)
        text = ", ".join([row.choice.description, *where])
        left = " (skipped unless selected)" if row.minor else ""
        printed.append(f"  {row.choice.index:>3}  {text}{left}  {row.choice.uid}".rstrip())
        if row.reason:
            printed.append(f"       {row.use.value}: {row.reason}")
        printed += [f"       {line}" for line in drawing_lines(row.objects)]
    return [*printed, *(f"       without its series: {line}" for line in drawing_lines(study.unassigned))]
