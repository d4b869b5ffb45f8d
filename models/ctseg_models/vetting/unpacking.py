"""Unpacks a bundle from a .zip: nothing is written outside the folder, and nothing grows without bounds."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ctseg_imaging.errors import BundleError

MOST_ENTRIES = 10_000
LARGEST_RATIO = 20  # unpacked to packed; weights hardly shrink at all
SMALL = 16 * 2**20  # bytes that are harmless whatever the ratio


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack `archive` into the empty `folder`; returns the folder of the bundle inside.

    Raises BundleError; `folder` may then hold some files.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = _checked(archive, opened.infolist())
            for entry in entries:
                target = folder.joinpath(*PurePosixPath(entry.filename).parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry) as source, target.open("xb") as out:
                    shutil.copyfileobj(source, out)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,
        NotImplementedError,
        ValueError,
        FileExistsError,
        NotADirectoryError,
        IsADirectoryError,
    ) as error:
        raise BundleError(f"{archive}: cannot be unpacked ({error}); get it again.") from error
    return _bundle_in(archive, folder)


def _checked(archive: Path, entries: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    """The files among the entries. Raises BundleError for names outside the folder, links, and zip bombs."""
    files = [entry for entry in entries if not entry.is_dir()]
    unpacked, packed = sum(entry.file_size for entry in files), sum(entry.compress_size for entry in files)
    if len(entries) > MOST_ENTRIES or (unpacked > SMALL and unpacked > LARGEST_RATIO * packed):
        raise BundleError(
            f"{archive}: would unpack to {len(entries)} files of {unpacked / 2**20:.0f} MB from "
            f"{packed / 2**20:.1f} MB, which no model does, so it was not unpacked; get it from its author."
        )
    if packed > archive.stat().st_size:
        raise BundleError(
            f"{archive}: its files share their bytes ({packed} packed in {archive.stat().st_size}), which no "
            "valid archive does, so it was not unpacked; get it from its author."
        )
    for entry in entries:
        name = PurePosixPath(entry.filename)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if (
            name.is_absolute()
            or ".." in name.parts
            or "\\" in entry.filename
            or ":" in entry.filename
            or not name.parts
        ):
            raise BundleError(
                f'{archive}: holds "{entry.filename[:80]}", which would be written outside the bundle\'s '
                "folder, so it was not "
                "unpacked; get it from its author."
            )
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise BundleError(
                f'{archive}: holds "{entry.filename[:80]}", which is a link or a device, not a file, so '
                "it was not unpacked; get it from its author."
            )
    return files


def _bundle_in(archive: Path, folder: Path) -> Path:
    """The folder below those that hold nothing but one folder, as archives often begin."""
    for _ in range(4):
        inside = [path for path in folder.iterdir() if path.name != "__MACOSX"]
        if len(inside) != 1 or not inside[0].is_dir():
            break
        folder = inside[0]
        if (folder / "configs").is_dir() or (folder / "plans.json").is_file():
            return folder
    if not any(folder.iterdir()):
        raise BundleError(f"{archive}: holds no files; give the archive of a bundle.")
    return folder
