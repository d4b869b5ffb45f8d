"""A large CT through paper 5's segmenter at its largest size: time, memory and the longest step, counted in processor seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

CORES, SECONDS, BYTES, STEP_SECONDS = 2, 30, 3e9, 1.5

PROGRAM = """
import json, resource, sys, time
from pathlib import Path
import numpy as np
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Labels, Volume
from ctseg_models.bundles.metadata import Intensity, Sizes, Stage
from ctseg_models.bundles.own import build_network, write_bundle
from ctseg_models.inference import Settings, run

stage = Stage(name="segment", network="scn", config={"norm": "instance"}, spacing_mm=(2.4, 3.2, 2.56), outputs=5,
              sizes=Sizes(min=(32, 32, 32), max=(160, 128, 160), step=(16, 16, 16)),
              intensity=Intensity(clip_low=-2048, clip_high=2048, scale=2048))
bundle = write_bundle(Path(sys.argv[1]), name="b", stages=[stage], weights={"segment": build_network(stage).state_dict()},
                      labels=Labels.from_names({k: str(k) for k in range(1, 5)}), card="# b")
volume = Volume(np.random.default_rng(0).integers(-1000, 400, (150, 512, 512), dtype=np.int16),
                Geometry.from_parts((150, 512, 512), (2.5, 0.8, 0.8)))
work, longest, begun = run(bundle, volume, settings=Settings(threads=1)), 0.0, time.process_time()
while True:
    step = time.thread_time()
    try:
        next(work)
    except StopIteration as end:
        prediction = end.value
        break
    longest = max(longest, time.thread_time() - step)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"seconds": time.process_time() - begun, "longest": longest, "bytes": peak,
                  "size": prediction.provenance["stages"][0]["size"], "shape": prediction.labels.array.shape}))
"""


def test_a_512_by_512_by_150_ct_keeps_to_the_limits(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "b")], check=True, capture_output=True, text=True,
                          env=environment)
    found = json.loads(done.stdout)
    assert found["size"] == [160, 128, 160]
    assert found["shape"] == [150, 512, 512]
    assert found["bytes"] < BYTES
    assert found["seconds"] < CORES * SECONDS * 0.8  # reading the file and starting the program need some of the time too
    assert found["longest"] < STEP_SECONDS
