"""The process that reads damaged files: `python -m tests.fuzz.worker TARGET SEED FIRST COUNT [KEEP]` from the
project's folder.

Writes a JSON line when an input begins and one when it ended. Input number N of a target and seed is always
the same. KEEP : a folder in which the damaged files stay. Memory and processor time of an input are limited,
so a bomb or a hang ends as a fault.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from random import Random
from typing import Any

from ctseg_imaging.errors import ChoiceNeeded, CtsegError, UnforeseenError
from tests.fuzz.mutations import mutate
from tests.fuzz.targets import TARGETS, Target

SECONDS = 10.0  # of processor time an input
MOST_FILES = 2  # damaged in one input


class Hang(BaseException):
    """An input took more processor time than it may; no `except Exception` holds it up."""


def main(name: str, seed: int, first: int, count: int, keep: str = "") -> None:
    """Read inputs [first, first + count) of a target."""
    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    warnings.simplefilter("ignore")
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as work:
        seeds = target.seeds(Path(work) / "seeds")
        for number, path in enumerate(seeds):
            results.write(
                json.dumps({"seed": number, **outcome(target, copied(path, Path(work) / f"sound{number}"))})
                + "\n"
            )
        limit(target.memory_mb)
        for number in range(first, first + count):
            results.write(json.dumps({"begin": number}) + "\n")
            rng = Random(f"{name} {seed} {number}")
            place = Path(keep or work) / f"{name}-{seed}-{number}"
            results.write(
                json.dumps({"end": number, **outcome(target, damaged(rng, target, rng.choice(seeds), place))})
                + "\n"
            )
            if not keep:
                shutil.rmtree(place, ignore_errors=True)


def limit(memory_mb: int) -> None:
    """Allow so much memory beyond what the process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def copied(path: Path, place: Path) -> Path:
    """A copy of a sound input's folder; the path in it."""
    root = next(parent for parent in path.parents if parent.name == "seeds")
    place.mkdir(parents=True)
    inside = path.relative_to(root)
    shutil.copytree(root / inside.parts[0], place / inside.parts[0])
    return place / inside


def damaged(rng: Random, target: Target, seed: Path, place: Path) -> Path:
    """A copy of a sound input of which one file or two are damaged, rarely missing."""
    path = copied(seed, place)
    files = sorted(
        file
        for file in place.rglob("*")
        if file.is_file() and not file.name.endswith(target.spared or ("\0",))
    )
    for file in rng.sample(files, min(len(files), rng.choice((1, 1, 1, MOST_FILES)))):
        if rng.random() < 0.02 and len(files) > 1:
            file.unlink()
        else:
            file.write_bytes(mutate(rng, file.name, file.read_bytes()))
    if target.fix is not None and rng.random() < 0.8:
        target.fix(path)
    return path


def outcome(target: Target, path: Path) -> dict[str, Any]:
    """What came of reading `path`: "result", "refused" with the sentence, or "fault" with what happened."""

    def end(_signal: int, _frame: Any) -> None:
        raise Hang

    signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        target.read(path)
    except CtsegError as error:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        return {"what": "fault" if (fault := no_sentence(error)) else "refused", "text": fault or str(error)}
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what came of this input
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        return {"what": "fault", "text": type(error).__name__, "trace": traceback.format_exc()[-3000:]}
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return {"what": "result"}


def no_sentence(error: CtsegError) -> str:
    """What is wrong with a refusal, "" if nothing is."""
    text = str(error)
    if isinstance(error, UnforeseenError):
        return f"unforeseen: {text}\n{''.join(traceback.format_exception(error))[-3000:]}"
    if (
        "\n" in text
        or len(text) < 20
        or (len(text) > 1500 and not isinstance(error, ChoiceNeeded))
        or not text.rstrip().endswith((".", "?", ")", '"'))
    ):
        return f"no sentence: {text!r}"
    return ""


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]), *sys.argv[5:])  # type: ignore[arg-type]
