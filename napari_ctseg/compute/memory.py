"""How much memory a child may use: nearly all that was free when it began."""

from __future__ import annotations

import psutil

SHARE_OF_FREE = 0.9


class Limit:
    """The memory limit of one process. most_bytes : resident, including what it used at the start."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.most_bytes = resident_bytes(pid) + SHARE_OF_FREE * free_bytes()

    def is_exceeded(self) -> bool:
        """Whether it uses more now."""
        return resident_bytes(self._pid) > self.most_bytes


def resident_bytes(pid: int) -> float:
    """The memory of a process; 0 if it is gone."""
    try:
        return float(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0.0


def free_bytes() -> float:
    """The memory that a process could use without swapping."""
    return float(psutil.virtual_memory().available)
