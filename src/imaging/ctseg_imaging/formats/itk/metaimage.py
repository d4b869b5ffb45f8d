"""MetaImage headers (.mha, .mhd).

Source: itk.org/Wiki/ITK/MetaIO/Documentation; MetaIO's metaImage.cxx.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.itk.metaimage_data import pieces_of
from ctseg_imaging.formats.itk.stored import Stored
from ctseg_imaging.formats.itk.text_header import (
    Fields,
    decoded,
    first_of,
    is_true,
    mm_per,
    refuse_components,
    sizes_of,
)
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
    """The volume that the header describes.

    start : the file's first bytes, at most LONGEST_HEADER. Raises FormatError if it is not a volume.
    """
    if b"=" not in start[:4096]:
        raise FormatError(f"{path}: is not a MetaImage file; is it an image?")
    fields, free, names, offset = _parse(path, start)
    if fields.get("objecttype", "Image").lower() != "image":
        raise FormatError(f"{path}: is a MetaIO {fields['objecttype'][:30]!r}, not an image; give the image.")
    sizes = sizes_of(fields, "ndims", "dimsize")
    refuse_components(fields, fields.whole("elementnumberofchannels", 1))
    kind = _TYPES.get(fields.needed("elementtype"))
    if kind is None:
        raise FormatError(
            f"{path}: its voxels are not plain numbers ({fields['elementtype'][:30]}); convert it first."
        )
    dtype = np.dtype(kind).newbyteorder(
        ">" if is_true(fields, "elementbyteordermsb", "binarydatabyteordermsb") else "<"
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
    if (named := first_of(fields, _ORIGINS)) is not None:
        origin = [number * unit for number in fields.numbers(named, len(sizes))]
    direction = _direction(fields, len(sizes), notes)
    _doubts(fields, notes)
    return Stored(
        sizes,
        dtype,
        pieces_of(path, fields, sizes, dtype, names, offset, notes),
        (spacing[0], spacing[1], spacing[2]),
        (origin[0], origin[1], origin[2]),
        direction,
        3 if len(sizes) == 4 else None,
        not is_true(fields, "binarydata", default=True),
        free,
        tuple(notes),
    )


def _parse(path: Path, start: bytes) -> tuple[Fields, tuple[tuple[str, str], ...], list[str], int]:
    """The fields, those of them that MetaIO does not define, the lines after ElementDataFile, and the byte at
    which these begin.
    """
    values: dict[str, str] = {}
    free: list[tuple[str, str]] = []
    at = 0
    while at < len(start):
        end = start.find(b"\n", at)
        end = len(start) if end < 0 else end
        name, equals, value = decoded(start[at:end]).partition("=")
        name, value, at = name.strip(), value.strip(), end + 1
        key = name.lower()
        if key and equals and values.setdefault(key, value) != value:
            raise FormatError(f"{path}: its header gives {name[:30]} twice; copy or export it again.")
        if equals and key not in _KNOWN and "\0" not in name + value:
            free.append((name, value))
        if key == "elementdatafile" and equals:
            listed = (
                [line.strip() for line in decoded(start[at:]).splitlines()]
                if value.upper().startswith("LIST")
                else []
            )
            return Fields(path, values), tuple(free), listed, at
    raise FormatError(
        f"{path}: its header is damaged or cut off (it has no ElementDataFile); copy or export it again."
    )


def _spacing(fields: Fields, rank: int, notes: list[str]) -> tuple[float, ...]:
    name = first_of(fields, ("elementspacing", "elementsize"))
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
    name = first_of(fields, _ORIENTATIONS)
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
            f"AnatomicalOrientation is {letters[:3]} but the matrix gives {own}; the matrix was used, as ITK "
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
