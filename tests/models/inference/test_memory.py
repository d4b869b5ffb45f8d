"""Peak memory of a run with many classes on a large CT, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BEYOND_THE_VOLUME = 4e9

PROGRAM = """
import json, resource, sys
from pathlib import Path
import numpy as np
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Labels, Volume
from ctseg_models.contract.plan import AllowedSizes, Intensity
from ctseg_models.bundles.own.metadata import Stage
from ctseg_models.bundles.own.bundle import build_network
from ctseg_models.bundles.own.writing import write_bundle
from ctseg_models.inference import InferenceSettings, estimate, run

spacing = float(sys.argv[2])
stage = Stage(
    name="segment",
    network="unet",
    config={"levels": 3, "filters": 6, "norm": "instance"},
    spacing_mm=(spacing,) * 3,
    outputs=105,
    inferer="sliding_window",
    patch=(96, 96, 96),
    overlap=0.25,
    sizes=AllowedSizes(min=(8, 8, 8), max=(512, 512, 512), step=(8, 8, 8)),
    intensity=Intensity(clip_low=-1000, clip_high=1000, scale=1000),
)
bundle = write_bundle(
    Path(sys.argv[1]),
    name="b",
    stages=[stage],
    weights={"segment": build_network(stage).state_dict()},
    labels=Labels.from_names({k: str(k) for k in range(1, 105)}),
    card="# b",
)
rng = np.random.default_rng(0)
array = np.empty((300, 512, 512), np.int16)
for z in range(300):
    array[z] = rng.integers(-1000, 1000, (512, 512), dtype=np.int16)
volume = Volume(array, Geometry.from_parts(array.shape, (1.5, 0.8, 0.8)))
expected = estimate(bundle, volume, settings=InferenceSettings(precision="fp32"))
prediction = finish(run(bundle, volume, settings=InferenceSettings(precision="fp32")))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(
    json.dumps(
        {
            "beyond": peak - array.nbytes,
            "expected": expected.bytes - array.nbytes,
            "classes": len(np.unique(prediction.labels.array)),
            "shape": prediction.labels.array.shape,
            "seconds": [expected.seconds, prediction.provenance["seconds"]],
        }
    )
)
"""


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("spacing_mm", [3.0, 1.5])
def test_104_classes_on_512_by_512_by_300_stay_within_4_gb(spacing_mm: float, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "b"), str(spacing_mm)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    found = json.loads(done.stdout)
    assert found["shape"] == [300, 512, 512]
    assert found["classes"] > 10  # of random weights
    assert found["beyond"] < BEYOND_THE_VOLUME
    assert 0.5 < found["expected"] / found["beyond"] < 2
