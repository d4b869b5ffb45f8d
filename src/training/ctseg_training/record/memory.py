"""How much memory this process holds."""

from __future__ import annotations

import os

import psutil


def resident_mb() -> float:
    """Resident set size in MB."""
    return round(float(psutil.Process(os.getpid()).memory_info().rss) / 1e6, 1)
