"""MetaImage headers (.mha, .mhd): the grid, and where the voxels lie.

Source: itk.org/Wiki/ITK/MetaIO/Documentation; MetaIO's metaImage.cxx.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.disk.byte_streams import Encoding, Piece
from ctseg_imaging.formats.itk.stored import Fields, Stored, data_files, mm_per, numbered_files
from ctseg_imaging.geometry import Float

_TYPES = {
    "MET_CHAR": "i1",
    "MET_ASCII_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_KNOWN = frozenset(
    (
        "objecttype",
        "objectsubtype",
        "ndims",
        "name",
        "id",
        "parentid",
        "comment",
        "acquisitiondate",
        "color",
        "position",
        "offset",
        "origin",
        "orientation",
        "rotation",
        "transformmatrix",
        "centerofrotation",
        "distanceunits",
        "anatomicalorientation",
        "elementspacing",
        "elementsize",
        "dimsize",
        "headersize",
        "modality",
        "sequenceid",
        "elementmin",
        "elementmax",
        "elementnumberofchannels",
        "elementtype",
        "elementdatafile",
        "binarydata",
        "elementbyteordermsb",
        "binarydatabyteordermsb",
        "compresseddata",
        "compresseddatasize",
        "compressionlevel",
        "elementtointensityfunctionslope",
        "elementtointensityfunctionoffset",
    )
)
_ORIENTATIONS = ("transformmatrix", "rotation", "orientation")
_ORIGINS = ("offset", "position", "origin")
_LETTERS = (
    "RL",
    "AP",
    "IS",
)  # of an axis that runs towards plus, minus of LPS x, y, z: MetaIO names where it comes from


def layout(path: Path, start: bytes) -> Stored:
    """What the header says. start : the file's first bytes, LONGEST_HEADER or fewer. Raises FormatError for
    what cannot be a volume.
    """
    if b"=" not in start[:4096]:
        raise FormatError(f"{path}: is not a MetaImage file; is it an image?")
    fields, free, names, offset = _parse(path, start)
    if fields.get("objecttype", "Image").lower() != "image":
        raise FormatError(f"{path}: is a MetaIO {fields['objecttype'][:30]!r}, not an image; give the image.")
    sizes = _sizes(fields)
    kind = _TYPES.get(fields.needed("elementtype"))
    if kind is None:
        raise FormatError(
            f"{path}: its voxels are not plain numbers ({fields['elementtype'][:30]}); convert it first."
        )
    dtype = np.dtype(kind).newbyteorder(
        ">" if _is_true(fields, "elementbyteordermsb", "binarydatabyteordermsb") else "<"
    )
    notes: list[str] = []
    unit = mm_per(fields.get("distanceunits", "").replace("?", ""), path)
    if unit != 1:
        notes.append(
            f"Lengths are given in {fields['distanceunits']} and were converted to mm; SimpleITK and Slicer "
            "take them for mm."
        )
    spacing = [size * unit for size in _spacing(fields, len(sizes), notes)]
    origin = [0.0] * len(sizes)
    if (named := _first(fields, _ORIGINS)) is not None:
        origin = [number * unit for number in fields.numbers(named, len(sizes))]
    direction = _direction(fields, len(sizes), notes)
    _doubts(fields, notes)
    return Stored(
        sizes,
        dtype,
        _pieces(path, fields, sizes, dtype, names, offset, notes),
        (spacing[0], spacing[1], spacing[2]),
        (origin[0], origin[1], origin[2]),
        direction,
        3 if len(sizes) == 4 else None,
        not _is_true(fields, "binarydata", default=True),
        free,
        tuple(notes),
    )


def _parse(path: Path, start: bytes) -> tuple[Fields, tuple[tuple[str, str], ...], list[str], int]:
    """Fields, those of them that MetaIO does not know, the lines behind ElementDataFile, and the byte at
    which they begin.
    """
    values: dict[str, str] = {}
    free: list[tuple[str, str]] = []
    at = 0
    while at < len(start):
        end = start.find(b"\n", at)
        end = len(start) if end < 0 else end
        name, equals, value = _text(start[at:end]).partition("=")
        name, value, at = name.strip(), value.strip(), end + 1
        key = name.lower()
        if key and equals and values.setdefault(key, value) != value:
            raise FormatError(f"{path}: its header gives {name[:30]} twice; copy or export it again.")
        if equals and key not in _KNOWN and "\0" not in name + value:
            free.append((name, value))
        if key == "elementdatafile" and equals:
            listed = (
                [line.strip() for line in _text(start[at:]).splitlines()]
                if value.upper().startswith("LIST")
                else []
            )
            return Fields(path, values), tuple(free), listed, at
    raise FormatError(
        f"{path}: its header is damaged or cut off (it has no ElementDataFile); copy or export it again."
    )


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _sizes(fields: Fields) -> tuple[int, ...]:
    rank = fields.whole("ndims", 0)
    if rank == 2:
        raise FormatError(
            f"{fields.path}: is a 2D picture, not a volume; a stack with a slice spacing is needed."
        )
    if rank not in (3, 4):
        raise FormatError(
            f"{fields.path}: has {rank} dimensions (NDims), and a volume has 3; copy or export it again."
        )
    sizes = fields.wholes("dimsize", rank)
    if min(sizes) < 1:
        raise fields.refuse("dimsize", f"{rank} numbers above zero")
    if (channels := fields.whole("elementnumberofchannels", 1)) != 1:
        raise FormatError(
            f"{fields.path}: has {channels} numbers a voxel (colour or vectors); convert it to one first."
        )
    return sizes


def _spacing(fields: Fields, rank: int, notes: list[str]) -> tuple[float, ...]:
    name = _first(fields, ("elementspacing", "elementsize"))
    if name is None:
        notes.append("The file gives no voxel size; 1 mm was taken.")
        return (1.0,) * rank
    try:
        spacing = fields.numbers(name, rank)
    except FormatError as error:
        raise FormatError(
            f"{fields.path}: has the element spacing {fields[name][:60]!r}, which is not {rank} numbers; "
            "export it again."
        ) from error
    if min(spacing) <= 0:
        raise FormatError(
            f"{fields.path}: has the element spacing {fields[name]}, and a spacing must be above zero; "
            "export it again."
        )
    if (
        name == "elementspacing"
        and "elementsize" in fields
        and not np.allclose(fields.numbers("elementsize", rank), spacing, rtol=1e-3)
    ):
        notes.append("ElementSize and ElementSpacing disagree; the spacing was used.")
    return spacing


def _direction(fields: Fields, rank: int, notes: list[str]) -> Float:
    """3x3, column j the direction of axis j: the rows of the file's matrix."""
    name = _first(fields, _ORIENTATIONS)
    if name is None:
        notes.append("The file gives no orientation; axes along LPS were taken, as ITK does.")
        return np.eye(3)
    matrix = np.array(fields.numbers(name, rank * rank)).reshape(rank, rank)
    lengths = np.linalg.norm(matrix, axis=1)
    if np.abs(lengths - 1).max() > 0.01 or (rank == 4 and np.abs(matrix[3, :3]).max() > 0):
        raise FormatError(
            f"{fields.path}: its {name} is not a rotation, so the voxel size is not certain; export it again."
        )
    if np.abs(lengths - 1).max() > 1e-9:  # rounded when it was written
        matrix = matrix / lengths[:, None]
    direction: Float = matrix[:3, :3].T
    _compare_letters(fields.get("anatomicalorientation", ""), direction, notes)
    return direction


