"""Memory that torch is given by the system, in a process of its own: it decides at its first import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
SCRIPT = """
import sys
import {first}
assert "torch" not in sys.modules or {late}
import torch
kept = torch.ones(64 << 20, dtype=torch.uint8)
lines = open("/proc/self/smaps_rollup").read().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("AnonHugePages")))
"""


@pytest.mark.skipif(
    not SETTING.is_file() or "[madvise]" not in SETTING.read_text(),
    reason="the system decides, whatever torch asks for",
)
@pytest.mark.parametrize(("first", "expected"), [("ctseg_models", True), ("torch", False)])
def test_large_tensors_lie_in_huge_pages(first: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(first=first, late=not expected)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (int(said.stdout) > 32 << 10) == expected  # kB


def test_torch_comes_after_ctseg_models_in_the_command_and_the_computing_process() -> None:
    script = """
import contextlib, sys
from napari_ctseg.compute.__main__ import serve
with contextlib.suppress(AttributeError):
    serve(None, "ctseg_models.inference.pipeline")
import napari_ctseg.commands.main
names = list(sys.modules)
print(names.index("ctseg_models") < names.index("torch"))
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "True"
