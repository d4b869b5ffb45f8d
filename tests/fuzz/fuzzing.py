"""Runs workers and gathers what came of it: `python -m tests.fuzz.fuzzing SEED COUNT [TARGET...]` from the
project's folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer

ROOT = Path(__file__).resolve().parents[2]
WALL_SECONDS = 120  # without a word from the worker


@dataclass
class Tally:
    """inputs : how many were read. counts : by outcome. faults : what happened and how to repeat it.

    sound : outcomes of the undamaged inputs.
    """

    inputs: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    sound: list[str] = field(default_factory=list)
    seconds: float = 0.0


def fuzz(target: str, seed: int, count: int) -> Tally:
    """Read `count` damaged inputs of a target; a worker that dies is a fault, and the next one goes on behind
    it.
    """
    tally, begun, first = Tally(), time.monotonic(), 0
    while first < count:
        first = _worker(target, seed, first, count - first, tally)
    tally.seconds = time.monotonic() - begun
    return tally


def _worker(target: str, seed: int, first: int, count: int, tally: Tally) -> int:
    """Run one worker until it ends or dies; the number of the next input."""
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile("w+") as stderr:
        places = {f"XDG_{name}_HOME": home for name in ("CONFIG", "DATA", "STATE", "CACHE")}
        environment = {
            **os.environ,
            **places,
            "TMPDIR": home,
            "CTSEG_BUNDLES": "",
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", target, str(seed), str(first), str(count)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        current, sound = -1, []
        assert worker.stdout is not None
        while True:
            watch = Timer(WALL_SECONDS, worker.kill)
            watch.start()
            line = worker.stdout.readline()
            watch.cancel()
            if not line:
                break
            result = json.loads(line)
            if "seed" in result:
                sound.append(
                    result["what"] + (": " + result.get("text", "") if result["what"] != "result" else "")
                )
            elif "begin" in result:
                current = result["begin"]
            else:
                tally.inputs += 1
                tally.counts[result["what"]] += 1
                if result["what"] == "fault":
                    tally.faults.append(
                        _reproducer(target, seed, current, f"{result['text']}\n{result.get('trace', '')}")
                    )
        tally.sound = sound or tally.sound
        if worker.wait() == 0:
            return first + count
        stderr.seek(0)
        printed = stderr.read()[-2000:]
    if current < first:
        raise RuntimeError(f"The worker for {target} ended before its first input: {printed}")
    tally.inputs += 1
    tally.counts["fault"] += 1
    tally.faults.append(
        _reproducer(target, seed, current, f"the process ended with {worker.returncode}\n{printed}")
    )
    return current + 1


def _reproducer(target: str, seed: int, number: int, what: str) -> str:
    return (
        f"{target}, seed {seed}, input {number}: {what}\nrepeat it: python -m tests.fuzz.worker {target} "
        f"{seed} {number} 1 FOLDER"
    )


if __name__ == "__main__":
    from tests.fuzz.targets import TARGETS

    for name in sys.argv[3:] or TARGETS:
        found = fuzz(name, int(sys.argv[1]), int(sys.argv[2]))
        print(
            f"{name}: {found.inputs} inputs in {found.seconds:.0f} s, {dict(found.counts)}; sound: "
            f"{found.sound}",
            flush=True,
        )
        for fault in found.faults:
            print("  " + fault.replace("\n", "\n    "), flush=True)
