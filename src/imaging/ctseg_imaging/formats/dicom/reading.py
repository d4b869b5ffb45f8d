"""DICOM image folders as volumes: an uncertain grid is refused or asked about, and everything left out is
reported.

z of the array runs along the normal of the slices (row direction x column direction); HU by each slice's own
rescale, SUV for PET where the header allows it.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ctseg_imaging.errors import ChoiceNeeded, FormatError, OnlyViewable
from ctseg_imaging.formats.choice import Choice, choice_needed
from ctseg_imaging.formats.dicom.files import looks_like_dicom, walk
from ctseg_imaging.formats.dicom.pixels import StoredPixels, decoding
from ctseg_imaging.formats.dicom.series import Folder, Series, kinds_of, scanning
from ctseg_imaging.formats.dicom.stacking.joined import joined
from ctseg_imaging.formats.dicom.stacking.slices import Slice
from ctseg_imaging.formats.dicom.stacking.stack import arranged, check_complete, geometry_of, judge
from ctseg_imaging.formats.dicom.suv import in_suv
from ctseg_imaging.formats.dicom.unread import Why
from ctseg_imaging.formats.dicom.view_only import placing
from ctseg_imaging.progress import Progress, finish
from ctseg_imaging.volume import ViewOnlyVolume, Volume

MINOR_SERIES = 0.25  # a series with fewer slices than this share of the largest is not of equal rank
_QUICK_LOOK = 64  # files
_MOST_LISTED = 3  # series that were left out


@dataclass(frozen=True)
class DicomHeader:
    """Where the slices of a volume came from, in array order: the files, the frame in each (-1: the only one)
    and the instance UIDs.
    """

    series_uid: str
    files: tuple[Path, ...]
    frames: tuple[int, ...]
    instance_uids: tuple[str, ...]


def read(path: Path, series: int | str | None = None) -> Volume:
    """Run `reading` to its end without reporting progress."""
    return finish(reading(path, series))


def reading(path: Path, series: int | str | None = None) -> Generator[Progress, None, Volume]:
    """Read one series of a folder, or the series that a file belongs to.

    series : its number in `list_choices`, or its UID.

    Yields progress while headers and pixels are read. Raises ChoiceNeeded if several series of equal rank are
    there and none is named, OnlyViewable for slices that make no regular grid, FormatError or GeometryError
    with what is wrong.
    """
    folder = yield from scanned(path)
    chosen = _choose(path, folder, series)
    notes = _left_out(folder, chosen, is_named=series is not None)
    pixels = StoredPixels(path)
    slices = arranged(path, chosen, pixels.identical, notes)
    check_complete(path, chosen)
    geometry = geometry_of(path, slices, notes)
    array = yield from decoding(slices, pixels)
    windows = chosen.windows
    if chosen.modality == "PT":
        array, windows = in_suv(array, slices, windows, notes)
    return Volume(array, geometry, _header(chosen, slices), path, chosen.modality, windows, tuple(notes))


def viewing(path: Path, series: int | str | None = None) -> Generator[Progress, None, ViewOnlyVolume]:
    """A tilted, incomplete or uneven series for display; see dicom_view_only.

    Raises FormatError for one that can be read exactly.
    """
    folder = yield from scanned(path)
    chosen = _choose(path, folder, series)
    notes = _left_out(folder, chosen, is_named=series is not None)
    pixels = StoredPixels(path)
    slices = arranged(path, chosen, pixels.identical, notes)
    try:
        check_complete(path, chosen)
        geometry_of(path, slices, [])
    except OnlyViewable as reason:
        array, geometry, how = yield from placing(slices, pixels)
        return ViewOnlyVolume(
            array, geometry, None, path, chosen.modality, chosen.windows, (how, *notes), why=str(reason)
        )
    raise FormatError(f"{path}: its slices make a regular grid; open it without view only.")


def list_choices(path: Path) -> list[Choice]:
    """The series that count, numbered as `read` takes them.

    Localisers and small series are listed only if there is nothing else.
    """
    folder = finish(scanned(path))
    return choices_of(folder)[: len(candidates(folder))]


def looks_like_folder(path: Path) -> bool:
    """Whether one of the first files of a folder and its sub-folders is DICOM; fast for large trees too."""
    return any(looks_like_dicom(file) for file in islice(walk(path), _QUICK_LOOK))


def looks_like_file(path: Path) -> bool:
    """Whether a file begins as DICOM does."""
    return looks_like_dicom(path)


def _header(series: Series, slices: Sequence[Slice]) -> DicomHeader:
    return DicomHeader(
        series.uid,
        tuple(one.path for one in slices),
        tuple(one.frame for one in slices),
        tuple(one.instance_uid for one in slices),
    )


def scanned(path: Path) -> Generator[Progress, None, Folder]:
    """The contents of a folder; for a file, the series or object that it belongs to.

    Raises FormatError if there is no image.
    """
    folder = yield from scanned_for_anything(path)
    check_has_image(path, folder)
    return folder


def scanned_for_anything(path: Path, files: Collection[Path] = ()) -> Generator[Progress, None, Folder]:
    """As `scanned`, also without an image. files : of the folder, where only what these belong to counts."""
    folder = joined((yield from scanning(path if path.is_dir() else path.parent)))
    return folder.only([path] if _is_single(path) else files) if _is_single(path) or files else folder


def check_has_image(path: Path, folder: Folder) -> None:
    """Raise FormatError where a folder holds no image."""
    if not folder.series:
        raise FormatError(f"{path}: {_no_image(path, folder, _is_single(path))}")


def _is_single(path: Path) -> bool:
    """Whether a path stands for the series of one file; a DICOMDIR stands for its folder."""
    return path.is_file() and path.name.upper() != "DICOMDIR"


def _no_image(path: Path, folder: Folder, single: bool) -> str:
    """Why there is no image, and what to do."""
    unread = [one for one in folder.unread if one.path == path or (not single and one.may_be_dicom)]
    if unread:
        return f"{unread[0].path.name} {unread[0].why}; copy or export it again."
    if folder.others and single:
        return f"holds no image but {kinds_of(folder.others)}; give a slice or the folder of the series."
    if folder.others:
        return (
            f"holds no image series but DICOM objects without one ({kinds_of(folder.others)}); give the "
            "image series."
        )
    return "holds no DICOM file; choose the folder with the slices."


def ranked(folder: Folder) -> list[Series]:
    """Every series, those to choose from first; the others follow in the order of the folder.

    The place is the number of a Choice.
    """
    first = candidates(folder)
    return [*first, *(series for series in folder.series if series not in first)]


def choices_of(folder: Folder) -> list[Choice]:
    """Every series as a choice."""
    return [
        Choice(k, series.key, series.description, len(series.slices), series.apart)
        for k, series in enumerate(ranked(folder), 1)
    ]


def candidates(folder: Folder) -> list[Series]:
    """The series to choose from: those that are images and not much smaller than the largest.

    The parts of one SeriesInstanceUID go together: none of them is left out silently.
    """
    proper = [series for series in folder.series if not series.localiser and _may_be_volume(series)]
    proper = proper or [series for series in folder.series if not series.localiser] or list(folder.series)
    most = max((len(series.slices) for series in proper), default=0)
    large = {id(series) for series in proper if len(series.slices) >= MINOR_SERIES * most}
    divided = {series.uid for series in folder.series if id(series) in large and series.part}
    return [
        series for series in folder.series if id(series) in large or (series.part and series.uid in divided)
    ]


def _may_be_volume(series: Series) -> bool:
    judged = judge(series)
    return judged.readable or judged.viewable


def _choose(path: Path, folder: Folder, wanted: int | str | None) -> Series:
    """The wanted series, or the only candidate. Raises ChoiceNeeded, FormatError."""
    every = ranked(folder)
    if wanted is None:
        possible = candidates(folder)
    else:
        possible = [series for k, series in enumerate(every, 1) if str(wanted) in (str(k), series.key)]
        possible = possible or [series for series in every if series.uid and series.uid == wanted]
    if not possible:
        raise FormatError(
            f"{path}: has no series {wanted}; it holds {len(every)} (series 1 to {len(every)})."
        )
    if len(possible) > 1:
        shown = [choice for choice in choices_of(folder) if every[choice.index - 1] in possible]
        raise ChoiceNeeded(choice_needed(path, shown, "series", "series"))
    return possible[0]


def _left_out(folder: Folder, chosen: Series, *, is_named: bool) -> list[str]:
    """One sentence for each kind of file or series that was not read.

    is_named : whether the user chose the series, which leaves the others unmentioned.
    """
    others = [] if is_named else [series for series in folder.series if series is not chosen]
    notes = [
        f"Left out {'a localiser' if one.localiser else 'another series'} ({one.description}"
        f"{'; it cannot be read: ' + one.fault if one.fault else ''})."
        for one in others[:_MOST_LISTED]
    ]
    if len(others) > _MOST_LISTED:
        notes.append(f"Left out {len(others) - _MOST_LISTED} more series; the list of the folder shows them.")
    if folder.others and not is_named:
        notes.append(
            f"Left out {len(folder.others)} DICOM object(s) that are not images ({kinds_of(folder.others)})."
        )
    elsewhere = [one for one in folder.unread if one not in chosen.lost]
    strangers = sum(one.why is Why.STRANGE for one in elsewhere)
    if strangers:
        notes.append(f"Left out {strangers} file(s) that are not DICOM.")
    empty = [one.path.name for one in elsewhere if one.why is Why.EMPTY]
    if empty:
        notes.append(f"Left out {len(empty)} empty file(s) ({empty[0]}).")
    damaged = [one.path.name for one in elsewhere if one.why is Why.DAMAGED]
    if damaged:
        notes.append(
            f"Left out {len(damaged)} file(s) that begin as DICOM and cannot be read ({damaged[0]})."
        )
    closed = [one.path.name for one in elsewhere if one.why is Why.CLOSED]
    if closed:
        notes.append(f"Left out {len(closed)} folder(s) that cannot be opened ({closed[0]}).")
    if chosen.lost:
        notes.append(
            f"{len(chosen.lost)} file(s) that may be slices cannot be read ({chosen.lost[0].path.name})."
        )
    absent = sum(one.why is Why.ABSENT for one in elsewhere)
    if absent:
        notes.append(f"The DICOMDIR lists {absent} file(s) that are not there; the export may be incomplete.")
    return notes
