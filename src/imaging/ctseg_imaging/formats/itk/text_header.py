"""The fields of a text header, as NRRD and MetaImage have them, read with errors that name the field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctseg_imaging.errors import FormatError

LONGEST_HEADER = 1 << 20
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


class Fields(Mapping[str, str]):
    """The fields of a text header: lower-case names to values, with methods that read numbers and name a
    faulty field in their errors.
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
        """The value of the first of the fields `names` that the header has.

        Raises FormatError if it has none.
        """
        for name in names:
            if name in self._values:
                return self._values[name]
        raise FormatError(
            f"{self.path}: its header is damaged or cut off (it has no {names[0]}); copy or export it again."
        )

    def refuse(self, name: str, wanted: str) -> FormatError:
        return FormatError(
            f"{self.path}: its header is damaged ({name} is {self._values.get(name, '')[:60]!r}, not "
            f"{wanted}); copy or export it again."
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


def mm_per(unit: str, path: Path) -> float:
    """The length of a unit in mm. Raises FormatError for an unknown unit."""
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


def decoded(header: bytes) -> str:
    """The text of a header in UTF-8, or in Latin-1 if it is not valid UTF-8."""
    try:
        return header.decode("utf-8")
    except UnicodeDecodeError:
        return header.decode("latin-1")


def sizes_of(fields: Fields, dimension: str, sizes: str) -> tuple[int, ...]:
    """The sizes of a 3D or 4D file, the fastest axis first. dimension, sizes : the names of the fields.

    Raises FormatError for other numbers of dimensions and for sizes below 1.
    """
    rank = fields.whole(dimension, 0)
    if rank == 2:
        raise FormatError(
            f"{fields.path}: is a 2D picture, not a volume; a stack with a slice spacing is needed."
        )
    if rank not in (3, 4):
        raise FormatError(
            f"{fields.path}: has {rank} dimensions, and a volume has 3; copy or export it again."
        )
    numbers = fields.wholes(sizes, rank)
    if min(numbers) < 1:
        raise fields.refuse(sizes, f"{rank} numbers above zero")
    return numbers


def refuse_components(fields: Fields, count: int) -> None:
    """Raise FormatError unless a voxel is one number."""
    if count != 1:
        raise FormatError(
            f"{fields.path}: has {count} numbers a voxel (colour or vectors); convert it to one first."
        )


def first_of(fields: Fields, names: tuple[str, ...]) -> str | None:
    """The first of `names` that the header has."""
    return next((name for name in names if name in fields), None)


def is_true(fields: Fields, *names: str, default: bool = False) -> bool:
    """The first of the fields `names` as a truth value; `default` without them. Raises FormatError."""
    name = first_of(fields, names)
    if name is None:
        return default
    word = fields[name].lower()
    if word not in ("true", "false", "1", "0", "t", "f", "yes", "no"):
        raise fields.refuse(name, "True or False")
    return word in ("true", "1", "t", "yes")
