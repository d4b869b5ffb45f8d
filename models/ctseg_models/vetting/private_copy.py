"""A private copy of a bundle's files exactly as they were hashed, from which allowed code runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import weakref
from pathlib import Path

import platformdirs
import psutil

from ctseg_imaging.errors import BundleError
from ctseg_models.vetting.trust import hash_of_files

COMPILED = (".pyc", ".pyo")


def copies_folder() -> Path:
    """The folder of the copies of all running processes."""
    return platformdirs.user_cache_path("napari-ctseg", appauthor=False) / "running"


class PrivateCopy:
    """A copy of a bundle's folder under its own name, without compiled Python files; removed with this
    object.

    original : the bundle's folder. path : the copy. digest : the content hash of the bytes that were copied,
    compiled files included. Raises BundleError.
    """

    def __init__(self, original: Path) -> None:
        self.original = original
        try:
            outer = _new_folder()
        except OSError as error:
            raise BundleError(
                f"{copies_folder()}: {original.name} cannot be copied there to run its code "
                f"({error.strerror}); free some space, or make the folder writable."
            ) from error
        weakref.finalize(self, shutil.rmtree, outer, ignore_errors=True)
        self.path = outer / original.resolve().name
        self.digest = hash_of_files(original, lambda file, name: _copied(file, self.path / name))

    def of_original(self, error: BundleError) -> BundleError:
        """The same text with the bundle's folder instead of the copy."""
        return BundleError(str(error).replace(str(self.path), str(self.original)))


def sweep() -> None:
    """Remove the copies of processes that have ended."""
    for folder in copies_folder().glob("*-*-*"):
        if not _runs(folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def _new_folder() -> Path:
    """An empty folder that only this user can enter, named after this process."""
    place = copies_folder()
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o700)
    sweep()
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-{psutil.Process().create_time():.0f}-", dir=place))


def _runs(name: str) -> bool:
    """Whether the process that a copy is named after is still running, and is the same one."""
    pid, started, _ = name.split("-", 2)
    if not (pid.isdecimal() and started.isdecimal()):
        return True  # not a folder of ours
    try:
        return bool(abs(psutil.Process(int(pid)).create_time() - float(started)) < 2)
    except (psutil.NoSuchProcess, OverflowError):
        return False
    except psutil.AccessDenied:
        return True


def _copied(file: Path, target: Path) -> str:
    """The SHA-256 of the bytes that were copied; compiled files are hashed but not copied."""
    total = hashlib.sha256()
    compiled = file.suffix.lower() in COMPILED or "__pycache__" in target.parts
    with file.open("rb") as source:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with Path(os.devnull if compiled else target).open("wb") as copy:
                while block := source.read(2**20):
                    total.update(block)
                    copy.write(block)
        except OSError as error:
            raise BundleError(
                f"{target}: {file} cannot be copied there to run the bundle's code ({error.strerror}); free "
                "some space."
            ) from error
    return total.hexdigest()
