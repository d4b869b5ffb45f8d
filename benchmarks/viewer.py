"""What an event costs in the GUI thread: a slice change, a move of the crosshair, a move of the brush.

   python benchmarks/viewer.py [--size 300,512,512] [--labels 8,117] [--events 20] [--turns 3] [--write PAGE]

A CT with a truth and a prediction in one napari window: in napari without this plugin, then as the plugin
shows them ("plain"), with Compare (contours and error map), with the linked planes, and with both, in turns.
Timed is the CPU time of the GUI thread (`time.thread_time`) from the event until the canvases are drawn; what
a software renderer does in threads of its own is not in it. With Compare it ends when the contours, which a
thread makes, are on the canvases. A brush move ends its stroke, so Compare counts the painted slice within
it. The first event of each series is left out. The crosshair has no counterpart in
napari and is compared with a plain slice change. Without a display: xvfb-run -a python benchmarks/viewer.py
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="ctseg-viewer-")
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="ctseg-viewer-")

import napari
import numpy as np
import torch
from numpy.typing import NDArray
from qtpy.QtCore import QEventLoop
from qtpy.QtWidgets import QApplication

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels, Volume, Window
from napari_ctseg.docks.compare.state import Phase
from napari_ctseg.docks.compare.view import CompareDock
from napari_ctseg.viewer.painting import Painting
from napari_ctseg.viewer.planes import Layout, planes_of
from napari_ctseg.viewer.planes.place import go_to
from napari_ctseg.viewer.showing import show_labels, show_volume

SPACING_MM = (1.5, 0.8, 0.8)
WINDOW = (1640, 1000)
BRUSH = 25  # voxels
PATIENCE_S = 300.0
NAPARI, PLAIN, COMPARE, PLANES, ALL = "napari", "plain", "Compare", "three planes", "both"
WAYS = (PLAIN, COMPARE, PLANES, ALL)
SLICE, CROSSHAIR, BRUSH_MOVE = "slice change", "crosshair move", "brush move"
MOST_MS, METRICS_MS = 200.0, 16.0
# What is measured, against what, and how many times as long it may take.
BARS = (
    (SLICE, COMPARE, PLAIN, {8: 1.25, 117: 2.0}),
    (SLICE, PLANES, PLAIN, {8: 2.0, 117: 2.0}),
    (BRUSH_MOVE, ALL, NAPARI, {8: 1.3, 117: 1.3}),
)
Event = Callable[[int], None]
Times = dict[tuple[str, str], list[float]]


def organs(size: tuple[int, ...], count: int, shift: int = 0) -> NDArray[np.uint8]:
    """A label map of `count` balls, moved by `shift` voxels."""
    array, rng = np.zeros(size, np.uint8), np.random.default_rng(0)
    radius = np.maximum(2, (np.array(size) * 0.35 / count ** (1 / 3))).astype(int)
    ball = sum(
        (axis / r) ** 2 for axis, r in zip(np.ogrid[tuple(slice(-r, r) for r in radius)], radius, strict=True)
    )
    for value in range(1, count + 1):
        corner = [int(rng.integers(0, n - 2 * r - shift)) + shift for n, r in zip(size, radius, strict=True)]
        part = array[tuple(slice(c, c + 2 * r) for c, r in zip(corner, radius, strict=True))]
        part[ball < 1] = value
    return array


class Scene:
    """A window with a noisy CT, a truth, and a prediction that is painted on."""

    def __init__(self, size: tuple[int, ...], count: int) -> None:
        self.viewer: Any = napari.Viewer(title="benchmark")
        self.viewer.window.resize(*WINDOW)
        self.geometry, self.count = Geometry.from_parts(size, SPACING_MM), count
        self.noise = np.random.default_rng(1).integers(-100, 200, size, np.int16)
        self.maps = organs(size, count), organs(size, count, 4)
        self.mask: Any = self.show()
        self.mask.brush_size, self.mask.mode = BRUSH, "pan_zoom"
        self.contours: Any = None

    def show(self) -> Any:
        """As napari shows them by itself."""
        self.viewer.add_image(self.noise, contrast_limits=(-150, 250), scale=SPACING_MM)
        for array in self.maps:
            layer = self.viewer.add_labels(array, scale=SPACING_MM)
        return layer

    def flush(self) -> None:
        """Do what follows a stroke."""

    @property
    def drawn(self) -> bool:
        """Whether all canvases show what they should."""
        return self.contours is None or self.contours.complete

    def events(self) -> dict[str, Event]:
        """By name, what happens at the n-th event of its kind."""
        viewer, mask = self.viewer, self.mask
        depth, rows, columns = mask.data.shape

        def slice_change(n: int) -> None:
            viewer.dims.set_current_step(0, depth // 4 + n)

        def brush_move(n: int) -> None:
            at = np.array((viewer.dims.current_step[0], rows // 3 + n, columns // 3 + 2 * n))
            with mask.block_history():
                mask._draw(1 + n % 2, at, at + np.array((0, 1, 2)))
            self.flush()

        return {SLICE: slice_change, BRUSH_MOVE: brush_move}


class OurScene(Scene):
    """The same through the plugin."""

    def show(self) -> Any:
        """As the plugin shows them."""
        volume = Volume(self.noise, self.geometry, modality="CT")
        show_volume(self.viewer, volume, "CT", Window("abdomen", 400, 50))
        names = Labels.from_names({value: f"organ {value}" for value in range(1, self.count + 1)})
        for array, role in zip(self.maps, ("truth", "edited"), strict=True):
            layer = show_labels(self.viewer, LabelMap(array, self.geometry, names), role, role=role)
        return layer

    def flush(self) -> None:
        """Let Compare know of the stroke at once."""
        Painting.of(self.mask).flush()

    def events(self) -> dict[str, Event]:
        """Those of napari, and the crosshair."""
        depth, rows, columns = self.mask.data.shape

        def crosshair_move(n: int) -> None:
            place = (depth // 2, rows // 3 + 3 * n, columns // 3 + 2 * n)
            go_to(self.viewer, tuple(self.mask.data_to_world(place)))

        return {**super().events(), CROSSHAIR: crosshair_move}

    @contextmanager
    def looking(self, way: str) -> Iterator[None]:
        """Compare and planes as `way` has them."""
        planes_of(self.viewer).show(Layout.LARGE if way in (PLANES, ALL) else Layout.ONE)
        if way not in (COMPARE, ALL):
            yield
            return
        dock = CompareDock(self.viewer)
        frame = self.viewer.window.add_dock_widget(dock)
        wait_for(lambda: dock.controller.state.phase is Phase.READY)
        dock.controller.overlays.set_contours(True)
        dock.controller.overlays.set_errors(True)
        self.contours = dock.controller.overlays.contours
        yield
        self.contours = None
        self.viewer.window.remove_dock_widget(frame)


def wait_for(done: Callable[[], bool]) -> None:
    """Let Qt work until `done`; the thread sleeps while there is nothing to do."""
    end = time.monotonic() + PATIENCE_S
    while not done():
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
        if time.monotonic() > end:
            raise RuntimeError("Compare did not finish counting or drawing.")


def settle() -> None:
    """Draw what is to be drawn."""
    for _ in range(3):
        QApplication.processEvents()


def measure(scene: Scene, way: str, number: int, found: Times) -> None:
    """ms of the GUI thread for `number` events of each kind after the first."""
    for what, event in scene.events().items():
        scene.mask.mode = "paint" if what == BRUSH_MOVE else "pan_zoom"
        scene.viewer.layers.selection.active = scene.mask
        for n in range(number + 1):
            settle()
            start = time.thread_time()
            event(n)
            settle()
            wait_for(lambda: scene.drawn)
            if n:
                found[way, what].append((time.thread_time() - start) * 1000)
    scene.mask.mode = "pan_zoom"


def run(size: tuple[int, ...], count: int, number: int, turns: int) -> Times:
    """All times for label maps of `count` labels."""
    found: Times = defaultdict(list)
    scene = Scene(size, count)
    for _ in range(turns):
        measure(scene, NAPARI, number, found)
    scene.viewer.close()
    ours = OurScene(size, count)
    for _ in range(turns):
        for way in WAYS:
            with ours.looking(way):
                settle()
                measure(ours, way, number, found)
    ours.viewer.close()
    return found


def table(found: Times) -> list[str]:
    """Medians with the largest in brackets, in ms."""
    lines = [f"| ms | {' | '.join((NAPARI, *WAYS))} |", f"|---|{'---|' * (1 + len(WAYS))}"]
    for what in (SLICE, CROSSHAIR, BRUSH_MOVE):
        cells = [
            f"{statistics.median(ms):.1f} ({max(ms):.0f})" if (ms := found.get((way, what))) else "–"
            for way in (NAPARI, *WAYS)
        ]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return lines


def verdicts(found: Times, count: int) -> list[str]:
    """Each bar, and whether it is met."""
    lines = []
    for what, way, against, most in BARS:
        ratio = statistics.median(found[way, what]) / statistics.median(found[against, what])
        allowed = most.get(count, max(most.values()))
        lines.append(
            f"- {what}, {way} against {against}: {ratio:.2f} times, at most {allowed:g}: "
            f"{'yes' if ratio <= allowed else 'no'}"
        )
    metrics = statistics.median(found[COMPARE, BRUSH_MOVE]) - statistics.median(found[PLAIN, BRUSH_MOVE])
    lines.append(
        f"- live metrics and overlays add {metrics:.1f} ms to a stroke, at most {METRICS_MS:g}: "
        f"{'yes' if metrics <= METRICS_MS else 'no'}"
    )
    longest = max(max(ms) for ms in found.values())
    answer = "yes" if longest <= MOST_MS else "no"
    return [*lines, f"- no event over {MOST_MS:g} ms: {answer} ({longest:.0f})"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="300,512,512")
    parser.add_argument("--labels", default="8,117")
    parser.add_argument("--events", type=int, default=20)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    size = tuple(map(int, given.size.split(",")))
    explained = " ".join(__doc__.split("\n\n")[2].split("Without a display")[0].split())
    lines = ["# Speed of the viewer", "", f"Made by `benchmarks/viewer.py`. {explained}", ""]
    lines += [
        f"napari {napari.__version__}, Python {platform.python_version()}, {platform.machine()} "
        f"({torch.backends.cpu.get_cpu_capability()}), "
        f"window {WINDOW[0]} x {WINDOW[1]}. Medians, in brackets the largest."
    ]
    for count in map(int, given.labels.split(",")):
        found = run(size, count, given.events, given.turns)
        lines += ["", f"## {count} labels, {' x '.join(map(str, size))} voxels", "", *table(found)]
        lines += ["", *verdicts(found, count)]
    print("\n".join(lines))
    if given.write is not None:
        given.write.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
