"""How a process that runs networks gets memory for large maps from the system."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

# bytes; glibc's malloc keeps what is smaller: DEFAULT_MMAP_THRESHOLD_MAX, mallopt(3)
MMAP_THRESHOLD = 32 << 20
TRIM_THRESHOLD = 1 << 29  # bytes of free memory that malloc keeps
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>


def prepare_process() -> None:
    """Set up this process for networks; the command, the computing process and a training job call it first.

    Large maps come in huge pages: 160 MB take 10 ms instead of up to 250 page by page. torch looks at the
    environment variable once, when it is imported, so this has to come before. And malloc keeps the memory
    of small maps, which it would hand back to the system after each. Linux with glibc only; elsewhere the
    variable is ignored.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if (glibc := _glibc()) is not None:
        glibc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
        glibc.mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)


def trim() -> None:
    """Hand the free memory that malloc keeps back to the system."""
    if (glibc := _glibc()) is not None:
        glibc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library, where it is the one that has these settings."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
