"""Files that may be slices and cannot be read: empty, cut off or damaged.

A series with such a file next to its slices may be incomplete, at its ends too, where no gap shows it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_DICOM_ENDINGS = ("", ".dcm", ".dic", ".dicom", ".ima", ".img")


class Why(StrEnum):
    """What is wrong with a file, as a clause after its name."""

    EMPTY = "is empty (0 bytes)"
    DAMAGED = "begins as DICOM and cannot be read"
    STRANGE = "is not a DICOM file"
    CLOSED = "cannot be opened"
    ABSENT = "is listed in the DICOMDIR and not there"


@dataclass(frozen=True)
class Unread:
    """A file that was not read."""

    path: Path
    why: Why

    @property
    def is_stranger(self) -> bool:
        """Whether only its name suggests that it is DICOM."""
        return self.why is Why.STRANGE

    @property
    def may_be_dicom(self) -> bool:
        """Whether it is probably a DICOM file, judged without other slices."""
        named_so = not self.path.name.startswith(".") and _ending(self.path) in _DICOM_ENDINGS
        return named_so if self.why is Why.EMPTY else not self.is_stranger


def lost_slices(series: Sequence[Collection[Path]], unread: Sequence[Unread]) -> list[tuple[Unread, ...]]:
    """Of each series, given by its files, the unread files that may be slices of it: those named like its
    files except for numbers, also with an additional ending (.gz, .part) if the file without it is missing;
    and, if no series has files of such names, those in the same folder with the ending of its files.
    """
    every = {path for files in series for path in files}
    patterns = [{_pattern(path) for path in files} for files in series]
    endings = [{(path.parent, _ending(path)) for path in files} for files in series]
    lost: list[list[Unread]] = [[] for _ in series]
    for one in unread:
        names = {_pattern(one.path)} | (
            {_pattern(one.path.with_suffix(""))} if one.path.with_suffix("") not in every else set()
        )
        alike = [k for k, known in enumerate(patterns) if not names.isdisjoint(known)]
        if not alike and _could_be_slice(one):
            alike = [k for k, known in enumerate(endings) if (one.path.parent, _ending(one.path)) in known]
        for k in alike:
            lost[k].append(one)
    return [tuple(found) for found in lost]


def _could_be_slice(one: Unread) -> bool:
    """Whether a file is neither hidden nor a non-DICOM file without an ending, such as a script."""
    return not one.path.name.startswith(".") and (not one.is_stranger or _ending(one.path) != "")


def _pattern(path: Path) -> tuple[Path, str]:
    return path.parent, re.sub(r"[0-9]+", "0", path.name.lower())


def _ending(path: Path) -> str:
    """The last ending in small letters; "" for none and for the last number of a UID."""
    return path.suffix.lower() if path.suffix[1:].isalpha() else ""
