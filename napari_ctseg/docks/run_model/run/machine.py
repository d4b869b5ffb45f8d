"""What is not available on this machine, found out without loading torch."""

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
    """Device or precision -> why it is not available here; others can be tried."""
    reasons = {}
    try:
        built = version("torch")
    except PackageNotFoundError:
        built = ""
    if built.endswith("+cpu"):
        reasons["cuda"] = "The installed PyTorch is CPU-only; install its CUDA build to use an NVIDIA GPU."
    elif find_library("nvcuda" if sys.platform == "win32" else "cuda") is None:
        reasons["cuda"] = "No NVIDIA driver was found on this machine."
    if not (sys.platform == "darwin" and platform.machine() == "arm64"):
        reasons["mps"] = "Only available on Apple silicon."
    return reasons


def slow_on_cpu() -> dict[str, str]:
    """Precision -> why it is not sensible on this machine's processor."""
    try:
        words = set(PROCESSOR.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return {}  # no Linux: the run measures it
    return (
        {}
        if words & BF16_FLAGS
        else {"bf16": "This processor has no bf16 instructions; a run would take hundreds of times longer."}
    )


def unable_on(device: str, not_here: Mapping[str, str]) -> dict[str, str]:
    """As `unable`, with the precisions that make no sense on `device`. not_here : what `unable` returned."""
    return {**not_here, **(slow_on_cpu() if device == "cpu" else {})}
