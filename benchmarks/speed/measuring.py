"""Measurements in processes of their own, and the page with their tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Volume
from ctseg_models.inference.network.onednn import conv3d

T = TypeVar("T")
PROJECT = Path(__file__).resolve().parents[2]
PAGE = "# Speed of inference"
MEGABYTE = 1e6
# As `prepare_process` sets it, which comes after torch in a script; the same for all ways that are compared.
AS_WE_RUN = {**os.environ, "THP_MEM_ALLOC_ENABLE": "1"}


def in_a_child(script: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Run `script` with `arguments` and read its last line of output. Raises RuntimeError with its error
    message.
    """
    child = subprocess.run(
        [sys.executable, script, *arguments], capture_output=True, text=True, check=False, env=AS_WE_RUN
    )
    if child.returncode:
        raise RuntimeError(
            f"{' '.join(arguments)}: "
            f"{child.stderr.strip().splitlines()[-1] if child.stderr.strip() else child.returncode}"
        )
    found: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return found


def peak_bytes() -> float:
    """The peak memory of this process alone: getrusage would start with its parent's."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024.0 * int(line.split()[1])
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (
        1 if sys.platform == "darwin" else 1024
    )


def timed(call: Callable[[], T], device: str) -> tuple[T, float]:
    """(result, seconds), after the device has finished."""
    begun = time.perf_counter()
    result = call()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return result, time.perf_counter() - begun


def ceiling(dtype: torch.dtype, device: str, plane: tuple[int, int]) -> float:
    """Operations a second of the fastest bare 3x3x3 convolution, channels last, best of several runs.

    Of 32 and 64 channels to 32, on slabs of a plane (y, x) and of the next coarser level. A slab has a slice
    more at either end than is computed, as in a network: oneDNN skips zeros, so with padding a tenth of the
    operations would be counted but not done.
    """
    best = 0.0
    with torch.inference_mode():
        for into, (z, y, x) in (
            (32, (8, *plane)),
            (64, (8, *plane)),
            (32, (16, plane[0] // 2, plane[1] // 2)),
        ):
            slab = torch.rand(1, into, z + 2, y, x, device=device).to(
                dtype, memory_format=torch.channels_last_3d
            )
            weight = torch.rand(32, into, 3, 3, 3, device=device).to(
                dtype, memory_format=torch.channels_last_3d
            )
            for _ in range(8):
                _, seconds = timed(lambda a=slab, w=weight: conv3d(a, w, None, (0, 1, 1)), device)  # type: ignore[misc]
                best = max(best, 2.0 * 27 * into * 32 * z * y * x / seconds)
    return best


def stored(volume: Volume, path: Path) -> None:
    """Store the array as it is, and its spacing."""
    np.save(path, volume.array)
    path.with_suffix(".json").write_text(json.dumps(volume.geometry.spacing_mm), encoding="utf-8")


def loaded(path: Path) -> Volume:
    """The volume that `stored` wrote."""
    array = np.load(path)
    z, y, x = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return Volume(array, Geometry.from_parts(array.shape, (z, y, x)), modality="CT")


def machine(threads: int, device: str) -> str:
    """A sentence about the machine."""
    on = (
        torch.cuda.get_device_name(device)
        if device.startswith("cuda")
        else torch.backends.cpu.get_cpu_capability()
    )
    return f"Torch {torch.__version__}, {on}, {threads} threads."


def dice(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> dict[int, float]:
    """The Dice of every label in either of two label arrays."""
    found = {}
    for value in sorted(set(np.unique(a)) | set(np.unique(b))):
        one, other = a == value, b == value
        found[int(value)] = (
            2 * float(np.count_nonzero(one & other)) / float(np.count_nonzero(one) + np.count_nonzero(other))
        )
    return found


def write_section(path: Path, heading: str, text: str) -> None:
    """Put `text` under `heading` on the page, replacing that section; the other sections stay."""
    page = path.read_text(encoding="utf-8") if path.is_file() else f"{PAGE}\n"
    top, *sections = page.split("\n## ")
    kept = [section for section in sections if section.splitlines()[0] != heading]
    place = next(
        (number for number, section in enumerate(sections) if section.splitlines()[0] == heading), len(kept)
    )
    kept.insert(place, f"{heading}\n\n{text.rstrip()}\n")
    path.write_text(
        "\n## ".join([top.rstrip() + "\n", *(section.rstrip() + "\n" for section in kept)]), encoding="utf-8"
    )
