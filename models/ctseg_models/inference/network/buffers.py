"""Memory of large maps, kept for the next ones: to be given fresh memory takes longer than a layer that
writes it once.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
import threading
import weakref
from dataclasses import dataclass
from functools import cache
from math import prod

import numpy as np
import torch
from torch import Tensor

LARGE = 32 << 20  # bytes: glibc's malloc can be told to keep what is smaller
KEPT = 1 << 29  # bytes that nobody uses
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>
SLACK = 1.25  # how much larger than wanted a block may be


@dataclass(eq=False)
class _Block:
    """Memory, and the array through which the tensor that uses it (and every view of it) holds on to it."""

    memory: mmap.mmap
    user: weakref.ref[np.ndarray] | None = None

    @property
    def is_free(self) -> bool:
        return self.user is None or self.user() is None


_blocks: list[_Block] = []
_lock = threading.Lock()


def empty(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """torch.empty, contiguous. On the processor, what is large lies where an earlier one lay that is gone
    with all its views.
    """
    size = prod(shape) * dtype.itemsize
    _keep_small_ones()
    if device.type != "cpu" or size < LARGE:
        return torch.empty(shape, dtype=dtype, device=device)
    with _lock:
        fitting = [block for block in _blocks if block.is_free and size <= len(block.memory) <= SLACK * size]
        block = min(fitting, key=lambda one: len(one.memory), default=None)
        if block is None:
            _shrink(KEPT)
            try:
                block = _Block(_memory(size))
            except OSError:
                _shrink(0)
                return torch.empty(shape, dtype=dtype)  # which says what is missing
            _blocks.append(block)
        array = np.frombuffer(block.memory, np.uint8, size)
        block.user = weakref.ref(array)
    return torch.from_numpy(array).view(dtype).view(shape)


def empty_map(
    shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, layout: torch.memory_format
) -> Tensor:
    """The same for a map (B, C, ...) in one of torch's layouts."""
    if layout == torch.contiguous_format:
        return empty(shape, dtype, device)
    return empty((shape[0], *shape[2:], shape[1]), dtype, device).movedim(-1, 1)


def zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """torch.zeros of memory that goes with the tensor; many times as fast with huge pages, which torch
    takes for empty memory only.
    """
    return torch.empty(shape, dtype=dtype, device=device).zero_()


def give_back() -> None:
    """Let go of what nobody uses."""
    with _lock:
        _shrink(0)
    if (glibc := _glibc()) is not None:
        glibc.malloc_trim(0)


@cache
def _keep_small_ones() -> None:
    """Have malloc keep the memory of slabs, which it would hand back to the system after each: until
    `give_back`, KEPT bytes at most.
    """
    if (glibc := _glibc()) is not None:
        glibc.mallopt(M_MMAP_THRESHOLD, LARGE)
        glibc.mallopt(M_TRIM_THRESHOLD, KEPT)


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library, where it is the one that has these settings."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


def _shrink(keep: int) -> None:
    """Drop the oldest of the free blocks until they are `keep` bytes or fewer."""
    free = [block for block in _blocks if block.is_free]
    total = sum(len(block.memory) for block in free)
    for block in free:
        if total <= keep:
            return
        total -= len(block.memory)
        _blocks.remove(block)


def _memory(size: int) -> mmap.mmap:
    """Zeros that the system has not made yet, in huge pages where it has them. Raises OSError."""
    if not hasattr(mmap, "MAP_PRIVATE"):  # Windows
        return mmap.mmap(-1, size)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
