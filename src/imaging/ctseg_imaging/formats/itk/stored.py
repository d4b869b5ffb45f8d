"""A volume as NRRD and MetaImage describe it: its grid, and the files and bytes of its voxels.

Lengths run along (x, y, z), points are LPS mm, as in ITK.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.disk.byte_streams import Piece, read_bytes, refuse_beyond_memory

UNKNOWN_ORIENTATION = (
    "Orientation unknown: the file names no anatomical space; left and right are not certain."
)


@dataclass(frozen=True)
class Stored:
    """Voxels in files and their grid."""

    sizes: tuple[int, ...]  # of every axis as stored, the fastest first
    dtype: np.dtype[Any]  # with its byte order
    pieces: tuple[Piece, ...]
    # spacing_mm and origin_lps_mm: (x, y, z), as in SimpleITK
    spacing_mm: tuple[float, float, float]
    origin_lps_mm: tuple[float, float, float]
    direction: NDArray[np.float64]  # 3x3, column j the LPS direction of axis j, as in SimpleITK
    volume_axis: int | None = None  # the one of `sizes` that counts volumes, None in a 3D file
    text: bool = False  # the numbers are written as text
    fields: tuple[tuple[str, str], ...] = ()  # free text of the header
    notes: tuple[str, ...] = ()  # remarks, one sentence each

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
            f"{path}: has voxels that are not numbers of its type ({dtype.name}); copy or export it again."
        ) from error
