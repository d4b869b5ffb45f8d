"""Reading volumes: the content and the ending of a path decide the format."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from types import ModuleType

from ctseg_imaging.endings import ENDINGS
from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats import itk, nifti, segmentations
from ctseg_imaging.formats.choice import Choice
from ctseg_imaging.formats.dicom import reading as dicom
from ctseg_imaging.formats.edge import reading_edge
from ctseg_imaging.progress import Progress, finish
from ctseg_imaging.volume import ViewOnlyVolume, Volume


def read(
    path: str | Path,
    *,
    volume: int | None = None,
    series: int | str | None = None,
    nearest_grid: bool = False,
) -> Volume:
    """Read a file or a DICOM folder in its own voxel order, in HU or the file's own units.

    volume : which one of a 4D file, from 1. series : which DICOM series, its number in `list_choices` (from
    1) or its UID. nearest_grid : where rounding has sheared the axes of a file (by at most 1 degree), take
    the nearest grid without shear. Raises ChoiceNeeded if there are several and none was chosen, FormatError
    or GeometryError (one sentence) for anything else.
    """
    return finish(reading(path, volume=volume, series=series, nearest_grid=nearest_grid))


def reading(
    path: str | Path,
    *,
    volume: int | None = None,
    series: int | str | None = None,
    nearest_grid: bool = False,
) -> Generator[Progress, None, Volume]:
    """As `read`, with the progress of a long series; closing it cancels."""
    path = Path(path)
    with reading_edge(path):
        module = _module_for(path)
        if module is dicom:
            if volume is not None:
                raise FormatError(f"{path}: is DICOM; choose a series, not a volume.")
            return (yield from dicom.reading(path, series))
        if series is not None:
            raise FormatError(f"{path}: is not a DICOM folder; choose a volume, not a series.")
        found: Volume = module.read(path, volume, nearest_grid)
        return found


def read_view_only(path: str | Path, *, series: int | str | None = None) -> ViewOnlyVolume:
    """Read a DICOM series whose slices make no regular grid (tilted, incomplete, uneven) to look at it; see
    `dicom.view_only`.

    Raises FormatError for a path that is not DICOM, and for a series that `read` reads exactly.
    """
    path = Path(path)
    with reading_edge(path):
        if _module_for(path) is not dicom:
            raise FormatError(f"{path}: is not DICOM; only DICOM series can be opened as view only.")
        return finish(dicom.viewing(path, series))


def list_choices(path: str | Path) -> list[Choice]:
    """The volumes or layers that a path holds: the volumes of a 4D file, the series of a DICOM folder
    (localisers left out), the layers of a segmentation with overlapping segments; a single one if there is no
    choice.
    """
    path = Path(path)
    if (segmented := segmentations.kind_of(path)) is not None:
        return segmentations.read(path, segmented, None).choices()
    with reading_edge(path):
        choices: list[Choice] = _module_for(path).list_choices(path)
        return choices


def is_dicom(path: str | Path) -> bool:
    """Whether a path is a DICOM image: a folder, or a file that begins as DICOM does and holds no
    segmentation.

    Raises FormatError for a path that `read` does not support.
    """
    return _module_for(Path(path)) is dicom and segmentations.kind_of(path) is None


def is_readable(path: str | Path) -> bool:
    """Whether `read` is worth trying, by name and first bytes; fast, and never raises."""
    path = Path(path)
    try:
        if path.is_dir():
            return dicom.looks_like_folder(path)
        return path.is_file() and (
            path.name.lower().endswith((*ENDINGS, ".hdr")) or dicom.looks_like_file(path)
        )
    except OSError:
        return False


def _module_for(path: Path) -> ModuleType:
    """The module of this package that reads `path`."""
    if not path.exists():
        raise FormatError(f"{path}: does not exist; check the name.")
    if path.is_dir():
        return dicom
    if not path.is_file():
        raise FormatError(f"{path}: is a device or a pipe, not a file; give a file.")
    name = path.name.lower()
    if name.endswith(itk.SUFFIXES):
        return itk
    if name.endswith((".nii", ".nii.gz")):
        return nifti
    if dicom.looks_like_file(path):
        return dicom
    if name.endswith(nifti.SUFFIXES):
        return nifti
    raise FormatError(f"{path}: unrecognised image format; give NIfTI, NRRD, MetaImage or a DICOM folder.")
