"""NRRD headers (.nrrd, .nhdr): the grid, and where the voxels lie. Source:
teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.disk.byte_streams import Encoding, Piece
from ctseg_imaging.formats.itk.stored import (
    UNKNOWN_ORIENTATION,
    Fields,
    Stored,
    data_files,
    mm_per,
    numbered_files,
)
from ctseg_imaging.geometry import Float

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
_ENCODINGS: dict[str, Encoding] = {
    "raw": "raw",
    "gzip": "gzip",
    "gz": "gzip",
    "bzip2": "bzip2",
    "bz2": "bzip2",
    "hex": "hex",
}
_TEXT = ("ascii", "txt", "text")
_SAME = {
    "datafile": "data file",
    "lineskip": "line skip",
    "byteskip": "byte skip",
    "axismins": "axis mins",
    "centers": "centerings",
}
_TO_LPS = {
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
}
_NO_ANATOMY = ("scanner-xyz", "3d-right-handed", "3d-left-handed")
_VECTOR = re.compile(r"\([^()]*\)|none", re.IGNORECASE)
_COMPONENTS = ("complex", "quaternion", "matrix", "color", "vector", "normal", "gradient", "point", "stub")


@dataclass(frozen=True)
class _Grid:
    """Along the spatial axes (x, y, z), in LPS mm. axes : columns of length spacing. volume_axis : None in a
    3D file.
    """

    axes: Float
    origin: Float
    volume_axis: int | None


def layout(path: Path, start: bytes) -> Stored:
    """What the header says. start : the file's first bytes. Raises FormatError for what cannot be a
    volume.
    """
    if not re.match(rb"NRRD000[1-5]\r?\n", start):
        raise FormatError(f"{path}: is not an NRRD file of a version known here; is it an image?")
    fields, pairs, listed, offset = _parse(path, start)
    kind = _TYPES.get(" ".join(fields.needed("type").lower().split()))
    if kind is None:
        raise FormatError(
            f"{path}: its voxels are not plain numbers ({fields['type'][:30]}); convert it first."
        )
    rank = fields.whole("dimension", 0)
    if rank == 2:
        raise FormatError(f"{path}: is a 2D picture, not a volume; a stack with a slice spacing is needed.")
    if rank not in (3, 4):
        raise FormatError(f"{path}: has {rank} dimensions, and a volume has 3; copy or export it again.")
    sizes = fields.wholes("sizes", rank)
    if min(sizes) < 1:
        raise fields.refuse("sizes", f"{rank} numbers above zero")
    notes: list[str] = []
    grid = _grid(fields, sizes, notes)
    spacing = np.sqrt((grid.axes**2).sum(axis=0))
    if (spacing == 0).any():
        raise FormatError(f"{path}: has a spacing of zero; export it again with its voxel size.")
    encoding = fields.get("encoding", "raw").lower()
    dtype = np.dtype(kind).newbyteorder(_order(fields, np.dtype(kind), encoding))
    return Stored(
        sizes,
        dtype,
        _pieces(path, fields, sizes, encoding, listed, offset),
        tuple(spacing.tolist()),
        tuple(grid.origin.tolist()),
        grid.axes * (1 / spacing),
        grid.volume_axis,
        encoding in _TEXT,
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
    lines = _text(start[: end.start() if end else len(start)]).splitlines()[1:]
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


def _text(header: bytes) -> str:
    try:
        return header.decode("utf-8")
    except UnicodeDecodeError:
        return header.decode("latin-1")


def _unescaped(text: str) -> str:
    return re.sub(r"\\(n|\\)", lambda found: "\n" if found[1] == "n" else "\\", text)


def _grid(fields: Fields, sizes: tuple[int, ...], notes: list[str]) -> _Grid:
    if "space directions" in fields:
        return _in_a_space(fields, sizes, notes)
    volume_axis = _by_kind(fields, sizes)
    spatial = [axis for axis in range(len(sizes)) if axis != volume_axis]
    notes.append(UNKNOWN_ORIENTATION)
    spacing = _per_axis(fields, "spacings", spatial, len(sizes))
    if spacing is None:
        notes.append("The file gives no voxel size; 1 mm was taken.")
        spacing = np.ones(3)
    if (spacing <= 0).any():
        raise FormatError(
            f"{fields.path}: has the spacings {fields['spacings'][:60]}, and a spacing must be above zero; "
            "export it again."
        )
    origin = _per_axis(fields, "axis mins", spatial, len(sizes))
    scale = _units(fields, "units", len(sizes), notes)[spatial]
    return _Grid(np.diag(spacing * scale), (np.zeros(3) if origin is None else origin) * scale, volume_axis)


def _per_axis(fields: Fields, name: str, spatial: list[int], rank: int) -> Float | None:
    if name not in fields:
        return None
    words = fields[name].split()
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError as error:
        raise fields.refuse(name, f"{rank} numbers") from error
    if len(numbers) != rank or not np.isfinite(numbers[spatial]).all():
        raise fields.refuse(name, f"{rank} numbers (a spacing for every spatial axis)")
    return numbers[spatial]


def _in_a_space(fields: Fields, sizes: tuple[int, ...], notes: list[str]) -> _Grid:
    """From directions and origin in the patient's space, or in one that only has numbers."""
    space = fields.get("space", "").lower().removesuffix("-time")
    timed = "-time" in fields.get("space", "").lower() or (space in ("rast", "last", "lpst"))
    space = space.removesuffix("t") if space in ("rast", "last", "lpst") else space
    if space not in _TO_LPS:
        if space and space not in _NO_ANATOMY:
            raise fields.refuse("space", "a space of the NRRD format")
        notes.append(UNKNOWN_ORIENTATION)
    dimensions = 3 + timed if space else fields.whole("space dimension", 3)
    if dimensions not in (3, 4):
        raise fields.refuse("space dimension", "3")
    vectors = _vectors(fields, "space directions", dimensions)
    if len(vectors) != len(sizes):
        raise fields.refuse("space directions", f"{len(sizes)} vectors")
    volume_axis = _volume_axis(fields, sizes, vectors)
    given = [vector for axis, vector in enumerate(vectors) if axis != volume_axis]
    origin = (
        _vectors(fields, "space origin", dimensions) if "space origin" in fields else [np.zeros(dimensions)]
    )
    if len(given) != 3 or any(vector is None for vector in given) or len(origin) != 1 or origin[0] is None:
        raise fields.refuse("space directions", "a vector for each of three spatial axes")
    axes = np.array(given)
    if np.abs(axes[:, 3:]).max(initial=0) > 0:
        raise fields.refuse("space directions", "vectors that do not run along time")
    to_mm = _units(fields, "space units", dimensions, notes)[:3] * np.array(_TO_LPS.get(space, (1, 1, 1)))
    return _Grid((axes[:, :3] * to_mm).T, origin[0][:3] * to_mm, volume_axis)


