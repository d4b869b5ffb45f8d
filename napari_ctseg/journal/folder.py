"""The folder of the journals: which masks are kept or discarded, and which process edits which image.

The name of a journal is a hash of its image and a random token. Neither name nor content has the image's file
name or header.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import psutil
from platformdirs import user_state_path

from ctseg_imaging.errors import FormatError
from ctseg_imaging.geometry import Geometry
from napari_ctseg.journal.replay import Summary, summary

ENDING = ".journal"
DISCARDED = "discarded"  # the folder within the folder
DAYS_DISCARDED = 14


@dataclass(frozen=True)
class Kept:
    """One journal. when : of the last step, local time. holds : None if it is damaged beyond recovery. size :
    bytes.
    """

    path: Path
    when: datetime
    holds: Summary | None
    size: int

    @property
    def steps(self) -> int | None:
        """The number of strokes, operations, undos and redos; None if it is damaged."""
        return None if self.holds is None else self.holds.steps

    @property
    def is_discarded(self) -> bool:
        """Whether it was discarded."""
        return self.path.parent.name == DISCARDED

    @property
    def key(self) -> str:
        """The image that it belongs to, as `key_of` gives it."""
        return self.path.name.partition("-")[0]


def folder() -> Path:
    """Where the journals of this user are kept."""
    return user_state_path("napari-ctseg", appauthor=False) / "recovery"


def prepared() -> Path:
    """The folder, created if necessary, readable by this user only. Raises FormatError if it cannot be
    created.
    """
    place = folder()
    try:
        (place / DISCARDED).mkdir(parents=True, exist_ok=True)
        for one in (place, place / DISCARDED):
            one.chmod(0o700)
    except OSError as error:
        raise FormatError(
            f"{place}: edits cannot be kept there ({error.strerror}); make the folder writable."
        ) from error
    return place


def key_of(geometry: Geometry, source: Path | None) -> str:
    """What identifies an image when it is opened again: a hash of its path and its grid."""
    digest = hashlib.sha256(str("" if source is None else source.resolve()).encode())
    digest.update(np.array(geometry.shape, "<i8").tobytes() + geometry.affine_lps.astype("<f8").tobytes())
    return digest.hexdigest()[:24]


def new_path(key: str) -> Path:
    """A path for a new journal of the image `key`. Raises FormatError."""
    return prepared() / f"{key}-{secrets.token_hex(6)}{ENDING}"


def find(*keys: str) -> tuple[Kept, ...]:
    """The kept journals of these images, or of all images if none are given, the newest first; journals that
    another process is writing are left out.
    """
    return _listed(folder(), keys)


def discarded(*keys: str) -> tuple[Kept, ...]:
    """The discarded journals that can still be restored, the newest first."""
    return _listed(folder() / DISCARDED, keys)


def _listed(place: Path, keys: tuple[str, ...]) -> tuple[Kept, ...]:
    found = []
    for path in place.glob(f"*-*{ENDING}"):
        if (not keys or path.name.partition("-")[0] in keys) and writer_of(path) is None:
            with suppress(FileNotFoundError):
                found.append(_kept(path))
    return tuple(
        sorted((kept for kept in found if kept.steps != 0), key=lambda kept: kept.when, reverse=True)
    )


def _kept(path: Path) -> Kept:
    state = path.stat()
    return Kept(
        path,
        datetime.fromtimestamp(state.st_mtime),
        _holds(path, state.st_mtime_ns, state.st_size),
        state.st_size,
    )


@lru_cache(maxsize=256)
def _holds(path: Path, changed_ns: int, size: int) -> Summary | None:
    """The summary of a file, read again when the file has changed."""
    try:
        return summary(path)
    except FormatError:
        return None


def discard(path: Path) -> None:
    """Discard a journal; `bring_back` restores it within DAYS_DISCARDED. Does nothing if it is missing."""
    target = prepared() / DISCARDED / path.name
    with suppress(FileNotFoundError):
        path.replace(target)
        os.utime(target)


def bring_back(path: Path) -> Path:
    """Undo `discard`; returns the journal's path. Raises FormatError if it is gone."""
    target = prepared() / path.name
    try:
        (target.parent / DISCARDED / path.name).replace(target)
    except OSError as error:
        raise FormatError(f"{path.name}: the discarded edits are no longer there.") from error
    return target


def used_bytes() -> int:
    """The size of the folder, including discarded journals."""
    total = 0
    for path in folder().rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def sweep(limit: int) -> None:
    """Delete journals that were discarded too long ago or that exceed the limit, and files that killed
    processes left incomplete.

    Journals that were not discarded are never deleted.
    """
    place = folder()
    old = sorted((place / DISCARDED).glob(f"*{ENDING}"), key=lambda path: path.stat().st_mtime)
    since = time.time() - DAYS_DISCARDED * 86400
    for path in old:
        if path.stat().st_mtime < since or used_bytes() > limit:
            path.unlink(missing_ok=True)
    for path in (*place.glob("*.part"), *place.glob("*.writer")):
        if _owner(path.with_suffix(".writer")) is None:
            path.unlink(missing_ok=True)


# ---- who works on what: NAME.writer next to a journal, KEY.viewer for an image


def claim(path: Path) -> int | None:
    """Record that this process writes the journal `path` or, without an ending, edits the image. Returns the
    id of another process that does, if any.
    """
    note = path.with_suffix(".writer")
    owner = _owner(note)
    if owner is None:
        take_over(path)
    return None if owner == os.getpid() else owner


def take_over(path: Path) -> None:
    """As `claim`, even if another process has it."""
    note = path.with_suffix(".writer")
    new = note.with_name(f".{secrets.token_hex(6)}.note")
    new.touch(0o600)
    new.write_text(json.dumps({"pid": os.getpid(), "started": psutil.Process().create_time()}))
    new.replace(note)


def release(path: Path) -> None:
    """The end of `claim`."""
    if _owner(note := path.with_suffix(".writer")) == os.getpid():
        note.unlink(missing_ok=True)


def writer_of(path: Path) -> int | None:
    """The id of another process that writes this journal or edits this image, or None."""
    owner = _owner(path.with_suffix(".writer"))
    return None if owner == os.getpid() else owner


def _owner(note: Path) -> int | None:
    """The process recorded in a claim, if it is still running; as ids are reused, its start time is compared
    too.
    """
    try:
        content = json.loads(note.read_text())
        pid, started = int(content["pid"]), float(content["started"])
        return pid if abs(psutil.Process(pid).create_time() - started) < 1 else None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, psutil.Error):
        return None
