"""Where the voxels of a MetaImage lie: in the file itself, in another, in a list or in a numbered series."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.disk.byte_streams import Encoding, Piece
from ctseg_imaging.formats.itk.data_files import data_files, numbered_files
from ctseg_imaging.formats.itk.text_header import Fields, is_true


def pieces_of(
    path: Path,
    fields: Fields,
    sizes: tuple[int, ...],
    dtype: np.dtype[Any],
    names: list[str],
    offset: int,
    notes: list[str],
) -> tuple[Piece, ...]:
    """The parts of files that hold the voxels.

    names : the lines after ElementDataFile. offset : the byte at which they begin. Raises FormatError if they
    cannot hold `sizes`.
    """
    zipped = is_true(fields, "compresseddata")
    encoding: Encoding = "zlib" if zipped else "raw"
    skip = fields.whole("headersize", 0)
    if skip < -1 or (skip == -1 and zipped):
        raise fields.refuse("headersize", "a number of bytes")
    name = fields["elementdatafile"]
    words = name.split()
    if name.upper() == "LOCAL":
        _compare_size(fields, path.stat().st_size - offset, notes)
        return (Piece(path, offset, encoding),)
    if words and words[0].upper() == "LIST":
        count = _files_of(fields, words[1:], sizes)
        listed = [line for line in names if line][:count]
        if len(listed) < count:
            raise FormatError(
                f"{path}: lists {len(listed)} data files, and its dimensions need {count}; list every file."
            )
    elif "%" in name:
        numbers = Fields(path, {"elementdatafile": " ".join(words[1:])}).wholes(
            "elementdatafile", len(words) - 1
        )
        low, high, step = (*numbers, *(1, sizes[-1], 1)[len(numbers) :])[:3]
        listed = numbered_files(path, words[0], low, high, step)
        if len(listed) != sizes[-1]:
            raise FormatError(
                f"{path}: its pattern names {len(listed)} data files, and its dimensions need {sizes[-1]}; "
                "export it again."
            )
    else:
        listed = [name]
    files = data_files(path, listed)
    if len(files) == 1:
        _compare_size(fields, files[0].stat().st_size, notes)
    return tuple(Piece(file, skip, encoding) for file in files)


def _files_of(fields: Fields, words: list[str], sizes: tuple[int, ...]) -> int:
    """How many files LIST needs: one for each slice, or for each block of the dimensions that it gives ("LIST
    3D").
    """
    given = words[0].upper().removesuffix("D") if words else str(len(sizes) - 1)
    if not given.isdecimal() or not 1 <= int(given) <= len(sizes):
        raise fields.refuse("elementdatafile", "LIST and a number of dimensions")
    return math.prod(sizes[int(given) :])


def _compare_size(fields: Fields, there: int, notes: list[str]) -> None:
    """Add a note about a wrong compressed size; the stream itself is read to its end."""
    if is_true(fields, "compresseddata") and fields.whole("compresseddatasize", there) != there:
        notes.append(
            "CompressedDataSize is not the size of the compressed voxels; they were unpacked completely."
        )
