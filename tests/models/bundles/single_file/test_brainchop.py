"""A third-party network on its 256^3 input: the labels stored with it, bounded memory, immediate stop."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ctseg_imaging import formats
from ctseg_models.bundles import store
from ctseg_models.inference import run
from tests.pace import at_most

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
LARGEST = 2.5e9  # bytes of the whole process
CHILD = """
import resource, sys
from pathlib import Path
from ctseg_imaging import formats
from ctseg_imaging.progress import finish
from ctseg_models.bundles import store
from ctseg_models.inference import run
network, image, expected = sys.argv[1:]
labels = finish(run(store.find(network), formats.read(Path(image)))).labels
stored = formats.read_labels(Path(expected))
assert abs(labels.geometry.affine_lps - stored.geometry.affine_lps).max() == 0
print((labels.array == stored.array).mean(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.fixture
def network(shared_file: Callable[[str], Path], tmp_path: Path) -> Path:
    path = tmp_path / "brainchop.pt"
    shutil.copyfile(shared_file("brainchop-mr/model5_gw_ae.torchscript.pt"), path)
    path.with_suffix(".json").write_text(
        json.dumps(
            {
                "labels": {"1": "white matter", "2": "grey matter"},
                "modality": "MR",
                "orientation": "LIA",
                "spacing": [1, 1, 1],
                "pad": 0,
                "channels": [{"name": "T1", "normalise": "minmax"}],
                "output": {"kind": "logits", "classes": [0, 1, 2]},
            }
        )
    )
    return path


def test_the_stored_labels_in_bounded_memory(network: Path, shared_file: Callable[[str], Path]) -> None:
    files = [str(shared_file(f"brainchop-mr/t1_crop{ending}.nii.gz")) for ending in ("", "_model5_gw_ae_seg")]
    printed = subprocess.run(
        [sys.executable, "-c", CHILD, str(network), *files], check=True, capture_output=True, text=True
    ).stdout
    agreement, peak = map(float, printed.split())
    assert agreement >= 0.999
    assert peak < LARGEST


@pytest.mark.parametrize("seconds", [1.0, 6.0])
def test_cancel_ends_the_computing(seconds: float, network: Path, shared_file: Callable[[str], Path]) -> None:
    work = run(store.find(network), formats.read(shared_file("brainchop-mr/t1_crop.nii.gz")))
    started = None
    for _ in work:
        if started is None and any(thread.name == "ctseg network" for thread in threading.enumerate()):
            started = time.perf_counter()
        if started is not None and time.perf_counter() - started > seconds:
            break
    assert started is not None
    with at_most(2):
        work.close()
    assert not any(thread.name == "ctseg network" for thread in threading.enumerate())
    used = time.process_time()
    threading.Event().wait(0.5)
    assert time.process_time() - used < 0.1  # nothing computes on
