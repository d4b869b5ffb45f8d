"""The image series of a folder: headers of its files, slices by series, each series divided into volumes."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID

from ctseg_imaging.formats.dicom.files import files_below, looks_like_dicom, missing_from, read_header
from ctseg_imaging.formats.dicom.stacking.slices import TAGS, Slice, slices_of
from ctseg_imaging.formats.dicom.stacking.split import SeriesPart, split
from ctseg_imaging.formats.dicom.stacking.traits import TRAITS, Value
from ctseg_imaging.formats.dicom.tags import text
from ctseg_imaging.formats.dicom.unread import Unread, Why, lost_slices
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import Window

# Objects that are not images of a patient, though some have rows and columns, by the beginning of their SOP
# class.
_NO_IMAGE = {
    "1.2.840.10008.5.1.4.1.1.66.": "segmentations",
    "1.2.840.10008.5.1.4.1.1.481.3": "contours",
    "1.2.840.10008.5.1.4.1.1.481.2": "dose",
    "1.2.840.10008.5.1.4.1.1.481.": "radiotherapy plans or images",
    "1.2.840.10008.5.1.4.1.1.7": "secondary captures such as screenshots",
    "1.2.840.10008.5.1.4.1.1.11.": "presentation states",
    "1.2.840.10008.5.1.4.1.1.88.": "reports",
    "1.2.840.10008.5.1.4.1.1.104.": "documents",
    "1.2.840.10008.1.3.10": "directories",
}
_LABELS = {trait.name: trait.label for trait in TRAITS} | {
    "size": "pixels",
    "pixel spacing": "pixel spacing (mm)",
    "phase": "cardiac phase",
}
_PRIVATE = {trait.name for trait in TRAITS if trait.private}
_STEP = 50  # files between two reports of progress


@dataclass(frozen=True, eq=False)
class Series:
    """Slices of one volume, in no particular order."""

    uid: str  # the SeriesInstanceUID, "" where the files have none
    slices: tuple[Slice, ...]
    part: int = 0  # from 1, of the volumes of this SeriesInstanceUID; 0 where there is only one
    apart: str = ""  # what distinguishes this part from the others, without identifying a patient
    lost: tuple[Unread, ...] = ()  # files that may be slices of it and cannot be read
    remark: str = ""  # a note for the user, "" for none

    @property
    def key(self) -> str:
        """The identifier for `--series`: the UID, with #PART where the UID alone is not unique."""
        return f"{self.uid}#{self.part}" if self.part or not self.uid else self.uid

    @property
    def number(self) -> int:
        """The series number, 0 where it has none."""
        number = self.slices[0].traits.get("series number")
        return int(number) if isinstance(number, float) else 0

    @property
    def modality(self) -> str:
        """ "CT", "MR", "PT" or another of DICOM's."""
        return str(self.slices[0].traits.get("modality", ""))

    @property
    def localiser(self) -> bool:
        """Whether all its pictures are localisers."""
        return all(one.is_localiser for one in self.slices)

    @property
    def windows(self) -> tuple[Window, ...]:
        """The display windows of the first slice."""
        return self.slices[0].windows

    @property
    def fault(self) -> str:
        """Why it cannot be read, with the file's name; "" where no fault is known."""
        for one in self.slices:
            if one.faults:
                return f"{one.path.name}: {one.faults[0]}"
        return ""

    @property
    def description(self) -> str:
        """What kind of image, from technical fields only (a series description may name the patient)."""
        rows, columns = self.slices[0].shape
        kernel = self.slices[0].traits.get("kernel")
        count = f"{len(self.slices)} slice{'s' if len(self.slices) > 1 else ''} of {columns} x {rows}"
        words = [
            self.modality or "image",
            "localiser" if self.localiser else "",
            count,
            f"kernel {kernel}" if kernel else "",
            f"series number {self.number}",
            self.apart,
        ]
        return ", ".join(dict.fromkeys(word for word in words if word))


@dataclass(frozen=True)
class OtherObject:
    """A DICOM object without an image.

    kind : its modality, such as SEG. what : the same in plain words. series_uid : its own.
    """

    path: Path
    kind: str
    what: str
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str


