"""What a slice change costs in the GUI thread while two label maps are compared.

   python benchmarks/compare_view.py [--size 300,512,512] [--labels 8,117] [--events 30] [--turns 3]

One napari window with a CT, a truth and a prediction, in turns as it is ("plain": both filled), with contours
and error map, and the same in three planes. Timed is the CPU time of the GUI thread (`time.thread_time`) from
the event until the canvases are drawn and the contours of the slice are on them. Given are medians in ms and
their ratios to plain. Without a display: xvfb-run -a python benchmarks/compare_view.py
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from benchmarks.viewer import scene, settle
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels
from napari_ctseg.docks.compare.view import CompareDock
from napari_ctseg.viewer.planes import Layout, planes_of
from napari_ctseg.viewer.showing import show_labels

BARS = {8: 1.25, 117: 2.0}
ALONE, COMPARED, PLANES = "plain", "compared", "compared, three planes"
FLAGS = ("avx2", "avx512f", "avx512_vnni", "amx_tile")


def cpu() -> str:
    """The processor and what it can do."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    known = dict(line.split("\t", 1) for line in lines if "\t" in line)
    flags = known.get("flags", "").split()
    name = known.get("model name", platform.processor()).strip("\t: ")
    return f"{name}, {' '.join(flag for flag in FLAGS if flag in flags)}"


def compared(size: tuple[int, ...], count: int) -> tuple[Any, Any]:
    """A window with CT, truth and prediction (the truth, moved by three voxels), and its Compare dock."""
    viewer, _, truth = scene(size, count)
    moved = np.roll(truth.data, (1, 3, -3), (0, 1, 2))
    labels = Labels.from_names({value: f"organ {value}" for value in range(1, count + 1)})
    show_labels(viewer, LabelMap(moved, Geometry.from_parts(size, truth.scale), labels), "prediction")
    dock = CompareDock(viewer)
    dock.controller.choose(prediction="prediction", truth="mask")
    wait(lambda: bool(dock.controller.state.scores.rows) and not dock.controller.state.scores.measuring)
    return viewer, dock


def wait(until: Any) -> None:
    """Run the event loop without burning CPU time of the thread."""
    while not until():
        QApplication.processEvents()
        time.sleep(0.002)


def arrange(viewer: Any, dock: CompareDock, name: str) -> None:
    """Show what is to be measured."""
    planes_of(viewer).show(Layout.LARGE if name == PLANES else Layout.ONE)
    for set_on in (dock.controller.overlays.set_contours, dock.controller.overlays.set_errors):
        set_on(name != ALONE)
    for _ in range(50):
        settle()
        time.sleep(0.01)


def drawn(dock: CompareDock) -> bool:
    """Whether all canvases have their contours."""
    contours = dock.controller.overlays.contours
    return contours is None or contours.complete


def slice_change(viewer: Any, dock: CompareDock, index: int) -> float:
    """ms of the GUI thread."""
    settle()
    start = time.thread_time()
    viewer.dims.set_current_step(0, index)
    settle()
    spent = time.thread_time() - start
    while not drawn(dock):
        time.sleep(0.002)
        start = time.thread_time()
        settle()
        spent += time.thread_time() - start
    return spent * 1000


def run(size: tuple[int, ...], count: int, events: int, turns: int) -> None:
    """Print the line of one label count."""
    viewer, dock = compared(size, count)
    found: dict[str, list[float]] = defaultdict(list)
    for turn in range(turns):
        for name in (ALONE, COMPARED, PLANES):
            arrange(viewer, dock, name)
            first = size[0] // 4 + 2 * turn
            found[name] += [slice_change(viewer, dock, first + n) for n in range(events)][1:]
    plain = statistics.median(found[ALONE])
    cells = [
        f"{name} {statistics.median(ms):.1f} ({max(ms):.0f}) x{statistics.median(ms) / plain:.2f}"
        for name, ms in found.items()
    ]
    print(f"{count} labels, {'x'.join(map(str, size))}: median (largest) ms, and the ratio to plain")
    print("   ".join(cells), flush=True)
    if (bar := BARS.get(count)) is not None:
        ratio = statistics.median(found[COMPARED]) / plain
        print(f"compared at most x{bar}: {'yes' if ratio <= bar else 'no'}")
    dock.controller.close()
    viewer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="300,512,512")
    parser.add_argument("--labels", default="8,117")
    parser.add_argument("--events", type=int, default=30)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    print(f"napari {napari.__version__}, Python {platform.python_version()}, {cpu()}")
    for count in map(int, options.labels.split(",")):
        run(tuple(map(int, options.size.split(","))), count, options.events, options.turns)


if __name__ == "__main__":
    main()
