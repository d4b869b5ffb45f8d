"""Reading of images and label maps, for the viewer and the command: every file that a user names is read through here.

The functions have the signatures of `ctseg_imaging.formats`; looking at names and first bytes (`is_readable`) and writing stay there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctseg_imaging.formats import Choice
    from ctseg_imaging.volume import LabelMap, ViewOnlyVolume, Volume


def read(path: str | Path, **choice: Any) -> Volume:
    """As `formats.read`: a file or DICOM folder in its own voxel order."""
    from ctseg_imaging import formats

    return formats.read(path, **choice)


def read_view_only(path: str | Path, **choice: Any) -> ViewOnlyVolume:
    """As `formats.read_view_only`: a DICOM series without a regular grid, to look at."""
    from ctseg_imaging import formats

    return formats.read_view_only(path, **choice)


def read_labels(path: str | Path, **choice: Any) -> LabelMap:
    """As `formats.read_labels`: a label map."""
    from ctseg_imaging import formats

    return formats.read_labels(path, **choice)


def list_choices(path: str | Path) -> list[Choice]:
    """As `formats.list_choices`: the volumes or series that a path offers."""
    from ctseg_imaging import formats

    return formats.list_choices(path)
