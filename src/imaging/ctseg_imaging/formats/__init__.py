"""Reading and writing volumes: the path's content and ending decide the format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from ctseg_imaging import label_names
from ctseg_imaging.endings import ENDINGS
from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.formats import dicom, itk, nifti
from ctseg_imaging.formats.choice import Choice
from ctseg_imaging.formats.labels import to_label_map
from ctseg_imaging.geometry import Match
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import LabelMap, ViewOnlyVolume, Volume, exact

__all__ = ["ENDINGS", "Choice", "is_dicom", "is_readable", "list_choices", "read", "read_labels", "read_view_only", "write"]


def read(path: str | Path, *, volume: int | None = None, series: int | str | None = None, nearest_grid: bool = False) -> Volume:
    """Read a file or a DICOM folder in its own voxel order, in HU or the file's own units.

    volume : which one of a 4D file, from 1. series : which DICOM series, its number in `list_choices` (from 1) or its UID.
    nearest_grid : where rounding has sheared the axes of a file (by at most 1 degree), take the nearest grid without shear.
    Raises ChoiceNeeded if several are there and none was named, FormatError or GeometryError (one sentence) for anything else.
    """
    path = Path(path)
    try:
        kind = _kind(path)
        if kind is dicom:
            if volume is not None:
                raise FormatError(f"{path}: is DICOM; choose a series, not a volume.")
            return dicom.read(path, series)
        if series is not None:
            raise FormatError(f"{path}: is no DICOM folder; choose a volume, not a series.")
        found: Volume = kind.read(path, volume, nearest_grid)
        return found
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except MemoryError as error:
        raise FormatError(f"{path}: does not fit into memory; is its header damaged?") from error


def read_view_only(path: str | Path, *, series: int | str | None = None) -> ViewOnlyVolume:
    """Read a DICOM series whose slices make no regular grid (tilted, incomplete, uneven) to look at it; see dicom_view_only.

    Raises FormatError for a path that is no DICOM, and for a series that `read` reads exactly.
    """
    path = Path(path)
    if _kind(path) is not dicom:
        raise FormatError(f"{path}: is no DICOM; only DICOM series can be opened as view only.")
    try:
        return finish(dicom.viewing(path, series))
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error}).") from error


def read_labels(path: str | Path, *, names: Mapping[int, str] | None = None, volume: int | None = None,
                nearest_grid: bool = False) -> LabelMap:
    """Read a label map. names : {value: name}; where None, those of the file itself and of the files next to it
    (provenance, dataset.json, labels.json: see `label_names`), made up from the values where nothing names them.
    nearest_grid : as in `read`.

    Whole numbers of any type, floats within 0.01 of a whole number too (rounded, with a note). Raises FormatError for
    probabilities, negative values and everything that `read` refuses.
    """
    found = to_label_map(read(path, volume=volume, nearest_grid=nearest_grid), Path(path), names)
    return label_names.complete(found, Path(path)) if names is None else found


def write(path: str | Path, item: Volume | LabelMap, *, like: Volume | LabelMap | None = None, overwrite: bool = False) -> None:
    """Write `item`, whole or not at all; the ending of `path` decides the format.

    like : whose header geometry (q/sform and codes in NIfTI) to take over; it must have the grid of `item`.
    Raises FormatError if `path` exists and `overwrite` is false, has no known ending or cannot be written; GeometryError if `like`
    lies on another grid.
    """
    path = Path(path)
    for one in (item, like):
        if isinstance(one, Volume):
            exact(one, "be written")
    if like is not None and like.geometry.matches(item.geometry) not in (Match.SAME, Match.ROUNDING):
        raise GeometryError(f"{path}: the volume whose geometry it is to take has another grid; resample onto that grid first.")
    if not path.name.lower().endswith(ENDINGS):
        raise FormatError(f"{path}: cannot tell the format from the name; end it in {', '.join(ENDINGS)}.")
    if path.name.lower().endswith((".nii", ".nii.gz")):
        nifti.write(path, item, like, overwrite)
    else:
        itk.write(path, item, like, overwrite)


def list_choices(path: str | Path) -> list[Choice]:
    """What a path offers: the volumes of a 4D file, the series of a DICOM folder (localisers left out); one where there is no choice."""
    path = Path(path)
    try:
        choices: list[Choice] = _kind(path).list_choices(path)
        return choices
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error}).") from error


def is_dicom(path: str | Path) -> bool:
    """Whether `read` takes a path as DICOM: a folder, or a file that begins as DICOM does. Raises FormatError for what it does not know."""
    return _kind(Path(path)) is dicom


def is_readable(path: str | Path) -> bool:
    """A quick look (names, first bytes) whether `read` is worth trying; never raises."""
    path = Path(path)
    try:
        if path.is_dir():
            return dicom.looks_like_folder(path)
        return path.is_file() and (path.name.lower().endswith((*ENDINGS, ".hdr")) or dicom.looks_like_file(path))
    except OSError:
        return False


def _kind(path: Path) -> ModuleType:
    """The module of this package that reads `path`."""
    if not path.exists():
        raise FormatError(f"{path}: does not exist; check the name.")
    if path.is_dir():
        return dicom
    name = path.name.lower()
    if name.endswith(itk.SUFFIXES):
        return itk
    if name.endswith((".nii", ".nii.gz")):
        return nifti
    if dicom.looks_like_file(path):
        return dicom
    if name.endswith(nifti.SUFFIXES):
        return nifti
    raise FormatError(f"{path}: is no image format known here; give NIfTI, NRRD, MetaImage or a DICOM folder.")
