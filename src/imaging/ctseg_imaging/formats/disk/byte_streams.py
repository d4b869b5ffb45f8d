"""The bytes of voxels, from one file or several, raw or compressed. No missing byte is made up."""

from __future__ import annotations

import bz2
import math
import zlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

import numpy as np
import psutil
from numpy.typing import NDArray

from ctseg_imaging.errors import FormatError

Encoding = Literal["raw", "zlib", "gzip", "bzip2", "hex"]
_CHUNK = 1 << 20
_LARGEST_RATIO = 1040  # deflate gives at most 1032 bytes for one
_MOST_SURPLUS = 64 << 20  # unpacked bytes after the voxels that are still counted
_MAGIC = {"gzip": b"\x1f\x8b", "bzip2": b"BZh"}
_GZIP, _GZIP_OR_ZLIB = zlib.MAX_WBITS | 16, zlib.MAX_WBITS | 32


class Damaged(Exception):
    """A compressed stream that does not follow its own format, or ends early."""


@dataclass(frozen=True)
class Piece:
    """A file with voxels.

    offset : bytes before the stream, -1 where raw voxels are the file's last bytes. skip : unpacked bytes
    between the start of the stream and the voxels.
    """

    file: Path
    offset: int = 0
    encoding: Encoding = "raw"
    skip: int = 0


class ByteStream:
    """The unpacked bytes of an open file.

    garbage : bytes after a compressed stream that are not part of it, known once it has been read to its end.
    """

    def __init__(self, file: IO[bytes], encoding: Encoding) -> None:
        self._file, self._encoding = file, encoding
        self._chunks, self._held = self._unpacked(), b""
        self.garbage = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes in parts; fewer only where the stream ends. Raises Damaged, OSError."""
        while size > 0:
            chunk = self._held or next(self._chunks, b"")
            if not chunk:
                return
            self._held = chunk[size:]
            size -= len(chunk)
            yield chunk[: len(chunk) - len(self._held)] if self._held else chunk

    def read(self, size: int) -> bytes:
        return b"".join(self.pieces(size))

    def skip(self, size: int) -> int:
        """Skip `size` bytes and return how many there were."""
        return sum(map(len, self.pieces(size)))

    def fill(self, target: NDArray[np.uint8]) -> int:
        """Fill `target` and return how many bytes there were."""
        at = 0
        for chunk in self.pieces(target.size):
            target[at : at + len(chunk)] = np.frombuffer(chunk, np.uint8)
            at += len(chunk)
        return at

    def _unpacked(self) -> Iterator[bytes]:
        if self._encoding == "raw":
            return iter(lambda: self._file.read(_CHUNK), b"")
        if self._encoding == "hex":
            return self._hex()
        return self._inflated()

    def _inflated(self) -> Iterator[bytes]:
        """Chunks of every member of the stream, each of which is checked by its own checksum."""
        packed = self._file.read(_CHUNK)
        while True:
            packed = yield from self._member(packed)
            magic = _MAGIC.get(self._encoding, b"")
            packed = self._next_member(packed)
            if not magic or not packed.startswith(magic):
                break
        self.garbage = len(packed) + len(self._file.read(_MOST_SURPLUS))

    def _member(self, packed: bytes) -> Generator[bytes, None, bytes]:
        """One member, a bounded chunk at a time; returns the packed bytes after it."""
        unpack = _decompressor(self._encoding)
        while not unpack.eof:
            ended = False
            if not packed and getattr(unpack, "needs_input", True):
                packed = self._file.read(_CHUNK)
                ended = not packed
            try:
                chunk = unpack.decompress(packed, _CHUNK)
            except (zlib.error, OSError, EOFError, ValueError) as error:
                raise Damaged from error
            if chunk:
                yield chunk
            elif ended and not unpack.eof:
                raise Damaged
            packed = getattr(unpack, "unconsumed_tail", b"")
        rest: bytes = unpack.unused_data
        return rest

    def _next_member(self, packed: bytes) -> bytes:
        """Packed bytes without the zeros that tapes and archives leave between members."""
        while not (packed := packed.lstrip(b"\0")) or len(packed) < 3:
            more = self._file.read(_CHUNK)
            if not more:
                break
            packed += more
        return packed

    def _hex(self) -> Iterator[bytes]:
        odd = b""
        while text := self._file.read(_CHUNK):
            digits = odd + b"".join(text.split())
            odd = digits[len(digits) // 2 * 2 :]
            try:
                yield bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii"))
            except ValueError as error:
                raise Damaged from error
        if odd:
            raise Damaged


def open_stream(piece: Piece) -> ByteStream:
    """The stream of a piece, at its first voxel. Raises OSError, Damaged."""
    file = piece.file.open("rb")
    file.seek(piece.offset)
    stream = ByteStream(file, piece.encoding)
    stream.skip(piece.skip)
    return stream


def read_bytes(
    path: Path, pieces: Sequence[Piece], each: int, first: int, size: int
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Bytes [first, first + size) of the voxels that `pieces` hold one after the other, `each` bytes in each,
    and remarks.

    Every piece is read to its end. path : the file to name. Raises FormatError if bytes are missing, damaged
    or do not fit into memory.
    """
    for piece in pieces:
        refuse_impossible(path, piece, each)
    refuse_beyond_memory(path, size)
    found = np.empty(size, np.uint8)
    notes: dict[str, None] = {}
    for number, piece in enumerate(pieces):
        low, high = (min(max(edge - number * each, 0), each) for edge in (first, first + size))
        target = (
            found[number * each + low - first : number * each + high - first] if high > low else found[:0]
        )
        notes.update(dict.fromkeys(_take(path, piece, each, low, target)))
    return found, tuple(notes)


