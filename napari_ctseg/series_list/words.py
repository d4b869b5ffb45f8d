"""The texts of the series list."""

from __future__ import annotations

from collections.abc import Sequence

from ctseg_imaging.formats.dicom.study import Use
from napari_ctseg.series_list.lines import DrawnOn, Heading, Line, can_open

COLUMNS = ("", "Series", "Slices", "Voxel (mm)", "Use")
HELP = (
    "Choose series or segmentations. Arrow keys move, Shift or Ctrl selects several, Enter opens, Esc opens "
    "nothing."
)
MOST_NAMES = 4  # structures of a segmentation that are named
_FILES = {"RTSTRUCT": "Contours (RTSTRUCT)", "SEG": "Segmentation (SEG)"}


def cells(line: Line, lines: Sequence[Line]) -> tuple[str, ...]:
    """The texts of one of `lines`, one a column."""
    if isinstance(line, Heading):
        return line.text, "", "", "", ""
    if isinstance(line, DrawnOn):
        alike = [
            one
            for one in lines
            if isinstance(one, DrawnOn) and one.series is line.series and _drawn(one) == _drawn(line)
        ]
        return (
            "",
            f"    {_drawn(line)}" + (f", {line.drawing.path.name}" if len(alike) > 1 else ""),
            "",
            "",
            _use(line),
        )
    voxel = "" if line.spacing_mm is None else " × ".join(f"{step:.3g}" for step in reversed(line.spacing_mm))
    described = f"{line.choice.description}\n{line.reason}" if line.reason else line.choice.description
    return "", described, str(line.choice.slices), voxel, line.use.value


def _drawn(line: DrawnOn) -> str:
    names = line.drawing.structures
    count = f": {len(names)} structure{'s' if len(names) > 1 else ''}" if names else ""
    listed = ", ".join(name for name in names[:MOST_NAMES] if name)
    more = ", …" if len(names) > MOST_NAMES else ""
    return f"{_FILES.get(line.drawing.kind, line.drawing.kind)}{count}" + (
        f" ({listed}{more})" if listed else ""
    )


def _use(line: DrawnOn) -> str:
    if line.series is None:
        return "without its series"
    if not can_open(line):
        return Use.NOTHING.value
    return "opens on its own" if line.series.use is Use.NOTHING else "opens with its series"


def tooltip(line: Line) -> str:
    """Why a line cannot be opened as it should, and what can be done."""
    if isinstance(line, Heading):
        return ""
    if isinstance(line, DrawnOn):
        return _drawn_tooltip(line)
    if line.use is Use.VIEW_ONLY:
        return (
            f"View only: {line.reason}. It can be viewed, but not measured, segmented, corrected or exported."
        )
    return f"Cannot be read: {line.reason}." if line.use is Use.NOTHING else ""


def _drawn_tooltip(line: DrawnOn) -> str:
    if line.series is None:
        return (
            "The series that it refers to is not in this folder. A SEG opens on its own grid, contours on "
            "that of the open image; open the image first."
        )
    if not can_open(line):
        return "Contours need the grid of their series, which cannot be read exactly."
    return ""
