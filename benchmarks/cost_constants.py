"""Measures the constants of ctseg_models/inference/cost.py on this machine, in float32 on one thread.

   python benchmarks/cost_constants.py

Times are processor seconds. Each network runs in two processes of its own, on a small and a larger window,
whose peaks of memory are compared: what does not grow with the window is not counted.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from math import prod, sqrt
from typing import Any

import numpy as np

from ctseg_imaging.geometry import Geometry, Shape
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Labels, Volume

KINDS = ("unet", "scn", "nnunet")
SMALL, LARGE = (64, 64, 64), (96, 96, 64)
CONFIGS: dict[str, dict[str, Any]] = {
    "unet": {"norm": "instance"},
    "scn": {"norm": "instance"},
    "nnunet": {
        "dimensions": 3,
        "strides": ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2)),
        "kernels": ((3, 3, 3),) * 4,
        "filters": (32, 64, 128, 256),
    },
}
CLASSES, VOLUME = 5, (120, 256, 256)


def network(kind: str, window: Shape) -> dict[str, float]:
    """One window of a network: processor seconds, operations, and the peak of memory of this process."""
    import torch

    from ctseg_models.contract.arithmetic import Arithmetic
    from ctseg_models.inference.network.scn_slab_runner import steps_of
    from ctseg_models.networks.catalogue import build

    torch.set_num_threads(1)
    way = steps_of(build(kind, CONFIGS[kind], in_channels=1, outputs=CLASSES).eval())
    x = torch.randn(1, 1, *window)
    begun = time.process_time()
    with torch.inference_mode():
        finish(way.steps(x, Arithmetic()))
    return {"seconds": time.process_time() - begun, "flops": way.flops(window), "bytes": peak()}


def convolution() -> dict[str, float]:
    """Operations in a processor second of 3x3x3 convolutions of 32 channels."""
    import torch

    from ctseg_models.inference.network.onednn import conv3d

    torch.set_num_threads(1)
    side, best = 24, float("inf")
    x, weight = torch.rand(1, 32, side, side, side), torch.rand(32, 32, 3, 3, 3)
    x, weight = (one.to(memory_format=torch.channels_last_3d) for one in (x, weight))
    for _ in range(10):
        begun = time.process_time()
        conv3d(x, weight, None)
        best = min(best, time.process_time() - begun)
    return {"speed": 2 * 27 * 32 * 32 * side**3 / best}


def base() -> dict[str, float]:
    """The peak of a process that has loaded all that a run needs and computed one voxel."""
    import torch

    import ctseg_imaging.formats
    import ctseg_models.bundles.store
    import ctseg_models.inference.pipeline

    assert ctseg_imaging.formats and ctseg_models.bundles.store and ctseg_models.inference.pipeline
    torch.nn.Conv3d(1, 1, 1)(torch.zeros(1, 1, 1, 1, 1))
    return {"bytes": peak()}


def painting() -> dict[str, float]:
    """Processor seconds for each voxel and label of bringing class maps to a grid, plain and with entropy."""
    import torch

    from ctseg_models.contract.lattice import Lattice, ViewBox
    from ctseg_models.contract.upright import Upright
    from ctseg_models.inference import InferenceSettings
    from ctseg_models.inference.labels.class_maps import ClassMaps
    from ctseg_models.inference.maps.stored import MemoryMaps
    from ctseg_models.inference.prediction_arrays import PredictionArrays
    from ctseg_models.inference.stage_run import StageResult

    torch.set_num_threads(1)
    volume = Volume(np.zeros(VOLUME, np.int16), Geometry.from_parts(VOLUME, (2.0, 1.0, 1.0)))
    upright, names = Upright.of(volume), Labels.from_names({k: str(k) for k in range(1, CLASSES)})
    box, size = ViewBox.whole(upright.geometry), (60, 64, 64)
    z, y, x = (extent / n for extent, n in zip(box.extent, size, strict=True))
    lattice = Lattice((z / 2 - 1.0, y / 2 - 0.5, x / 2 - 0.5), (z, y, x), size)
    found = {}
    for settings in (InferenceSettings(), InferenceSettings(disagreement="entropy")):
        given = MemoryMaps(torch.rand(CLASSES, *size))
        maps = ClassMaps.of(given, lattice, tuple(range(CLASSES)), "probabilities")
        result = StageResult(maps, box, False, ())
        arrays = PredictionArrays.blank(upright, maps.values, settings)
        begun = time.process_time()
        finish(arrays.paint(result, names, settings))
        found[settings.disagreement] = (time.process_time() - begun) / (prod(VOLUME) * CLASSES)
    return found


def peak() -> float:
    """Bytes of this process at most."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(kilobytes if sys.platform == "darwin" else 1024 * kilobytes)


def apart(*part: str) -> dict[str, float]:
    """What one part finds in a process of its own."""
    done = subprocess.run([sys.executable, __file__, *part], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measured(part: str, window: str = "") -> dict[str, float]:
    """One part, in this process."""
    if part in KINDS:
        return network(part, LARGE if window == "large" else SMALL)
    return {"base": base, "convolution": convolution, "painting": painting}[part]()


def main() -> None:
    """Print every constant as it is measured here."""
    if len(sys.argv) > 1:
        print(json.dumps(measured(*sys.argv[1:])))
        return
    print(f"BASE_BYTES {apart('base')['bytes']:.2g}")
    speed = apart("convolution")["speed"]
    for kind in KINDS:
        small, large = apart(kind), apart(kind, "large")
        more, each = prod(LARGE) - prod(SMALL), large["flops"] / prod(LARGE)
        values = (large["bytes"] - small["bytes"]) / 4 / more - CLASSES
        print(
            f"{kind}: EFFICIENCY {large['flops'] / large['seconds'] / speed:.2f}, "
            f"VALUES_PER_ROOT_FLOP {values / sqrt(each):.2f} at {each:.2g} operations a voxel"
        )
    painted = apart("painting")
    print(f"SECONDS_PER_VOXEL {painted['share']:.1e}, ENTROPY {painted['entropy'] / painted['share']:.1f}")


if __name__ == "__main__":
    main()