def _compare_letters(letters: str, direction: Float, notes: list[str]) -> None:
    if len(letters) < 3 or not set(letters[:3].upper()) <= set("RLAPIS"):
        return
    largest = np.abs(direction).argmax(axis=0)
    own = "".join(_LETTERS[lps][int(direction[lps, axis] < 0)] for axis, lps in enumerate(largest))
    if own != letters[:3].upper():
        notes.append(
            f"AnatomicalOrientation says {letters[:3]} and the matrix {own}; the matrix was used, as ITK "
            "does."
        )


def _doubts(fields: Fields, notes: list[str]) -> None:
    for name, plain in (("elementtointensityfunctionslope", 1.0), ("elementtointensityfunctionoffset", 0.0)):
        if name in fields and fields.numbers(name, 1) != (plain,):
            notes.append(
                "The file gives a slope or offset from stored numbers to intensities; the stored numbers "
                "were taken, as ITK does."
            )
            return


def _pieces(
    path: Path,
    fields: Fields,
    sizes: tuple[int, ...],
    dtype: np.dtype[Any],
    names: list[str],
    offset: int,
    notes: list[str],
) -> tuple[Piece, ...]:
    zipped = _is_true(fields, "compresseddata")
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
    """A remark about a compressed size that is not the true one; the stream itself is followed to its end."""
    if _is_true(fields, "compresseddata") and fields.whole("compresseddatasize", there) != there:
        notes.append(
            "CompressedDataSize is not the size of the compressed voxels; they were unpacked to their own "
            "end."
        )


def _first(fields: Fields, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in fields), None)


def _is_true(fields: Fields, *names: str, default: bool = False) -> bool:
    name = _first(fields, names)
    if name is None:
        return default
    word = fields[name].lower()
    if word not in ("true", "false", "1", "0", "t", "f", "yes", "no"):
        raise fields.refuse(name, "True or False")
    return word in ("true", "1", "t", "yes")
