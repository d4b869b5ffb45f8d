"""kill -9 while somebody paints in the real viewer: what is missing afterwards is less than a second old, the
rest is there to the bit.
"""

import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from ctseg_imaging import formats
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels, Volume
from napari_ctseg.journal import folder
from napari_ctseg.journal.patches import write
from napari_ctseg.journal.replay import replay

SHAPE = (17, 60, 72)
C, S = np.cos(np.radians(10)), np.sin(np.radians(10))
TURNED = np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]]) @ np.diag([-1, 1, -1.0])
GRID = Geometry.from_parts(SHAPE, (3.0, 1.5, 2.0), (10.0, -20.0, 30.0), TURNED)
ROOT = Path(__file__).resolve().parents[3]
STARTING_S = 120
LATE_S = 1.0


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(5)
    image = Volume((rng.normal(size=SHAPE) * 500).astype(np.int16), GRID, modality="CT")
    array = np.zeros(SHAPE, np.uint8)
    array[3:9, 10:30, 10:40] = 1
    array[10:14, 20:50, 30:60] = 2
    formats.write(tmp_path / "ct.nii.gz", image)
    formats.write(
        tmp_path / "labels.nii.gz",
        LabelMap(array, GRID, Labels.from_names({1: "liver", 2: "spleen", 3: "kidney"})),
    )
    return tmp_path


def paint_and_kill(files, what, after_s=0.0, strokes=1, rate=5.0):
    """Paint that many strokes, go on for `after_s` seconds, kill; gives the ledger as (time, checksum, word),
    and the time of the kill.
    """
    ledger = files / "ledger.txt"
    ledger.unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    painter = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.plugin.journal.painter",
            str(files / "ct.nii.gz"),
            str(files / "labels.nii.gz"),
            str(ledger),
            "600",
            str(rate),
            what,
        ],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    waited = time.monotonic() + STARTING_S
    while not (ledger.exists() and ledger.read_text().count("stroke") >= strokes):
        assert painter.poll() is None and time.monotonic() < waited, (
            painter.communicate()[0] if painter.poll() is not None else "too few strokes"
        )
        time.sleep(0.05)
    time.sleep(after_s)
    painter.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    painter.communicate()
    lines = [line.split(" ", 2) for line in ledger.read_text().splitlines()]
    return [(float(when), int(state), word) for when, state, word in lines if word], killed


def checksum(array):
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def check(ledger, killed):
    """What was restored is a state of the viewer, to the bit; all that came after it is less than a second
    old; and its steps lead back to the array as it was opened. Gives what is kept, and the age of the oldest
    change that is missing.
    """
    (kept,) = folder.find()
    replayed = replay(kept.path)
    found = checksum(replayed.shown)
    k = max((k for k, (_, state, _) in enumerate(ledger) if state == found), default=None)
    assert k is not None, "what was restored is not a state that the viewer ever showed"
    late_s = max((killed - when for when, state, _ in ledger[k + 1 :] if state != found), default=0.0)
    assert late_s < LATE_S
    array = replayed.shown.copy()
    for gesture in reversed(replayed.history.done):
        write(array, gesture.patch().inverse)
    assert checksum(array) == ledger[0][1]
    return kept, late_s


@pytest.mark.parametrize(
    "what", ["strokes", *(pytest.param(what, marks=pytest.mark.long) for what in ("operations", "renewals"))]
)
def test_killed_after_some_strokes(files, what):
    kept, _ = check(*paint_and_kill(files, what, strokes=8))
    assert kept.steps > 3


@pytest.mark.long
def test_with_a_full_disk_the_user_is_told_and_painting_goes_on(files):
    ledger, _ = paint_and_kill(files, "full disk", 6.0)
    messages = [k for k, (_, _, word) in enumerate(ledger) if word.startswith("message")]
    assert messages and "free some space" in ledger[messages[0]][2]
    assert sum(word == "stroke" for _, _, word in ledger[messages[0] :]) > 3
    (kept,) = folder.find()
    assert checksum(replay(kept.path).shown) in [
        state for _, state, _ in ledger[: messages[0] + 2]
    ]  # all until the disk was full is there


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("what", ["strokes", "operations", "renewals"])
def test_killed_ten_times_at_a_random_moment_of_a_minute(files, what):
    rng = np.random.default_rng()
    for _ in range(10):
        after_s = float(rng.uniform(1, 60))
        kept, late_s = check(*paint_and_kill(files, what, after_s))
        print(
            f"{what}: killed after {after_s:.1f} s, {kept.steps} steps; the oldest missing change is "
            f"{late_s:.2f} s old",
            flush=True,
        )
        kept.path.unlink()
