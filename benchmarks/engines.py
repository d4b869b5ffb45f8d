"""onnxruntime next to torch: one exported network of this project, in float32, on one array.

python benchmarks/engines.py [--bundle headneck-ct-scn] [--size 112,96,96] [--runs 3]
"""

from __future__ import annotations

import argparse
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ctseg_imaging.progress import finish
from ctseg_models.bundles import store
from ctseg_models.bundles.export import export
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.bundle import Bundle


def seconds(call: Callable[[], object], runs: int) -> list[float]:
    """Seconds of each run after one to warm up, and the result."""
    call()
    taken = []
    for _ in range(runs):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return taken


def main() -> None:
    """Print a table."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--bundle", default="headneck-ct-scn")
    words.add_argument("--size", default="112,96,96", help="z,y,x voxels")
    words.add_argument("--runs", type=int, default=3)
    given = words.parse_args()
    size = tuple(int(n) for n in given.size.split(","))
    bundle = store.find(given.bundle)
    x = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        files = [
            export(bundle, "onnx", Path(folder) / "o.onnx")[-1],
            export(bundle, "torchscript", Path(folder) / "t.ts")[-1],
        ]
        named: dict[str, Bundle] = {
            "own steps": bundle,
            "onnxruntime": store.find(files[0]),
            "TorchScript": store.find(files[1]),
        }
        print(
            f"{bundle.name}, {given.size} voxels, {torch.get_num_threads()} threads, "
            f"{platform.processor() or platform.machine()}, torch {torch.__version__}\n"
        )
        print(
            "| engine | median s | fastest s | largest difference of a probability |\n| --- | --- | --- | "
            "--- |"
        )
        own = None
        for name, one in named.items():
            stage = one.load("cpu").stages[-1]
            maps = finish(stage.steps(x, Arithmetic()))
            own = maps if own is None else own
            taken = seconds(lambda stage=stage: finish(stage.steps(x, Arithmetic())), given.runs)  # type: ignore[misc]
            print(
                f"| {name} | {np.median(taken):.2f} | {min(taken):.2f} | "
                f"{float((maps - own).abs().max()):.1e} |"
            )
    print(f"\npeak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
