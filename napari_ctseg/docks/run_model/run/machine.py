"""What this machine cannot do, found out without loading torch."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from ctypes.util import find_library
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROCESSOR = Path("/proc/cpuinfo")
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 and ARM


def unable() -> dict[str, str]:
    """Device or precision -> why it cannot be had here; what is not named may be tried."""
    reasons = {}
    try:
        built = version("torch")
    except PackageNotFoundError:
        built = ""
    if built.endswith("+cpu"):
        reasons["cuda"] = (
            "The installed torch works on the processor only; install its CUDA build for an NVIDIA card."
        )
    elif find_library("nvcuda" if sys.platform == "win32" else "cuda") is None:
        reasons["cuda"] = "This machine has no driver of an NVIDIA card."
    if not (sys.platform == "darwin" and platform.machine() == "arm64"):
        reasons["mps"] = "Only Apple's own processors have it."
    return reasons


def slow_on_cpu() -> dict[str, str]:
    """Precision -> why it makes no sense on this machine's processor."""
    try:
        words = set(PROCESSOR.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return {}  # no Linux: the run measures it
    return (
        {}
        if words & BF16_FLAGS
        else {"bf16": "This processor has no bf16 units; it would take hundreds of times as long."}
    )


def unable_on(device: str, not_here: Mapping[str, str]) -> dict[str, str]:
    """As `unable`, with the precisions that make no sense on `device`. not_here : what `unable` returned."""
    return {**not_here, **(slow_on_cpu() if device == "cpu" else {})}