def _volume_axis(fields: Fields, sizes: tuple[int, ...], vectors: list[Any]) -> int | None:
    """The axis without a direction in space; of four directions the last."""
    without = [
        axis for axis, vector in enumerate(vectors) if vector is None or not np.abs(vector[:3]).max() > 0
    ]
    if len(sizes) == 3 or len(without) != 1:
        return None
    _refuse_components(fields, without[0], sizes)
    return without[0]


def _by_kind(fields: Fields, sizes: tuple[int, ...]) -> int | None:
    """The axis of volumes in a file without directions: the one that is not called spatial, else the last of
    four.
    """
    if len(sizes) == 3:
        kinds = fields.get("kinds", "").lower().split()
        if any(kind not in ("domain", "space", "???", "none") for kind in kinds):
            raise FormatError(
                f"{fields.path}: is a 2D picture of several numbers a pixel, not a volume; convert it first."
            )
        return None
    kinds = fields.get("kinds", "").lower().split()
    other = [axis for axis, kind in enumerate(kinds[:4]) if kind not in ("domain", "space", "???", "none")]
    axis = other[0] if len(other) == 1 else 3
    _refuse_components(fields, axis, sizes)
    return axis


def _refuse_components(fields: Fields, axis: int, sizes: tuple[int, ...]) -> None:
    kinds = fields.get("kinds", "").lower().split()
    kind = kinds[axis] if axis < len(kinds) else ""
    if sizes[axis] > 1 and (any(word in kind for word in _COMPONENTS) or "-" in kind):
        raise FormatError(
            f"{fields.path}: has {sizes[axis]} numbers a voxel (colour or vectors); convert it to one first."
        )


def _vectors(fields: Fields, name: str, dimensions: int) -> list[Any]:
    """Vectors of `dimensions` finite numbers, None for "none"."""
    found: list[Any] = []
    for word in _VECTOR.findall(fields[name]):
        if word.lower() == "none":
            found.append(None)
            continue
        try:
            vector = np.array([float(number) for number in word.strip("()").split(",")])
        except ValueError as error:
            raise fields.refuse(name, "vectors of numbers") from error
        if (
            vector.shape != (dimensions,)
            or not np.isfinite(vector[:3]).all()
            or np.abs(vector[:3]).max() > 1e100
        ):
            if np.isnan(vector).all():  # an axis without a direction, as some programs write it
                found.append(None)
                continue
            raise fields.refuse(name, f"vectors of {dimensions} numbers")
        found.append(vector)
    return found


def _units(fields: Fields, name: str, count: int, notes: list[str]) -> Float:
    """mm in each unit of `name`, 1 where none is given."""
    if name not in fields:
        return np.ones(count)
    words = re.findall(r'"([^"]*)"', fields[name])
    if len(words) != count:
        raise fields.refuse(name, f"{count} units in quotes")
    scale = np.array(
        [
            mm_per(word, fields.path) if axis < 3 or (name == "units" and word in _LENGTHS) else 1.0
            for axis, word in enumerate(words)
        ]
    )
    if (scale != 1).any():
        notes.append(
            f"Lengths are given in {', '.join(dict.fromkeys(words))} and were converted to mm; "
            "SimpleITK and Slicer take them for mm."
        )
    return scale


_LENGTHS = ("um", "mm", "cm", "m")


def _order(fields: Fields, dtype: Any, encoding: str) -> Literal["<", ">", "="]:
    endian = fields.get("endian", "").lower()
    if endian in ("little", "big"):
        return "<" if endian == "little" else ">"
    if dtype.itemsize > 1 and encoding not in _TEXT:
        raise fields.refuse("endian", "little or big")
    return "="


def _pieces(
    path: Path, fields: Fields, sizes: tuple[int, ...], encoding: str, listed: list[str], offset: int
) -> tuple[Piece, ...]:
    if encoding not in (*_ENCODINGS, *_TEXT):
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
    """Lines are skipped before anything is unpacked, bytes after it; -1 stands for the last bytes of the
    file.
    """
    if lines:
        with file.open("rb") as stream:
            stream.seek(start)
            for _ in range(lines):
                if not stream.readline():
                    raise FormatError(
                        f"{path}: is to skip {lines} lines of {file.name}, which has fewer; export it again."
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
    """`names` if they are as many as the dimensions need: one for each of the slowest axis, or as "subdim"
    says.
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
            f"{whole or 'an equal part in each'}; "
            "name every file."
        )
    return names
