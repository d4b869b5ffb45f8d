"""Writing so that a file is there whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ctseg_imaging.errors import FormatError


@contextmanager
def atomic_path(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path in the same folder, with the same suffixes, that becomes `path` when the block ends well.

    The file written there is flushed to the disk and renamed; when the block raises, nothing is left behind.
    Raises FormatError if `path` exists and `overwrite` is false, if nothing was written, or for any OSError.
    """
    target = Path(path)
    _refuse_existing(target, overwrite)
    suffixes = "".join(target.suffixes[-2:])
    temporary = target.with_name(f".{secrets.token_hex(6)}.part{suffixes}")
    try:
        yield temporary
        _flush(temporary)
        _refuse_existing(target, overwrite)
        temporary.replace(target)
        _flush(target.parent)
    except OSError as error:
        raise FormatError(_sentence(target, error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(header: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """For formats of several files (.mhd + .zraw): a temporary folder beside `header` whose files move there, `header` last.

    Yields the path inside that folder under which `header` is to be written, with its own name.
    Raises FormatError if any file would be overwritten and `overwrite` is false, or for any OSError.
    """
    target = Path(header)
    _refuse_existing(target, overwrite)
    folder = target.with_name(f".{secrets.token_hex(6)}.part")
    try:
        folder.mkdir()
        yield folder / target.name
        written = sorted(folder.iterdir(), key=lambda file: file.name == target.name)
        for file in written:
            _refuse_existing(target.with_name(file.name), overwrite)
            _flush(file)
        for file in written:
            file.replace(target.with_name(file.name))
        _flush(target.parent)
    except OSError as error:
        raise FormatError(_sentence(target, error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def swap_in(partial: Path, target: Path) -> None:
    """Put a finished folder beside `target` in its place; what was there goes only after that. Raises OSError, with the old one back."""
    if not target.exists():
        partial.replace(target)
        return
    old = target.with_name(f".{secrets.token_hex(6)}.old")
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


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise FormatError(f"{path}: exists already; choose another name or allow overwriting.")
    if path.is_dir():
        raise FormatError(f"{path}: is a folder; give the name of a file.")


def _flush(path: Path) -> None:
    """Have the disk keep what was written; folders cannot be flushed on every system, and need not be."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sentence(path: Path, error: OSError) -> str:
    if not path.parent.is_dir():
        return f"{path}: cannot be written, because its folder does not exist; make the folder first."
    reason = error.strerror or str(error)
    return f"{path}: cannot be written ({reason}); free some space or choose a folder that can be written to."
