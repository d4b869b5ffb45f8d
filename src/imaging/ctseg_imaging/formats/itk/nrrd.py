"""NRRD headers (.nrrd, .nhdr). Source: teem.sourceforge.net/nrrd/format.html."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.itk.nrrd_data import TEXT_ENCODINGS, pieces_of
from ctseg_imaging.formats.itk.nrrd_grid import grid_of
from ctseg_imaging.formats.itk.stored import Stored
from ctseg_imaging.formats.itk.text_header import Fields, decoded, sizes_of

_TYPES = {
    name: code
    for code, names in {
        "i1": "signed char|int8|int8_t",
        "u1": "uchar|unsigned char|uint8|uint8_t",
        "i2": "short|short int|signed short|signed short int|int16|int16_t",
        "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
        "i4": "int|signed int|int32|int32_t",
        "u4": "uint|unsigned int|uint32|uint32_t",
        "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
        "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
        "f4": "float",
        "f8": "double",
    }.items()
    for name in names.split("|")
}
_SAME = {
    "datafile": "data file",
    "lineskip": "line skip",
    "byteskip": "byte skip",
    "axismins": "axis mins",
    "centers": "centerings",
}


def layout(path: Path, start: bytes) -> Stored:
    """The volume that the header describes.

    start : the file's first bytes, at most LONGEST_HEADER. Raises FormatError if it is not a volume.
    """
    if not re.match(rb"NRRD000[1-5]\r?\n", start):
        raise FormatError(f"{path}: is not an NRRD file of version 1 to 5; is it an image?")
    fields, pairs, listed, offset = _parse(path, start)
    kind = _TYPES.get(" ".join(fields.needed("type").lower().split()))
    if kind is None:
        raise FormatError(
            f"{path}: its voxels are not plain numbers ({fields['type'][:30]}); convert it first."
        )
    sizes = sizes_of(fields, "dimension", "sizes")
    notes: list[str] = []
    grid = grid_of(fields, sizes, notes)
    spacing = np.sqrt((grid.axes**2).sum(axis=0))
    if (spacing == 0).any():
        raise FormatError(f"{path}: has a spacing of zero; export it again with its voxel size.")
    encoding = fields.get("encoding", "raw").lower()
    dtype = np.dtype(kind).newbyteorder(_order(fields, np.dtype(kind), encoding))
    return Stored(
        sizes,
        dtype,
        pieces_of(path, fields, sizes, encoding, listed, offset),
        tuple(spacing.tolist()),
        tuple(grid.origin.tolist()),
        grid.axes * (1 / spacing),
        grid.volume_axis,
        encoding in TEXT_ENCODINGS,
        pairs,
        tuple(notes),
    )


def _parse(path: Path, start: bytes) -> tuple[Fields, tuple[tuple[str, str], ...], list[str], int]:
    """Fields, key/value pairs, the data files that LIST names, and the byte at which voxels begin in this
    file.
    """
    end = re.search(rb"\r?\n\r?\n", start)
    values: dict[str, str] = {}
    pairs: list[tuple[str, str]] = []
    lines = decoded(start[: end.start() if end else len(start)]).splitlines()[1:]
    for number, line in enumerate(lines):
        if line.startswith("#"):
            continue
        if pair := re.match(r"([^:]+):=(.*)", line):
            pairs.append((_unescaped(pair[1]), _unescaped(pair[2])))
            continue
        name, colon, value = line.partition(":")
        name = _SAME.get(name.strip().lower(), name.strip().lower())
        if colon and values.setdefault(name, value.strip()) != value.strip():
            raise FormatError(f"{path}: its header gives {name[:30]} twice; copy or export it again.")
        if name == "data file" and value.strip().upper().startswith("LIST"):
            return (
                Fields(path, values),
                tuple(pairs),
                [line.strip() for line in lines[number + 1 :] if line.strip()],
                len(start),
            )
    return Fields(path, values), tuple(pairs), [], end.end() if end else len(start)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(n|\\)", lambda found: "\n" if found[1] == "n" else "\\", text)


def _order(fields: Fields, dtype: Any, encoding: str) -> Literal["<", ">", "="]:
    endian = fields.get("endian", "").lower()
    if endian in ("little", "big"):
        return "<" if endian == "little" else ">"
    if dtype.itemsize > 1 and encoding not in TEXT_ENCODINGS:
        raise fields.refuse("endian", "little or big")
    return "="
