"""Atomic writing: a file is complete or absent, and nothing is replaced without permission."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.disk.leftovers import part_name, sweep

VOLUMES = (
    ".nii",
    ".nii.gz",
    ".nrrd",
    ".nhdr",
    ".mha",
    ".mhd",
    ".json",
)  # not among the files of a DICOM series


@contextmanager
def atomic_path(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path in the same folder, with the same suffixes, that becomes `path` when the block ends
    without an error.

    The file written there is flushed to the disk and renamed; when the block raises an error, nothing is left
    behind. A symbolic link is followed to its file. Owner, mode and access lists of a replaced file are kept.
    Leftovers of killed processes of this machine are removed from the folder. Raises FormatError if `path`
    exists and `overwrite` is false or it is write-protected, if nothing was written, or for any OSError.
    """
    target = _followed(Path(path))
    _refuse_existing(target, overwrite)
    sweep(target.parent)
    temporary = target.with_name(part_name("".join(target.suffixes[-2:])))
    try:
        yield temporary
        _flush(temporary)
        _refuse_existing(target, overwrite)
        _inherit(target, temporary)
        temporary.replace(target)
    except OSError as error:
        raise FormatError(_sentence(target, error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    _flush_folder(target.parent)


@contextmanager
def atomic_folder(header: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """For formats of several files (.mhd + .zraw): a temporary folder next to `header` whose files move
    there, `header` last.

    Yields the path inside that folder under which `header` is to be written, with its own name. Owner and
    mode as in `atomic_path`. Raises FormatError if `header` would be overwritten and `overwrite` is false, if
    any other file would be overwritten unless `header` is, or for any OSError.
    """
    target = _followed(Path(header))
    _refuse_existing(target, overwrite)
    sweep(target.parent)
    others_too = overwrite and target.exists()
    folder = target.with_name(part_name(""))
    try:
        folder.mkdir()
        yield folder / target.name
        written = sorted(folder.iterdir(), key=lambda file: file.name == target.name)
        for file in written:
            place = target.with_name(file.name)
            _refuse_existing(place, overwrite if place == target else others_too)
            _flush(file)
            _inherit(place, file)
        for file in written:
            file.replace(target.with_name(file.name))
    except OSError as error:
        raise FormatError(_sentence(target, error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _flush_folder(target.parent)


def swap_in(partial: Path, target: Path) -> None:
    """Replace `target` by a finished folder next to it.

    The old folder is deleted only afterwards; on failure it is restored and OSError is raised.
    """
    if not target.exists():
        partial.replace(target)
        return
    old = target.with_name(
        f".{secrets.token_hex(6)}.old"
    )  # no leftover: after a crash here it is the only copy
    target.replace(old)
    try:
        partial.replace(target)
    except OSError:
        old.replace(target)
        raise
    if old.is_dir():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink()


def write_bytes(path: str | Path, content: bytes, overwrite: bool = False) -> None:
    """Write `content` to `path`, whole or not at all."""
    with atomic_path(path, overwrite) as temporary:
        temporary.write_bytes(content)


def refuse_sources(path: str | Path, sources: Iterable[Path]) -> None:
    """Raise FormatError if writing `path` would replace one of `sources`, or a DICOM file inside one that is
    a folder.

    Files are compared, not names: a link, a second name of the same file and another spelling are recognised.
    """
    target = Path(path)
    if not target.exists():
        return
    for source in sources:
        if _is_or_holds(source, target):
            raise FormatError(
                f"{path}: is one of the images to be read and would be overwritten; choose another name."
            )


def _is_or_holds(source: Path, target: Path) -> bool:
    try:
        if source.is_dir():
            return not target.name.lower().endswith(VOLUMES) and target.resolve().is_relative_to(
                source.resolve()
            )
        return source.samefile(target)
    except OSError:
        return False  # the source is gone


def _followed(path: Path) -> Path:
    """The file that a symbolic link leads to, whether or not it exists."""
    try:
        return path.resolve() if path.is_symlink() else path
    except (OSError, RuntimeError) as error:
        raise FormatError(
            f"{path}: is a link that leads nowhere; remove it or choose another name."
        ) from error


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if not path.exists():
        return
    if not overwrite:
        raise FormatError(f"{path}: exists already; choose another name or allow overwriting.")
    if path.is_dir():
        raise FormatError(f"{path}: is a folder; give the name of a file.")
    if not path.stat().st_mode & 0o222 or not os.access(path, os.W_OK):
        raise FormatError(
            f"{path}: is write-protected and was left as it is; choose another name or allow writing to it."
        )


def _inherit(target: Path, temporary: Path) -> None:
    """Give `temporary` the owner, access lists and mode of the file that it replaces.

    Raises FormatError where the owner cannot be kept.
    """
    if os.name == "nt" or not target.exists():
        return
    old, new = target.stat(), temporary.stat()
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        try:
            os.chown(temporary, old.st_uid, old.st_gid)
        except PermissionError as error:
            raise FormatError(
                f"{target}: belongs to another user or group and was left as it is; choose another name."
            ) from error
    for name in os.listxattr(target) if hasattr(os, "listxattr") else ():
        with suppress(OSError):  # some belong to the system
            os.setxattr(temporary, name, os.getxattr(target, name))
    temporary.chmod(stat.S_IMODE(old.st_mode))


def _flush(path: Path) -> None:
    """Flush what was written to the disk."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _flush_folder(folder: Path) -> None:
    """Flush the new name to the disk; not every system can, and the file exists in any case."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sentence(path: Path, error: OSError) -> str:
    if not path.parent.is_dir():
        return f"{path}: cannot be written, because its folder does not exist; make the folder first."
    reason = error.strerror or str(error)
    return f"{path}: cannot be written ({reason}); free some space or choose a folder that can be written to."