@dataclass(frozen=True)
class Folder:
    """The contents of a folder.

    unread : files that are empty, damaged, no DICOM or only listed in its DICOMDIR.
    """

    series: tuple[Series, ...]
    others: tuple[OtherObject, ...] = ()
    unread: tuple[Unread, ...] = ()

    def only(self, files: Collection[Path]) -> Folder:
        """The series and objects that at least one of `files` belongs to, each series whole."""
        wanted = frozenset(files)
        series = tuple(one for one in self.series if any(plane.path in wanted for plane in one.slices))
        return replace(self, series=series, others=tuple(one for one in self.others if one.path in wanted))


def scanning(path: Path) -> Generator[Progress, None, Folder]:
    """Read the headers of every file below a folder.

    The series are ordered by number, then UID, then part.
    """
    closed: list[Path] = []
    files = files_below(path, closed)
    members: dict[str, list[Slice]] = {}
    others: list[OtherObject] = []
    unread = [Unread(folder, Why.CLOSED) for folder in closed] + [
        Unread(file, Why.ABSENT) for file in missing_from(path)
    ]
    for k, file in enumerate(files):
        if k and k % _STEP == 0:
            yield Progress("headers", k, len(files), f"Reading the header of file {k + 1} of {len(files)}")
        if not looks_like_dicom(file):
            unread.append(Unread(file, Why.STRANGE if file.stat().st_size else Why.EMPTY))
            continue
        header = read_header(file, TAGS)
        if header is None or _is_cut_off(header):
            unread.append(Unread(file, Why.DAMAGED))
        elif "Rows" not in header or text([header], "SOPClassUID").startswith(tuple(_NO_IMAGE)):
            others.append(_other(file, header))
        else:
            for one in slices_of(file, header):
                members.setdefault(one.series_uid, []).append(one)
    series = [one for uid, slices in members.items() for one in _series(uid, slices)]
    series.sort(key=lambda one: (one.number, one.uid, one.part))
    lost = lost_slices([{plane.path for plane in one.slices} for one in series], unread)
    series = [replace(one, lost=files) for one, files in zip(series, lost, strict=True)]
    return Folder(tuple(series), tuple(others), tuple(unread))


def _is_cut_off(header: Dataset) -> bool:
    """Whether an image ends before its rows are given, or any object before its series."""
    if "Rows" in header or text([header], "SOPClassUID").startswith(tuple(_NO_IMAGE)):
        return False
    return (
        not text([header], "SeriesInstanceUID") or "Image Storage" in UID(text([header], "SOPClassUID")).name
    )


def kinds_of(objects: Iterable[OtherObject]) -> str:
    """What the objects are, each kind once."""
    return ", ".join(dict.fromkeys(one.what for one in objects))


def _other(path: Path, header: Dataset) -> OtherObject:
    uid = text([header], "SOPClassUID")
    return OtherObject(
        path,
        text([header], "Modality"),
        next((what for start, what in _NO_IMAGE.items() if uid.startswith(start)), "other objects"),
        text([header], "SeriesInstanceUID"),
        text([header], "StudyInstanceUID"),
        text([header], "FrameOfReferenceUID"),
    )


def _series(uid: str, slices: Sequence[Slice]) -> Iterable[Series]:
    parts = split(slices)
    if len(parts) == 1:
        return [Series(uid, parts[0].slices)]
    return [
        Series(uid, part.slices, k, apart)
        for k, (part, apart) in enumerate(zip(parts, apart_of(parts), strict=True), 1)
    ]


def apart_of(parts: Sequence[SeriesPart]) -> list[str]:
    """The attributes that distinguish each part, as many as give each part its own text.

    Values that may identify the patient are numbered.
    """
    names = list(dict.fromkeys(name for part in parts for name in part.apart))
    texts = [""] * len(parts)
    for name in names:
        given = [part.apart.get(name) for part in parts]
        if len(set(given)) < 2:
            continue
        before = len(set(texts))
        longer = [
            ", ".join(word for word in (text, _word(name, value, given)) if word)
            for text, value in zip(texts, given, strict=True)
        ]
        if len(set(longer)) > before:
            texts = longer
    return texts


def _word(name: str, value: Value, given: Sequence[Value]) -> str:
    label = _LABELS.get(name, name)
    if name == "localiser":
        return str(value)
    if name in _PRIVATE:
        return f"{label} {list(dict.fromkeys(given)).index(value) + 1}"
    if value is None:
        return f"no {label}"
    return f"{label} {value:g}" if isinstance(value, (int, float)) else f"{label} {value}"
