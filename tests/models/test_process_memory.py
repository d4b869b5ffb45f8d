"""Huge pages for large tensors, in processes of their own: torch decides at its first import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
LARGE_TENSOR = """
import torch
kept = torch.ones(64 << 20, dtype=torch.uint8)
lines = open("/proc/self/smaps_rollup").read().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("AnonHugePages")))
"""
PREPARED = "from ctseg_models.process_memory import prepare_process; prepare_process()"
IMPORTS = """
import importlib, os, pkgutil, sys
import monai.utils  # which sets CUBLAS_WORKSPACE_CONFIG
before = dict(os.environ)
import ctseg_imaging, ctseg_models, ctseg_training
for package in (ctseg_imaging, ctseg_models, ctseg_training):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
print("torch" in sys.modules, dict(os.environ) == before)
"""


def printed(script: str) -> str:
    """The output of a Python process of its own."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(
    not SETTING.is_file() or "[madvise]" not in SETTING.read_text(),
    reason="the system decides, whatever torch asks for",
)
@pytest.mark.parametrize(("first", "expected"), [(PREPARED, True), ("import ctseg_models.inference", False)])
def test_large_tensors_lie_in_huge_pages_in_a_prepared_process(
    first: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    assert (int(printed(f"{first}\n{LARGE_TENSOR}")) > 32 << 10) == expected  # kB


def test_importing_the_packages_leaves_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    assert printed(IMPORTS) == "True True"


@pytest.mark.parametrize(
    "start",
    [
        "import napari_ctseg.commands.main as command; command.app = lambda **_: None; command.run_here()",
        "import tempfile; from ctseg_training.job import main; main([tempfile.mkdtemp()])",
        "import runpy, sys; from napari_ctseg.compute import containment as at_start\nat_start.contain = "
        "lambda: None\nsys.argv = ['', 'no handle', 'ctseg_models.inference.pipeline']\ntry: "
        "runpy.run_module('napari_ctseg.compute', run_name='__main__')\nexcept Exception: pass",
    ],
    ids=["command", "training job", "computing process"],
)
def test_a_process_that_runs_networks_is_prepared_before_torch(
    start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    watch = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            os.write(1, b"torch first " if "THP_MEM_ALLOC_ENABLE" not in os.environ else b"")
sys.meta_path.insert(0, Watch())
"""
    found = printed(f"{watch}\n{start}\nprint(os.environ.get('THP_MEM_ALLOC_ENABLE'))")
    assert found == "1"
