"""A file of frames, each with its length and checksum; a truncated file is read up to its last complete
frame.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Container, Iterator
from enum import IntEnum
from pathlib import Path

MAGIC = b"CTSEGJ1\n"
_HEAD = struct.Struct("<BQI")  # kind, length of the payload, CRC-32 of all the rest


class FrameKind(IntEnum):
    """The content of a frame: JSON, or the output of patches.pack."""

    HEADER = 1  # JSON: grid, view, data type, image, edits so far
    PAST = 2  # a gesture that can be undone; it is in the base already
    FUTURE = 3  # a gesture that can be redone
    BASE = 4  # a few slices of the array as it was
    BASE_END = 5
    PART = 6  # a patch of the gesture under way
    GESTURE = 7  # JSON: the gesture under way ends
    ABORT = 8  # the gesture under way is taken back
    UNDO = 9  # a patch: what undo wrote
    REDO = 10  # a patch: what redo wrote
    LABELS = 11  # JSON: names and colours changed
    REVIEW = 12  # JSON: the review marks changed


_KNOWN = frozenset(int(kind) for kind in FrameKind)


def frame(kind: FrameKind, payload: bytes = b"") -> bytes:
    """One frame as stored in the file."""
    return _HEAD.pack(kind, len(payload), _checksum(kind, payload)) + payload


def frames(path: Path) -> Iterator[tuple[FrameKind, bytes]]:
    """The complete frames of a file, in order, up to the first damaged one. Raises OSError."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            return
        while len(head := stream.read(_HEAD.size)) == _HEAD.size:
            kind, length, checksum = _HEAD.unpack(head)
            if length > size - stream.tell() or kind not in _KNOWN:
                return
            payload = stream.read(length)
            if _checksum(kind, payload) != checksum:
                return
            yield FrameKind(kind), payload


def heads(path: Path, wanted: Container[FrameKind] = ()) -> Iterator[tuple[FrameKind, bytes]]:
    """As `frames`, but only the payloads of the `wanted` kinds are read; the others are empty and unchecked.
    Raises OSError.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            return
        while len(head := stream.read(_HEAD.size)) == _HEAD.size:
            kind, length, checksum = _HEAD.unpack(head)
            if length > size - stream.tell() or kind not in _KNOWN:
                return
            payload = b""
            if kind in wanted:
                payload = stream.read(length)
                if _checksum(kind, payload) != checksum:
                    return
            else:
                stream.seek(length, 1)
            yield FrameKind(kind), payload


def _checksum(kind: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(struct.pack("<BQ", kind, len(payload))))
