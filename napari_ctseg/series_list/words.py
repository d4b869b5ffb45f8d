"""The texts of the series list."""

from __future__ import annotations

from ctseg_imaging.formats.dicom_study import SeriesRow, StudyFolder, Use

COLUMNS = ("", "Series", "Slices", "Voxel (mm)", "Use")
HELP = "Choose one or more series. Arrow keys move, Shift or Ctrl selects several, Enter opens, Esc opens nothing."


def cells(row: SeriesRow, study: StudyFolder) -> tuple[str, ...]:
    """The texts of a row, one a column."""
    voxel = "" if row.spacing_mm is None else " × ".join(f"{step:.3g}" for step in reversed(row.spacing_mm))
    return "", series(row, study), str(row.choice.slices), voxel, row.use.value


def series(row: SeriesRow, study: StudyFolder) -> str:
    """What kind of series and what distinguishes it; patients and studies by number where there are several."""
    where = []
    if len({one.patient for one in study.rows}) > 1:
        where.append(f"patient {row.patient}")
    if len({one.study for one in study.rows}) > 1:
        where.append(f"study {row.study}")
    lines = [row.choice.description]
    if where:
        lines.append(", ".join(where))
    if row.objects:
        kinds = [one.kind for one in row.objects]
        lines.append("with " + ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)))
    return "\n".join(lines)


def tooltip(row: SeriesRow) -> str:
    """Why a series cannot be read, and what can be done."""
    if row.use is Use.VIEW_ONLY:
        return f"View only: {row.reason}. It can be looked at, but not measured, segmented, corrected or exported."
    return f"Cannot be read: {row.reason}." if row.use is Use.NOTHING else ""
