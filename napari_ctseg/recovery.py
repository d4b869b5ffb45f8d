"""Edits kept beside the person's data until they are exported, so that a crash costs seconds of work.

One file an edited layer, in the person's own state folder. Its name is a hash of the image it belongs to; it holds voxels, grid and the
labels' names, and nothing of the file's name or header.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from platformdirs import user_state_path

from ctseg_imaging.errors import CtsegError, FormatError
from ctseg_imaging.formats.atomic import atomic_path
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Label, LabelMap, Labels


@dataclass(frozen=True)
class Kept:
    """Edits that wait to be restored. when : of the last save, local time."""

    path: Path
    when: datetime


def folder() -> Path:
    """Where the edits of this person are kept."""
    return user_state_path("napari-ctseg", appauthor=False) / "recovery"


def key_of(geometry: Geometry, source: Path | None) -> str:
    """What an image is known by when it is opened again: its place on the disk and its grid, hashed."""
    said = hashlib.sha256(str("" if source is None else source.resolve()).encode())
    said.update(np.array(geometry.shape, "<i8").tobytes() + geometry.affine_lps.astype("<f8").tobytes())
    return said.hexdigest()[:24]


def path_for(key: str, token: str) -> Path:
    """The file for one layer's edits on the image `key`. token : tells layers apart, also those of an earlier session."""
    return folder() / f"{key}-{token}.npz"


def save(path: Path, label_map: LabelMap) -> None:
    """Keep `label_map`, over what was kept before. Raises FormatError when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(f"{path.parent}: your edits cannot be kept there ({error.strerror}); make it writable.") from error
    labels = label_map.labels
    with atomic_path(path, overwrite=True) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, array=label_map.array, affine_lps=label_map.geometry.affine_lps,
                            values=np.array(labels.values, np.int64), names=np.array([label.name for label in labels], np.str_),
                            colours=np.array([label.colour for label in labels], np.str_),
                            contoured=np.array([label.contoured for label in labels], bool))


def find(key: str) -> tuple[Kept, ...]:
    """What is kept for an image, the newest first."""
    found = [Kept(path, datetime.fromtimestamp(path.stat().st_mtime)) for path in folder().glob(f"{key}-*.npz")]
    return tuple(sorted(found, key=lambda kept: kept.when, reverse=True))


def load(path: Path) -> LabelMap:
    """What was kept. Raises FormatError for a file that is damaged."""
    try:
        with np.load(path, allow_pickle=False) as parts:
            array, affine = parts["array"], parts["affine_lps"]
            entries = zip(parts["values"], parts["names"], parts["colours"], parts["contoured"], strict=True)
            labels = Labels(tuple(Label(int(value), str(name), str(colour), bool(there)) for value, name, colour, there in entries))
        return LabelMap(array, Geometry((int(array.shape[0]), int(array.shape[1]), int(array.shape[2])), affine), labels)
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile, CtsegError) as error:
        raise FormatError(f"{path}: the kept edits are damaged and cannot be restored; discard them.") from error


def discard(path: Path) -> None:
    """Forget what was kept; nothing happens if there is nothing."""
    path.unlink(missing_ok=True)
