"""The series of a DICOM folder for a person and for a program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctseg_imaging.formats.dicom_study import SeriesRow, StudyFolder


def study_of(path: Path) -> StudyFolder | None:
    """The series of a DICOM path, None for another format. Progress goes to stderr. Raises FormatError."""
    from ctseg_imaging import formats
    from napari_ctseg import reading
    from napari_ctseg.commands.console import follow

    return follow(reading.series_list(path)) if formats.is_dicom(path) else None


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
        "objects": [{"kind": one.kind, "path": str(one.path)} for one in row.objects],
    }


def lines(study: StudyFolder) -> list[str]:
    """The series, those to choose from first, with what cannot be read and why."""
    patients, studies = {row.patient for row in study.rows}, {row.study for row in study.rows}
    said = [f"{study.path}: {len(study.candidates)} to choose from with --series"]
    for row in study.rows:
        where = [f"patient {row.patient}"] * (len(patients) > 1) + [f"study {row.study}"] * (len(studies) > 1)
        text = ", ".join([row.choice.description, *where])
        left = " (left out unless named)" if row.minor else ""
        said.append(f"  {row.choice.index:>3}  {text}{left}  {row.choice.uid}".rstrip())
        if row.reason:
            said.append(f"       {row.use.value}: {row.reason}")
        said += [f"       {one.kind}: {one.path}" for one in row.objects]
    said += [f"       {one.kind} without its series: {one.path}" for one in study.unassigned]
    return said
