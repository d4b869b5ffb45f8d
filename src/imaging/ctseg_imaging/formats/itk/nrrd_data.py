"""Where the voxels of an NRRD file lie: in the file itself, in another, in a list or in a numbered series."""

from __future__ import annotations

import math
from pathlib import Path

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.disk.byte_streams import Encoding, Piece
from ctseg_imaging.formats.itk.data_files import data_files, numbered_files
from ctseg_imaging.formats.itk.text_header import Fields

_ENCODINGS: dict[str, Encoding] = {
    "raw": "raw",
    "gzip": "gzip",
    "gz": "gzip",
    "bzip2": "bzip2",
    "bz2": "bzip2",
    "hex": "hex",
}
TEXT_ENCODINGS = ("ascii", "txt", "text")


def pieces_of(
    path: Path, fields: Fields, sizes: tuple[int, ...], encoding: str, listed: list[str], offset: int
) -> tuple[Piece, ...]:
    """The parts of files that hold the voxels.

    listed : the files that LIST names. offset : the byte at which voxels begin in `path`. Raises FormatError
    if they cannot hold `sizes`.
    """
    if encoding not in (*_ENCODINGS, *TEXT_ENCODINGS):
        raise FormatError(
            f"{path}: has the unknown encoding {encoding[:30]!r}; export it again as raw or gzip."
        )
    packing = _ENCODINGS.get(encoding, "raw")
    lines, skip = fields.whole("line skip", 0), fields.whole("byte skip", 0)
    if lines < 0 or skip < -1 or (skip == -1 and encoding != "raw"):
        raise fields.refuse("byte skip", "a number of bytes, or -1 with raw voxels")
    name = fields.get("data file")
    if name is None:
        if path.suffix.lower() == ".nhdr" and offset >= path.stat().st_size:
            raise FormatError(f"{path}: its header names no data file; export it again.")
        places = [(path, offset)]
    else:
        places = [(file, 0) for file in data_files(path, _names(path, fields, sizes, listed))]
    return tuple(_piece(path, file, start, lines, skip, packing) for file, start in places)


def _piece(path: Path, file: Path, start: int, lines: int, skip: int, encoding: Encoding) -> Piece:
    """Lines are skipped before unpacking, bytes after it; a `skip` of -1 stands for the last bytes of the
    file.
    """
    if lines:
        with file.open("rb") as stream:
            stream.seek(start)
            for _ in range(lines):
                if not stream.readline():
                    raise FormatError(
                        f"{path}: has a line skip of {lines}, but {file.name} has fewer lines; export it "
                        "again."
                    )
            start = stream.tell()
    if skip == -1:
        return Piece(file, -1, encoding)
    return Piece(file, start + skip, encoding) if encoding == "raw" else Piece(file, start, encoding, skip)


def _names(path: Path, fields: Fields, sizes: tuple[int, ...], listed: list[str]) -> list[str]:
    """The data files: one, a list or a pattern; several hold equal parts of the slowest axis."""
    name = fields["data file"]
    words = name.split()
    if words and words[0].upper() == "LIST":
        return _equal_parts(path, listed, sizes, fields, words[1:])
    if "%" in name and len(words) >= 4:
        low, high, step = Fields(path, {"data file": " ".join(words[1:4])}).wholes("data file", 3)
        return _equal_parts(path, numbered_files(path, words[0], low, high, step), sizes, fields, words[4:])
    return [name]


def _equal_parts(
    path: Path, names: list[str], sizes: tuple[int, ...], fields: Fields, given: list[str]
) -> list[str]:
    """`names`, if there are as many as the dimensions need: one for each index of the slowest axis, or as
    "subdim" specifies.
    """
    subdim = given[0] if given else ""
    if subdim and not (subdim.isdecimal() and 1 <= int(subdim) <= len(sizes)):
        raise fields.refuse("data file", "a number of dimensions at its end")
    dimensions = int(subdim) if subdim else len(sizes) - 1
    whole = math.prod(sizes[dimensions:])
    if dimensions == len(sizes):  # blocks of the slowest axis, as many as there are files
        whole = len(names) if names and sizes[-1] % len(names) == 0 else 0
    if len(names) != whole or not names:
        raise FormatError(
            f"{path}: names {len(names)} data files, and its dimensions need "
            f"{whole or 'an equal part in each'}; name every file."
        )
    return names
