"""What an event costs in the GUI thread: a slice change, a move of the crosshair, a move of the brush.

   python benchmarks/viewer.py [--size 300,512,512] [--labels 8,117] [--events 30] [--turns 3]

One napari window with a CT and its label map, as it is ("plain") and with the linked planes, in turns. Timed
is the CPU time of the GUI thread (`time.thread_time`) from the event until the canvases are drawn; what a
software renderer does in threads of its own is not in it. Given are medians in ms and their ratios. The
crosshair is compared with a plain slice change. Without a display: xvfb-run -a python benchmarks/viewer.py
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import napari
import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QApplication

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels, Volume, Window
from napari_ctseg.viewer.planes import Layout, planes_of
from napari_ctseg.viewer.planes.place import go_to
from napari_ctseg.viewer.showing import show_labels, show_volume

SPACING_MM = (1.5, 0.8, 0.8)
WINDOW = (1640, 1000)
BRUSH = 25  # voxels
LAYOUTS = {"plain": Layout.ONE, "three planes": Layout.LARGE}
Event = Callable[[int], None]


def organs(size: tuple[int, ...], count: int) -> NDArray[np.uint8]:
    """A label map of `count` balls."""
    array, rng = np.zeros(size, np.uint8), np.random.default_rng(0)
    radius = np.maximum(2, (np.array(size) * 0.35 / count ** (1 / 3))).astype(int)
    ball = sum(
        (axis / r) ** 2 for axis, r in zip(np.ogrid[tuple(slice(-r, r) for r in radius)], radius, strict=True)
    )
    for value in range(1, count + 1):
        corner = [int(rng.integers(0, n - 2 * r)) for n, r in zip(size, radius, strict=True)]
        part = array[tuple(slice(c, c + 2 * r) for c, r in zip(corner, radius, strict=True))]
        part[ball < 1] = value
    return array


def scene(size: tuple[int, ...], count: int) -> tuple[Any, Any, Any]:
    """A window with a noisy CT and its label map."""
    viewer = napari.Viewer(title="benchmark")
    viewer.window.resize(*WINDOW)
    geometry = Geometry.from_parts(size, SPACING_MM)
    noise = np.random.default_rng(1).integers(-100, 200, size, np.int16)
    image = show_volume(viewer, Volume(noise, geometry, modality="CT"), "CT", Window("abdomen", 400, 50))
    labels = Labels.from_names({value: f"organ {value}" for value in range(1, count + 1)})
    mask = show_labels(viewer, LabelMap(organs(size, count), geometry, labels), "mask", role="edited")
    mask.brush_size, mask.mode = BRUSH, "pan_zoom"
    return viewer, image, mask


def events(viewer: Any, mask: Any) -> dict[str, Event]:
    """By name, what happens at the n-th event of its kind."""
    depth, rows, columns = mask.data.shape

    def slice_change(n: int) -> None:
        mask.mode = "pan_zoom"
        viewer.dims.set_current_step(0, depth // 4 + n)

    def crosshair_move(n: int) -> None:
        place = (depth // 2, rows // 3 + 3 * n, columns // 3 + 2 * n)
        go_to(viewer, tuple(mask.data_to_world(place)))

    def brush_move(n: int) -> None:
        at = np.array((viewer.dims.current_step[0], rows // 3 + n, columns // 3 + 2 * n))
        mask.mode = "paint"
        with mask.block_history():
            mask._draw(1 + n % 2, at, at + np.array((0, 1, 2)))

    return {"slice change": slice_change, "crosshair move": crosshair_move, "brush move": brush_move}


def timed(event: Event, count: int) -> Iterator[float]:
    """ms of the GUI thread for each of `count` events after the first."""
    for n in range(count + 1):
        settle()
        start = time.thread_time()
        event(n)
        settle()
        if n:
            yield (time.thread_time() - start) * 1000


def settle() -> None:
    """Draw what is to be drawn."""
    for _ in range(3):
        QApplication.processEvents()


def run(size: tuple[int, ...], count: int, number: int, turns: int) -> None:
    """Print the table of one label map."""
    viewer, _, mask = scene(size, count)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(turns):
        for name, layout in LAYOUTS.items():
            planes_of(viewer).show(layout)
            settle()
            for what, event in events(viewer, mask).items():
                found[name, what] += timed(event, number)
    print(f"\n{count} labels, {'x'.join(map(str, size))}: median (largest) ms, and the ratio to plain")
    for what in events(viewer, mask):
        plain = statistics.median(found["plain", "slice change" if what.startswith("cross") else what])
        cells = [
            f"{name} {statistics.median(ms):.1f} ({max(ms):.0f}) x{statistics.median(ms) / plain:.2f}"
            for name in LAYOUTS
            for ms in (found[name, what],)
        ]
        print(f"{what:15} " + "   ".join(cells))
    viewer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="300,512,512")
    parser.add_argument("--labels", default="8,117")
    parser.add_argument("--events", type=int, default=30)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    print(f"napari {napari.__version__}, Python {platform.python_version()}, {platform.machine()}")
    for count in map(int, options.labels.split(",")):
        run(tuple(map(int, options.size.split(","))), count, options.events, options.turns)


if __name__ == "__main__":
    main()
