"""The voxels that an edit changed, with their values before and after; compact on disk and in memory."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEAD = struct.Struct("<QQ8s")  # voxels, runs, dtype of the values


@dataclass(frozen=True, eq=False)
class Patch:
    """index : (n,) int64, C-order positions in the array, ascending and without repeats. old, new : (n,)
    values there.
    """

    index: NDArray[np.int64]
    old: NDArray[Any]
    new: NDArray[Any]

    def __len__(self) -> int:
        return len(self.index)

    @property
    def inverse(self) -> Patch:
        """The patch that reverses this one."""
        return Patch(self.index, self.new, self.old)

    def where(self, keep: NDArray[np.bool_]) -> Patch:
        """Only the voxels in which `keep` (n,) is true."""
        return self if keep.all() else Patch(self.index[keep], self.old[keep], self.new[keep])

    def slices(self, shape: Sequence[int]) -> tuple[int, int]:
        """First and last + 1 of the slices along axis 0 that it touches; (0, 0) if it is empty."""
        if not len(self.index):
            return 0, 0
        plane = int(np.prod(shape[1:]))
        return int(self.index[0]) // plane, int(self.index[-1]) // plane + 1


@dataclass(frozen=True, eq=False)
class BoxChange:
    """A change as a brush reports it: `new` was written where `mask` (the whole box if None) is true within
    the box `where`.

    old : the values before, (n,) under the mask or of the whole box.
    """

    where: tuple[slice, ...]
    mask: NDArray[np.bool_] | None
    old: NDArray[Any]
    new: int

    @property
    def middle(self) -> int:
        """The slice along axis 0 that shows it."""
        return (int(self.where[0].start) + int(self.where[0].stop) - 1) // 2

    def patch(self, shape: Sequence[int]) -> Patch:
        """The same as positions in an array of `shape`."""
        spans = [part.indices(n) for part, n in zip(self.where, shape, strict=True)]
        size = [len(range(*span)) for span in spans]
        mask = np.ones(size, bool) if self.mask is None else np.broadcast_to(self.mask, size)
        inside = np.nonzero(mask)
        index = np.ravel_multi_index(
            tuple(axis + span[0] for axis, span in zip(inside, spans, strict=True)), tuple(shape)
        )
        old = np.asarray(self.old).reshape(-1)
        return Patch(index.astype(np.int64), old, np.full(len(index), self.new, old.dtype))


@dataclass(frozen=True, eq=False)
class PointChange:
    """`new` (a value, or one for each voxel) was written at `indices` (one (n,) array for each axis)."""

    indices: tuple[NDArray[Any], ...]
    old: NDArray[Any]
    new: Any

    @property
    def middle(self) -> int:
        """The slice along axis 0 that shows it."""
        return int(np.median(self.indices[0]))

    def patch(self, shape: Sequence[int]) -> Patch:
        """The same as positions in an array of `shape`."""
        index = np.ravel_multi_index(self.indices, tuple(shape)).astype(np.int64)
        new = np.broadcast_to(np.asarray(self.new, self.old.dtype), index.shape)
        return joined([Patch(index, np.asarray(self.old), new)])


Change = BoxChange | PointChange


def merged(patches: Sequence[Patch]) -> Patch:
    """As `joined`, without voxels that end with the value they began with."""
    patch = joined(patches)
    return patch.where(patch.old != patch.new)


def joined(patches: Sequence[Patch]) -> Patch:
    """One patch with the effect of applying `patches` in order, with all voxels that any of them wrote."""
    if len(patches) == 1 and (np.diff(patches[0].index) > 0).all():
        return patches[0]
    index = np.concatenate([patch.index for patch in patches])
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    last = np.append(first[1:], len(ordered)) - 1
    old = np.concatenate([patch.old for patch in patches])[order][first]
    new = np.concatenate([patch.new for patch in patches])[order][last]
    return Patch(ordered[first], old, new)


def between(before: NDArray[Any], after: NDArray[Any]) -> Patch:
    """The patch from `before` to `after`, which have the same shape."""
    index = np.flatnonzero(np.asarray(before) != np.asarray(after)).astype(np.int64)
    at = np.unravel_index(index, before.shape)
    return Patch(index, np.asarray(before)[at], np.asarray(after)[at])


def write(array: NDArray[Any], patch: Patch) -> None:
    """Put the new values of `patch` into `array`, which may be a view in any order."""
    array[np.unravel_index(patch.index, array.shape)] = patch.new


def values_at(array: NDArray[Any], patch: Patch) -> NDArray[Any]:
    """The values of `array` at the voxels of `patch`."""
    found: NDArray[Any] = array[np.unravel_index(patch.index, array.shape)]
    return found


def pack(patch: Patch) -> bytes:
    """Compressed: runs of neighbouring voxels, and the values before and after."""
    breaks = np.flatnonzero(np.diff(patch.index) != 1) + 1
    firsts = np.concatenate([[0], breaks]) if len(patch) else np.zeros(0, np.int64)
    lengths = np.diff(np.append(firsts, len(patch)))
    starts = np.diff(patch.index[firsts], prepend=0)
    dtype = np.result_type(patch.old.dtype, patch.new.dtype)
    parts = (starts.astype("<i8"), lengths.astype("<i8"), patch.old.astype(dtype), patch.new.astype(dtype))
    body = b"".join(part.tobytes() for part in parts)
    return _HEAD.pack(len(patch), len(firsts), dtype.str.encode()) + zlib.compress(body, 1)


def unpack(packed: bytes) -> Patch:
    """The patch that `pack` wrote. Raises ValueError for anything else."""
    try:
        voxels, runs, code = _HEAD.unpack_from(packed)
        dtype = np.dtype(code.rstrip(b"\0").decode())
        body = zlib.decompress(packed[_HEAD.size :])
    except (struct.error, zlib.error, TypeError, UnicodeDecodeError) as error:
        raise ValueError("The patch is damaged.") from error
    if dtype.kind not in "iu" or len(body) != 16 * runs + 2 * voxels * dtype.itemsize:
        raise ValueError("The patch is damaged.")
    starts = np.cumsum(np.frombuffer(body, "<i8", runs))
    lengths = np.frombuffer(body, "<i8", runs, 8 * runs)
    if (lengths < 1).any() or lengths.sum() != voxels:
        raise ValueError("The patch is damaged.")
    offsets = np.cumsum(lengths) - lengths
    index = np.repeat(starts - offsets, lengths) + np.arange(voxels)
    old = np.frombuffer(body, dtype, voxels, 16 * runs)
    new = np.frombuffer(body, dtype, voxels, 16 * runs + voxels * dtype.itemsize)
    return Patch(index.astype(np.int64), old, new)
