"""A volume as NRRD and MetaImage describe it: what lies where in which files. Lengths along (x, y, z) and LPS
mm, as ITK has them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.disk.byte_streams import Piece, read_bytes, refuse_beyond_memory

LONGEST_HEADER = 1 << 20
UNKNOWN_ORIENTATION = (
    "Orientation unknown: the file names no anatomical space; left and right are not certain."
)
MOST_FILES = 100_000
_MM = {
    "": 1.0,
    "mm": 1.0,
    "millimeter": 1.0,
    "millimetre": 1.0,
    "um": 1e-3,
    "µm": 1e-3,
    "μm": 1e-3,
    "micron": 1e-3,
    "micrometer": 1e-3,
    "micrometre": 1e-3,
    "cm": 10.0,
    "centimeter": 10.0,
    "centimetre": 10.0,
    "m": 1000.0,
    "meter": 1000.0,
    "metre": 1000.0,
    "nm": 1e-6,
    "nanometer": 1e-6,
    "nanometre": 1e-6,
}


@dataclass(frozen=True)
class Stored:
    """Voxels in files and their grid.

    sizes : of every axis as stored, the fastest first. volume_axis : the one of `sizes` that counts volumes,
    None in a 3D file. dtype : with its byte order. text : the numbers are written out as text. each : bytes
    of voxels in each of `pieces`. spacing_mm, origin_lps_mm (x, y, z) and direction (3x3, column j the LPS
    direction of axis j) : as in SimpleITK. fields : free text of the header. notes : remarks, one sentence
    each.
    """

    sizes: tuple[int, ...]
    dtype: np.dtype[Any]
    pieces: tuple[Piece, ...]
    spacing_mm: tuple[float, float, float]
    origin_lps_mm: tuple[float, float, float]
    direction: NDArray[np.float64]
    volume_axis: int | None = None
    text: bool = False
    fields: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) of one volume."""
        x, y, z = (size for axis, size in enumerate(self.sizes) if axis != self.volume_axis)
        return z, y, x

    @property
    def affine_lps(self) -> NDArray[np.float64]:
        """4x4, from a (z, y, x) index to LPS mm."""
        affine = np.eye(4)
        affine[:3, :3] = self.direction[:, ::-1] * np.array(self.spacing_mm[::-1])
        affine[:3, 3] = self.origin_lps_mm
        return affine

    @property
    def volumes(self) -> int:
        return 1 if self.volume_axis is None else self.sizes[self.volume_axis]

    def read(self, path: Path, volume: int) -> tuple[NDArray[Any], tuple[str, ...]]:
        """The array (z, y, x) of a volume (from 0) in native byte order, and remarks.

        Raises FormatError if a voxel of the file is missing.
        """
        if self.text:
            return self._select(
                _numbers_in_text(path, self.pieces, self.dtype, math.prod(self.sizes)), volume
            ), ()
        total = math.prod(self.sizes) * self.dtype.itemsize
        each = total // len(self.pieces)
        if self.volume_axis in (None, len(self.sizes) - 1):
            size = total // self.volumes
            raw, notes = read_bytes(path, self.pieces, each, volume * size, size)
            array = raw.view(self.dtype).reshape(self.shape)
        else:
            raw, notes = read_bytes(path, self.pieces, each, 0, total)
            array = self._select(raw.view(self.dtype), volume)
        return array.astype(self.dtype.newbyteorder("="), copy=False), notes

    def _select(self, numbers: NDArray[Any], volume: int) -> NDArray[Any]:
        array = numbers.reshape(self.sizes[::-1])
        if self.volume_axis is None:
            return array
        return np.ascontiguousarray(np.take(array, volume, axis=len(self.sizes) - 1 - self.volume_axis))


