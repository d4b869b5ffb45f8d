"""Values of DICOM attributes. pydicom converts them when they are first used, so each access may fail; all
such failures become `Garbled`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items
from pydicom.tag import BaseTag, Tag

from ctseg_imaging.errors import FormatError
from ctseg_imaging.geometry import Float

# What pydicom raises for damaged content, besides the OSError of a file that cannot be read.
UNREADABLE = (
    InvalidDicomError,
    BytesLengthException,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RuntimeError,
    EOFError,
    struct.error,
    zlib.error,
)


class Garbled(FormatError):
    """An attribute whose value is unusable. The value is not quoted, because it may identify the patient."""


@cache
def _tag(keyword: str | int) -> BaseTag:
    return Tag(keyword)


def values(headers: Sequence[Dataset], keyword: str | int) -> list[Any]:
    """The values of an attribute in the first dataset that has it; [] where none has. Raises Garbled."""
    tag = _tag(keyword)
    for header in headers:
        try:
            if tag not in header:  # a frame has many datasets, and each most attributes not
                continue
            value = header[tag].value
            if value is None or value == "" or value == b"":
                continue
            return list(value) if isinstance(value, (list, tuple, MultiValue, Items)) else [value]
        except (*UNREADABLE, OSError) as error:  # pydicom's word for bytes that end too early
            raise Garbled(f"{keyword} cannot be read") from error
    return []


def numbers(headers: Sequence[Dataset], keyword: str, count: int) -> Float | None:
    """`count` finite numbers, None where the attribute is missing or empty.

    Raises Garbled for anything else.
    """
    found = values(headers, keyword)
    if not found:
        return None
    try:
        array = np.array([float(number) for number in found], np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise Garbled(f"{keyword} is not a number") from error
    if len(array) != count:
        raise Garbled(f"{keyword} has {len(array)} value{'s' if len(array) > 1 else ''} instead of {count}")
    if not np.isfinite(array).all():
        raise Garbled(f"{keyword} is not finite")
    return array


def number(headers: Sequence[Dataset], keyword: str) -> float | None:
    """The first value as a finite number, None where it is missing. Raises Garbled."""
    found = values(headers, keyword)
    try:
        value = float(found[0]) if found else None
    except (ValueError, TypeError, OverflowError) as error:
        raise Garbled(f"{keyword} is not a number") from error
    if value is not None and not np.isfinite(value):
        raise Garbled(f"{keyword} is not finite")
    return value


def integer(headers: Sequence[Dataset], keyword: str) -> int | None:
    """The first value as a whole number, None where it is missing. Raises Garbled."""
    value = number(headers, keyword)
    if value is not None and not value.is_integer():
        raise Garbled(f"{keyword} is not a whole number")
    return None if value is None else int(value)


def words(headers: Sequence[Dataset], keyword: str | int) -> tuple[str, ...]:
    """The values as text without surrounding blanks; () where the attribute is missing or cannot be read."""
    try:
        return tuple(str(word).strip() for word in values(headers, keyword))
    except Garbled:
        return ()


def text(headers: Sequence[Dataset], keyword: str | int) -> str:
    """The values as one text, "" where there are none."""
    return " ".join(words(headers, keyword)).strip()


def items(header: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence, [] where it is missing. Raises Garbled."""
    found = values([header], keyword)
    if not all(isinstance(item, Dataset) for item in found):
        raise Garbled(f"{keyword} is not a sequence")
    return found
