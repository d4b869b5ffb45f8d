"""Which files of a folder are DICOM, and their headers without pixels.

Files without preamble or file meta information count.

Source: DICOM PS3.10 7 (file format), PS3.5 7.1 (data elements).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from ctseg_imaging.formats.dicom.tags import UNREADABLE, Garbled, items, words

_FIRST_GROUPS = (b"\x08\x00", b"\x02\x00")  # of a data set, of file meta information
_LONGEST_FIRST = 1024  # bytes: the first elements of a data set are short


def walk(path: Path, closed: list[Path] | None = None) -> Iterator[Path]:
    """The files of a folder and its sub-folders, links followed, each folder once.

    closed : gets the folders that cannot be opened.
    """
    seen: set[str] = set()

    def note_closed(error: OSError) -> None:
        if closed is not None:
            closed.append(Path(error.filename))

    for folder, below, names in os.walk(path, followlinks=True, onerror=note_closed):
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        yield from (file for name in names if (file := Path(folder) / name).is_file())


def files_below(path: Path, closed: list[Path]) -> list[Path]:
    """The files of a folder and its sub-folders in the order of their names, without DICOMDIR.

    closed : as in `walk`.
    """
    return sorted(file for file in walk(path, closed) if file.name.upper() != "DICOMDIR")


def missing_from(path: Path) -> list[Path]:
    """The files that the DICOMDIR of a folder lists and that are not there; [] without a DICOMDIR, and for an
    unreadable one.

    Nothing else is taken from a DICOMDIR: the headers of the files are authoritative and hold more.
    """
    directory = next(
        (file for file in path.iterdir() if file.name.upper() == "DICOMDIR" and file.is_file()), None
    )
    if directory is None:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            records = items(pydicom.dcmread(directory, force=True), "DirectoryRecordSequence")
        except (*UNREADABLE, OSError, Garbled):
            return []
    names = [words([record], "ReferencedFileID") for record in records]
    spelled = [_spellings(path, name) for name in names if name]
    return [
        next((file for file in files if file.parent.is_dir()), files[0])
        for files in spelled
        if not any(map(Path.is_file, files))
    ]


def _spellings(folder: Path, parts: Sequence[str]) -> list[Path]:
    """The spellings that a listed file may have on disc: as listed, or in lower case."""
    return [folder.joinpath(*spelling) for spelling in (parts, [part.lower() for part in parts])]


def looks_like_dicom(path: Path) -> bool:
    """Whether the file begins as DICOM does: DICM after 128 bytes, or without preamble by a first element of
    group 0008 or 0002.
    """
    with path.open("rb") as file:
        start = file.read(132)
    return start[128:] == b"DICM" or _is_first_element(start)


def _is_first_element(start: bytes) -> bool:
    """Whether bytes are the first data element of an old file: little endian, explicit or implicit VR; or big
    endian, explicit.
    """
    if len(start) < 132:
        return False
    if start[:2] == b"\x00\x08":
        return start[4:6].isalpha() and start[4:6].isupper()
    if start[:2] not in _FIRST_GROUPS or start[3] > 0x20:
        return False
    length = int.from_bytes(start[4:8], "little")
    return (start[4:6].isalpha() and start[4:6].isupper()) or length <= _LONGEST_FIRST


def read_header(path: Path, tags: Sequence[str | int]) -> Dataset | None:
    """The attributes `tags` of one file without its pixels, or None where it is not DICOM after all, or
    damaged beyond reading.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings may quote values
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=list(tags))
            return (
                header
                if any(word in header for word in ("SOPClassUID", "SeriesInstanceUID", "Rows"))
                else None
            )
        except UNREADABLE:
            return None
        except OSError as error:
            if error.errno is not None:  # else pydicom's word for bytes that end too early
                raise
            return None