class Fields(Mapping[str, str]):
    """The fields of a text header: names in lower case to values, with readers for numbers that name the
    field when it is at fault.
    """

    def __init__(self, path: Path, values: dict[str, str]) -> None:
        self.path, self._values = path, values

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def needed(self, *names: str) -> str:
        """The first of the fields `names` that is there. Raises FormatError if none is."""
        for name in names:
            if name in self._values:
                return self._values[name]
        raise FormatError(
            f"{self.path}: its header is damaged or cut off (it has no {names[0]}); copy or export it again."
        )

    def refuse(self, name: str, wanted: str) -> FormatError:
        return FormatError(
            f"{self.path}: its header is damaged ({name} is {self._values.get(name, '')[:60]!r}, not "
            f"{wanted}); "
            "copy or export it again."
        )

    def whole(self, name: str, default: int) -> int:
        (number,) = self.wholes(name, 1) if name in self._values else (default,)
        return number

    def wholes(self, name: str, count: int) -> tuple[int, ...]:
        words = self.needed(name).split()
        try:
            numbers = tuple(int(word) for word in words)
        except ValueError as error:
            raise self.refuse(name, _numbers(count, "whole ")) from error
        if len(numbers) != count or max(map(abs, numbers), default=0) > 2**62:
            raise self.refuse(name, _numbers(count, "whole "))
        return numbers

    def numbers(self, name: str, count: int) -> tuple[float, ...]:
        """`count` finite numbers."""
        try:
            numbers = tuple(float(word) for word in self.needed(name).split())
        except ValueError as error:
            raise self.refuse(name, _numbers(count)) from error
        if len(numbers) != count or not all(map(math.isfinite, numbers)):
            raise self.refuse(name, _numbers(count))
        return numbers


def data_files(path: Path, names: Sequence[str]) -> list[Path]:
    """The files of voxels next to `path`. Raises FormatError if one is missing, or there are more than
    anybody has.
    """
    if len(names) > MOST_FILES:
        raise FormatError(f"{path}: names {len(names)} data files; is its header damaged?")
    files = [path.parent / name for name in names]
    for file in files:
        if not file.is_file():
            raise FormatError(f"{path}: its data file {file.name} is missing; put it next to the header.")
    return files


def numbered_files(path: Path, pattern: str, low: int, high: int, step: int) -> list[str]:
    """The names that a pattern such as `slice%03d.raw` stands for. Raises FormatError if it is not a such
    pattern.
    """
    before, percent, after = pattern.partition("%")
    digits, _, rest = after.partition("d")
    if (
        not percent
        or not (digits == "" or digits.isdecimal())
        or "d" not in after
        or "%" in rest
        or len(digits) > 2
    ):
        raise FormatError(
            f"{path}: its pattern of data files {pattern[:60]!r} is none with one number (such as "
            "slice%03d.raw); "
            "list the files by name."
        )
    if step == 0 or abs(high - low) // abs(step) > MOST_FILES:
        raise FormatError(
            f"{path}: its pattern of data files counts from {low} to {high} by {step}; export it again."
        )
    filled = f"0{int(digits)}d" if digits.startswith("0") and digits.strip("0") else f"{digits.lstrip('0')}d"
    return [f"{before}{number:{filled}}{rest}" for number in range(low, high + (1 if step > 0 else -1), step)]


def mm_per(unit: str, path: Path) -> float:
    """How long a unit is. Raises FormatError for one that is not known."""
    word = unit.strip().strip('"').strip()
    known = _MM.get(word, _MM.get(word.lower(), _MM.get(word.lower().removesuffix("s"))))
    if known is None:
        raise FormatError(
            f"{path}: gives lengths in {word[:30]!r}, which is not a known unit (mm, um, cm, m); export it "
            "again in mm."
        )
    return known


def _numbers(count: int, kind: str = "") -> str:
    return f"one {kind}number" if count == 1 else f"{count} {kind}numbers"


def _numbers_in_text(path: Path, pieces: Sequence[Piece], dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    words: list[bytes] = []
    for piece in pieces:
        refuse_beyond_memory(path, 20 * piece.file.stat().st_size)
        with piece.file.open("rb") as file:
            file.seek(max(piece.offset, 0))
            words += file.read().replace(b",", b" ").split()
    if len(words) < count:
        raise FormatError(
            f"{path}: is cut off (its header promises {count} voxels, {len(words)} are there); copy or "
            "export it again."
        )
    try:
        return np.array(
            [int(word) for word in words[:count]]
            if dtype.kind in "iu"
            else [float(word) for word in words[:count]],
            dtype.newbyteorder("="),
        )
    except (ValueError, OverflowError) as error:
        raise FormatError(
            f"{path}: has voxels that are no numbers of its type ({dtype.name}); copy or export it again."
        ) from error
