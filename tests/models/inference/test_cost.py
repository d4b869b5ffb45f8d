"""A large CT through paper 5's segmenter at its largest size, and the estimate against the run.

Time, memory and the longest step, in processor seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Labels, Volume
from ctseg_models.bundles.own.bundle import OwnBundle, build_network
from ctseg_models.bundles.own.metadata import Stage
from ctseg_models.bundles.own.writing import write_bundle
from ctseg_models.contract.lattice import Region
from ctseg_models.contract.plan import AllowedSizes, Intensity
from ctseg_models.inference import InferenceSettings, cost, estimate, estimate_together, run
from tests.models.making import threshold_bundle
from tests.pace import at_most

CORES, SECONDS, BYTES, STEP_SECONDS = 2, 30, 3e9, 1.5

PROGRAM = """
import json, resource, sys, time
from pathlib import Path
import numpy as np
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Labels, Volume
from ctseg_models.contract.plan import AllowedSizes, Intensity
from ctseg_models.bundles.own.metadata import Stage
from ctseg_models.bundles.own.bundle import build_network
from ctseg_models.bundles.own.writing import write_bundle
from ctseg_models.inference import InferenceSettings, estimate, run

stage = Stage(
    name="segment",
    network="scn",
    config={"norm": "instance"},
    spacing_mm=(2.4, 3.2, 2.56),
    outputs=5,
    sizes=AllowedSizes(min=(32, 32, 32), max=(160, 128, 160), step=(16, 16, 16)),
    intensity=Intensity(clip_low=-2048, clip_high=2048, scale=2048),
)
bundle = write_bundle(
    Path(sys.argv[1]),
    name="b",
    stages=[stage],
    weights={"segment": build_network(stage).state_dict()},
    labels=Labels.from_names({k: str(k) for k in range(1, 5)}),
    card="# b",
)
volume = Volume(
    np.random.default_rng(0).integers(-1000, 400, (150, 512, 512), dtype=np.int16),
    Geometry.from_parts((150, 512, 512), (2.5, 0.8, 0.8)),
)
expected = estimate(bundle, volume, settings=InferenceSettings(threads=1, precision="fp32"))
work, longest, begun = run(bundle, volume, settings=InferenceSettings(threads=1)), 0.0, time.process_time()
while True:
    step = time.thread_time()
    try:
        next(work)
    except StopIteration as end:
        prediction = end.value
        break
    longest = max(longest, time.thread_time() - step)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(
    json.dumps(
        {
            "seconds": time.process_time() - begun,
            "longest": longest,
            "bytes": peak,
            "expected": expected.bytes,
            "size": prediction.provenance["stages"][0]["size"],
            "shape": prediction.labels.array.shape,
        }
    )
)
"""


def test_a_512_by_512_by_150_ct_keeps_to_the_limits(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "b")],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    found = json.loads(done.stdout)
    assert found["size"] == [160, 128, 160]
    assert found["shape"] == [150, 512, 512]
    assert found["bytes"] < BYTES
    assert 0.5 < found["expected"] / found["bytes"] < 2
    assert (
        found["seconds"] < CORES * SECONDS * 0.8
    )  # reading the file and starting the program need some of the time too
    assert found["longest"] < STEP_SECONDS


PLAIN = InferenceSettings(precision="fp32", threads=1)
BUNDLES: dict[str, dict[str, Any]] = {
    "windows": {
        "network": "nnunet",
        "inferer": "sliding_window",
        "patch": (64, 64, 48),
        "spacing_mm": (2.0, 2.0, 2.0),
        "sizes": AllowedSizes(min=(8, 8, 8), max=(512, 512, 512), step=(8, 8, 8)),
        "config": {
            "dimensions": 3,
            "strides": ((1, 1, 1), (2, 2, 2), (2, 2, 2)),
            "kernels": ((3, 3, 3),) * 3,
            "filters": (8, 16, 32),
        },
    },
    "whole": {
        "network": "scn",
        "spacing_mm": (2.4, 2.4, 2.4),
        "config": {"norm": "instance"},
        "sizes": AllowedSizes(min=(32, 32, 32), max=(96, 96, 96), step=(16, 16, 16)),
    },
}


def bundle_of(kind: str, folder: Path) -> OwnBundle:
    stage = Stage(
        name="segment",
        outputs=3,
        intensity=Intensity(clip_low=-1000, clip_high=1000, scale=1000),
        **BUNDLES[kind],
    )
    return write_bundle(
        folder / kind,
        name=kind,
        stages=[stage],
        weights={"segment": build_network(stage).state_dict()},
        labels=Labels.from_names({1: "a", 2: "b"}),
        card="# b",
    )


@pytest.mark.parametrize("kind", BUNDLES)
def test_the_estimated_time_is_within_a_factor_of_two(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "perf_counter", time.process_time)  # what else the machine does must not count
    bundle = bundle_of(kind, tmp_path)
    volume = Volume(
        np.random.default_rng(0).integers(-900, 900, (60, 110, 120), dtype=np.int16),
        Geometry.from_parts((60, 110, 120), (3.0, 1.6, 1.5)),
    )
    with at_most(4, time.process_time):
        expected = estimate(bundle, volume, settings=PLAIN)
    begun = time.process_time()
    finish(run(bundle, volume, settings=PLAIN))
    took = time.process_time() - begun
    assert 0.5 < expected.seconds / took < 2


def test_more_work_has_a_larger_estimate(tmp_path: Path) -> None:
    volume = Volume(np.zeros((60, 110, 120), np.int16), Geometry.from_parts((60, 110, 120), (3.0, 1.6, 1.5)))
    bundle = bundle_of("windows", tmp_path)
    whole = estimate(bundle, volume, settings=PLAIN)
    part = estimate(
        bundle, volume, settings=PLAIN, region=Region.from_index(volume.geometry, (0, 0, 0), (30, 60, 60))
    )
    assert part.seconds < whole.seconds / 2
    assert part.bytes < whole.bytes
    kept = estimate(
        bundle,
        volume,
        settings=InferenceSettings(precision="fp32", threads=1, probabilities=True, edge_map=True),
    )
    assert kept.bytes - whole.bytes == pytest.approx(4 * 60 * 110 * 120 + 4 * 3 * 90 * 88 * 90, rel=0.05)


def test_an_ensemble_keeps_the_maps_of_every_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        cost, "_tried", lambda *given: 0.25
    )  # seconds: each loaded member is measured for itself
    volume = Volume(np.zeros((60, 110, 120), np.int16), Geometry.from_parts((60, 110, 120), (3.0, 1.6, 1.5)))
    bundle = bundle_of("windows", tmp_path)
    two, four = (estimate_together([bundle] * members, volume, settings=PLAIN) for members in (2, 4))
    assert four.bytes - two.bytes == pytest.approx(2 * 4 * 3 * 90 * 88 * 90, rel=0.05)
    one = estimate(bundle, volume, settings=PLAIN)
    assert two.bytes > one.bytes
    assert four.seconds == pytest.approx(2 * two.seconds, rel=0.01)


def test_a_network_that_cannot_be_measured_is_estimated_from_its_operations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = Volume(np.zeros((40, 50, 60), np.int16), Geometry.from_parts((40, 50, 60), (3.0, 2.0, 2.0)))
    bundle = threshold_bundle(tmp_path / "b", two_stages=False)
    monkeypatch.setattr(cost, "_tried", lambda *given: None)
    monkeypatch.setattr("ctseg_models.inference.network.precision.flops_per_second", lambda *given: 1e9)
    stage = bundle.load().stages[0]
    flops = stage.flops((60, 40, 48))
    expected = estimate(bundle, volume, settings=PLAIN)
    assert expected.seconds == pytest.approx(
        flops / (cost.EFFICIENCY * 1e9) + cost.SECONDS_PER_VOXEL * 40 * 50 * 60 * 2, rel=0.2
    )
