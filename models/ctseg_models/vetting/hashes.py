"""SHA256SUMS: the hashes of the files that a bundle was published with."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ctseg_imaging.errors import BundleError

SUMS = "SHA256SUMS"


def sha256_of(*paths: Path) -> str:
    """Hex digest of the bytes of a file, or of several files one after the other."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(2**20):
                total.update(block)
    return total.hexdigest()


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS (the format of sha256sum) over every file below `folder`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def check_sums(folder: Path, *, needed: tuple[str, ...] = ()) -> None:
    """Compare every file with SHA256SUMS. needed : relative paths that must be listed.

    Raises BundleError naming the first file that is missing, differs, or is needed but not listed.
    """
    sums = folder / SUMS
    if not sums.is_file():
        raise BundleError(
            f"{folder}: SHA256SUMS is missing, so the weights cannot be checked; get the bundle again."
        )
    listed = {}
    for line in sums.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name or Path(name).is_absolute() or ".." in Path(name).parts:
            raise BundleError(
                f'{sums}: the line "{line[:80]}" is not a hash and file name; get the bundle again.'
            )
        listed[name] = digest
    for name in needed:
        if name not in listed:
            raise BundleError(
                f"{folder / name}: the file is not listed in SHA256SUMS, so it cannot be checked; get the "
                "bundle again."
            )
    for name, digest in listed.items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{path}: the file is listed in SHA256SUMS but missing; get the bundle again.")
        if sha256_of(path) != digest:
            raise BundleError(
                f"{path}: the hash is not the one in SHA256SUMS, so the file was damaged or changed; get the "
                "bundle again."
            )
