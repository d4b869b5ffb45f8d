"""A folder of cases through `napari-ctseg predict`: one process for all next to one process a case.

    python benchmarks/cohort.py CASES_FOLDER -m headneck-ct-scn --cases 20
    python benchmarks/cohort.py CASES_FOLDER -m headneck-ct-scn --cases 20 --write docs/speed.md

Both ways run the same command on links to the same files, in turn, in fp32 (`auto` is measured on the busy
machine, and may differ from process to process), and must write the same labels. The memory
of the folder's process after its first and after its last case shows whether it grows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import torch

from benchmarks.speed.measuring import MEGABYTE, machine, write_section
from ctseg_imaging.formats import read_labels

HEADING = "A folder of cases"
COMMAND = (sys.executable, "-m", "napari_ctseg.commands.main", "predict", "--precision", "fp32")
LOOK_S = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    images = sorted(path for path in options.folder.iterdir() if path.name.endswith(".nii.gz"))[
        : options.cases
    ]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        linked = [place / "in" / path.name for path in images]
        linked[0].parent.mkdir()
        for link, path in zip(linked, images, strict=True):
            link.symlink_to(path.resolve())
        together, first, last = _folder(options.model, place / "in", place / "together")
        apart = _each(options.model, linked, place / "apart")
        _compare(place / "together", place / "apart")
    text = (
        f"Made by `benchmarks/cohort.py`. {machine(torch.get_num_threads(), 'cpu')} {len(images)} cases of "
        f"`{options.folder.parent.name}` with `{options.model}`, the same labels both ways.\n\n"
        "| | seconds | seconds a case |\n|---|---:|---:|\n"
        f"| one process for the folder | {together:.1f} | {together / len(images):.2f} |\n"
        f"| one process a case | {apart:.1f} | {apart / len(images):.2f} |\n\n"
        f"One process is {apart / together:.2f} times as fast. It holds at most {first / MEGABYTE:.0f} MB "
        f"in the first third of the time and {last / MEGABYTE:.0f} MB in the last."
    )
    print(text)
    if options.write:
        write_section(options.write, HEADING, text)


def _folder(model: str, source: Path, target: Path) -> tuple[float, float, float]:
    """(seconds, most bytes in the first third of the time, in the last third)."""
    sizes: list[tuple[float, int]] = []
    begun = time.perf_counter()
    child = subprocess.Popen([*COMMAND, "-m", model, source, target], stdout=subprocess.DEVNULL)
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(child.pid, sizes, stop))
    watcher.start()
    code = child.wait()
    seconds = time.perf_counter() - begun
    stop.set()
    watcher.join()
    if code:
        raise RuntimeError(f"predict ended with {code}")
    start, end = sizes[0][0], sizes[-1][0]
    third = (end - start) / 3
    return (
        seconds,
        max(size for moment, size in sizes if moment <= start + third),
        max(size for moment, size in sizes if moment >= end - third),
    )


def _watch(pid: int, sizes: list[tuple[float, int]], stop: threading.Event) -> None:
    """The memory of a process and its children, until `stop`."""
    process = psutil.Process(pid)
    while not stop.wait(LOOK_S):
        try:
            family = [process, *process.children(recursive=True)]
            sizes.append((time.perf_counter(), sum(one.memory_info().rss for one in family)))
        except psutil.NoSuchProcess:
            continue


def _each(model: str, images: Sequence[Path], target: Path) -> float:
    begun = time.perf_counter()
    for image in images:
        subprocess.run(
            [*COMMAND, "-m", model, image, target / image.name], stdout=subprocess.DEVNULL, check=True
        )
    return time.perf_counter() - begun


def _compare(one: Path, other: Path) -> None:
    for path in sorted(one.glob("*.nii.gz")):
        if not np.array_equal(read_labels(path).array, read_labels(other / path.name).array):
            raise RuntimeError(f"{path.name}: the two ways differ")


if __name__ == "__main__":
    main()