def take(
    path: Path, stream: ByteStream, total: int, low: int, target: NDArray[np.uint8], name: str = ""
) -> tuple[str, ...]:
    """Fill `target` with the bytes from `low` on of the next `total` bytes of `stream`, read the stream to
    its end and return remarks.

    name : of the file among several that hold the voxels of `path`. Raises FormatError if one of `total`
    bytes is missing.
    """
    where = f" in {name}" if name else ""
    try:
        there = stream.skip(low)
        there += stream.fill(target)
        there += stream.skip(total - low - target.size)
        surplus = stream.skip(_MOST_SURPLUS) if there == total else 0
    except Damaged as error:
        raise FormatError(
            f"{path}: its compressed voxels are damaged or cut off{where}; copy or export it again."
        ) from error
    if there < total:
        raise FormatError(
            f"{path}: is cut off (its header promises {total} bytes of voxels{where}, {there} are there); "
            "copy or export it again."
        )
    return surplus_note(surplus + stream.garbage, where)


def surplus_note(surplus: int, where: str = "") -> tuple[str, ...]:
    if not surplus:
        return ()
    more = "at least " if surplus >= _MOST_SURPLUS else ""
    return (
        f"There are {more}{surplus} bytes after the voxels{where} that the header does not mention; they "
        "were left out.",
    )


def refuse_impossible(path: Path, piece: Piece, size: int) -> None:
    """Raise FormatError if `piece` is too short for `size` bytes of voxels."""
    there = piece.file.stat().st_size - max(piece.offset, 0)
    ratio = {"raw": 1, "hex": 0.5, "bzip2": math.inf}.get(piece.encoding, _LARGEST_RATIO)
    if there <= 0 or size + piece.skip > there * ratio:
        where = f" in {piece.file.name}" if piece.file != path else ""
        raise FormatError(
            f"{path}: is cut off (its header promises {size} bytes of voxels{where}, {max(there, 0)} bytes "
            "are there); copy or export it again."
        )


def refuse_beyond_memory(path: Path, size: int) -> None:
    """Raise FormatError if `size` bytes are more than the free memory."""
    if size > (free := psutil.virtual_memory().available):
        raise FormatError(
            f"{path}: needs {size / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free; is its header "
            "damaged?"
        )


def _take(path: Path, piece: Piece, each: int, low: int, target: NDArray[np.uint8]) -> tuple[str, ...]:
    if piece.offset < 0:
        piece = Piece(piece.file, piece.file.stat().st_size - each, "raw")
    try:
        stream = open_stream(piece)
    except Damaged as error:
        raise FormatError(
            f"{path}: its compressed voxels are damaged or cut off; copy or export it again."
        ) from error
    with stream:
        return take(path, stream, each, low, target, piece.file.name if piece.file != path else "")


def _decompressor(encoding: Encoding) -> Any:
    if encoding == "bzip2":
        return bz2.BZ2Decompressor()
    return zlib.decompressobj(_GZIP if encoding == "gzip" else _GZIP_OR_ZLIB)
