"""Memory of large maps, kept for the next ones of the same run: fresh memory from the system takes longer
than a layer that writes it once.
"""

from __future__ import annotations

import mmap
import threading
import weakref
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from ctseg_models.process_memory import MMAP_THRESHOLD, TRIM_THRESHOLD

LARGE = MMAP_THRESHOLD  # bytes: malloc keeps what is smaller
KEPT = TRIM_THRESHOLD  # bytes of free blocks
SLACK = 1.25  # how much larger than wanted a block may be


@dataclass(eq=False)
class MemoryBlock:
    """A block of memory, and the array that the tensor using it (and every view of it) refers to."""

    memory: mmap.mmap
    user: weakref.ref[np.ndarray] | None = None

    @property
    def is_free(self) -> bool:
        return self.user is None or self.user() is None


class BufferPool:
    """Blocks of memory on the processor, each used by one tensor at a time. Several threads may share one."""

    def __init__(self, kept: int = KEPT) -> None:
        """kept : bytes of free blocks that stay when another one is needed."""
        self.kept = kept
        self.blocks: list[MemoryBlock] = []  # the oldest first
        self._lock = threading.Lock()

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        """torch.empty, contiguous; on the processor, a large tensor reuses the memory of one that is gone.

        A block is free once the earlier tensor and all its views are gone. Raises RuntimeError, as torch
        does, when there is no memory.
        """
        size = prod(shape) * dtype.itemsize
        if device.type != "cpu" or size < LARGE:
            return torch.empty(shape, dtype=dtype, device=device)
        with self._lock:
            block = self._fitting(size)
            if block is None:
                return torch.empty(shape, dtype=dtype)  # torch's error says how much is missing
            array = np.frombuffer(block.memory, np.uint8, size)
            block.user = weakref.ref(array)
        return torch.from_numpy(array).view(dtype).view(shape)

    def empty_map(
        self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, layout: torch.memory_format
    ) -> Tensor:
        """The same for a map (B, C, ...) in one of torch's layouts."""
        if layout == torch.contiguous_format:
            return self.empty(shape, dtype, device)
        return self.empty((shape[0], *shape[2:], shape[1]), dtype, device).movedim(-1, 1)

    def free(self) -> None:
        """Release every block that no tensor uses."""
        with self._lock:
            self._shrink(0)

    def _fitting(self, size: int) -> MemoryBlock | None:
        """The smallest free block that holds `size` bytes, a new one, or None when the system has none."""
        fitting = [
            block for block in self.blocks if block.is_free and size <= len(block.memory) <= SLACK * size
        ]
        if fitting:
            return min(fitting, key=lambda one: len(one.memory))
        self._shrink(self.kept)
        try:
            block = MemoryBlock(_memory(size))
        except OSError:
            self._shrink(0)
            return None
        self.blocks.append(block)
        return block

    def _shrink(self, keep: int) -> None:
        """Drop the oldest of the free blocks until they are `keep` bytes or fewer."""
        free = [block for block in self.blocks if block.is_free]
        total = sum(len(block.memory) for block in free)
        for block in free:
            if total <= keep:
                return
            total -= len(block.memory)
            self.blocks.remove(block)


def zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """torch.zeros, many times faster with huge pages, which torch uses for empty tensors only."""
    return torch.empty(shape, dtype=dtype, device=device).zero_()


def _memory(size: int) -> mmap.mmap:
    """Memory that the system fills with zeros on first use, in huge pages where available. Raises OSError."""
    if not hasattr(mmap, "MAP_PRIVATE"):  # Windows
        return mmap.mmap(-1, size)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
