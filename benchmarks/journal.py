"""What the journal adds to a brush stroke in the GUI thread, and its use of disk and memory.

   python benchmarks/journal.py [--strokes 1000] [--size 300,512,512] [--dabs 10]

Three label layers of 8 classes in one napari window get the same drags through napari's own mouse callbacks,
in turns of fifty: one as in napari, one with this project's brush rules and undo (Painting), and one that is
recorded as well. All work of the writer's thread falls into the turn of the recorded layer. Timed are the
callbacks in the GUI thread with all their listeners; the picture is drawn between the strokes. Without a
display: xvfb-run -a python benchmarks/journal.py
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="ctseg-journal-")

import napari
import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QApplication

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels
from napari_ctseg.journal.replay import replay
from napari_ctseg.journal.writer import WRITER
from napari_ctseg.recovery.autosave import autosave_of
from napari_ctseg.viewer.layers import ROLE, label_data
from napari_ctseg.viewer.painting import Painting

CLASSES, TURN = 8, 50
SPACING_MM = (1.5, 0.8, 0.8)
Points = list[tuple[int, int, int]]


def organs(size: tuple[int, ...]) -> NDArray[np.uint8]:
    """A label map of eight ellipsoids."""
    array = np.zeros(size, np.uint8)
    at = np.ogrid[tuple(slice(0, n) for n in size)]
    rng = np.random.default_rng(0)
    for value in range(1, CLASSES + 1):
        distance = sum(
            ((axis - n * rng.uniform(0.2, 0.8)) / (n * rng.uniform(0.06, 0.15))) ** 2
            for axis, n in zip(at, size, strict=True)
        )
        array[distance < 1] = value
    return array


def drags(size: tuple[int, ...], dabs: int) -> Iterator[tuple[int, int, Points]]:
    """Class, diameter in voxels and mouse path of one drag after the other."""
    rng = np.random.default_rng(1)
    while True:
        k, y, x = (int(rng.integers(0, n)) for n in size)
        steps = np.cumsum(rng.integers(-6, 7, (dabs, 2)), axis=0) + np.array([y, x])
        path = [(k, int(np.clip(y, 0, size[1] - 1)), int(np.clip(x, 0, size[2] - 1))) for y, x in steps]
        yield int(rng.integers(0, CLASSES + 1)), int(rng.integers(5, 31)), path


def drag(layer: Any, path: Points) -> float:
    """The seconds of a drag's callbacks, from press to release."""
    event = SimpleNamespace(
        type="mouse_press",
        button=1,
        dims_displayed=[1, 2],
        view_direction=None,
        handled=False,
        modifiers=(),
        position=layer.data_to_world(path[0]),
    )
    taken = -time.perf_counter()
    strokes = [
        stroke
        for stroke in (callback(layer, event) for callback in layer.mouse_drag_callbacks)
        if hasattr(stroke, "__next__")
    ]
    for kind, point in (
        ("mouse_press", path[0]),
        *(("mouse_move", point) for point in path[1:]),
        ("mouse_release", path[-1]),
    ):
        event.type, event.position = kind, layer.data_to_world(point)
        for stroke in strokes:
            next(stroke, None)
    return taken + time.perf_counter()


def cpu() -> str:
    """The processor and its instruction sets."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = [
        flag
        for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
        if flag in found.get("flags", "").split()
    ]
    return f"{found.get('model name', platform.processor())} ({', '.join(flags)}), {os.cpu_count()} cores"


def main() -> None:
    """Print a table."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--strokes", type=int, default=1000)
    words.add_argument("--size", default="300,512,512", help="z,y,x voxels")
    words.add_argument("--dabs", type=int, default=10, help="positions of the mouse in a drag")
    given = words.parse_args()
    size = tuple(int(n) for n in given.size.split(","))
    viewer, array = napari.Viewer(), organs(size)
    geometry = Geometry.from_parts((size[0], size[1], size[2]), SPACING_MM, (0.0, 0.0, 0.0))
    autosave = autosave_of(viewer)
    layers = {}
    for name in ("napari alone", "Painting", "Painting and journal"):
        data, settings, _ = label_data(
            LabelMap(array.copy(), geometry, Labels.from_names({v: f"organ {v}" for v in range(1, 9)})), name
        )
        if not name.endswith("journal"):
            del settings["metadata"]  # the autosave records layers with a place in a patient
        else:
            settings["metadata"][ROLE] = "edited"
        layers[name] = viewer.add_labels(data, **settings)
    recorded = layers["Painting and journal"]
    Painting.of(layers["Painting"])
    for layer in layers.values():
        layer.mode = "paint"
    WRITER.flush()
    taken = measure(viewer, layers, drags(size, given.dabs), given.strokes)
    recording = autosave.recording(recorded)
    assert recording is not None and recording.path is not None
    journal, undo = recording.path.stat().st_size / 1e6, Painting.of(recorded).steps.history.size / 1e6
    begun = time.perf_counter()
    same = all(np.array_equal(layer.data, replay(recording.path).shown) for layer in layers.values())
    print(
        f"{given.strokes} strokes of {given.dabs} dabs on {given.size} voxels, {CLASSES} classes; {cpu()}\n"
    )
    print(
        "| layer | median ms | p95 ms | ratio of medians | ratio of p95 | median of ratios |\n| --- | --- | "
        "--- | --- | --- | --- |"
    )
    for name, values in taken.items():
        ms = np.array(values) * 1000
        ratios = [
            f"{journalled / other:.3f}"
            for journalled, other in (
                (np.median(taken["Painting and journal"]) * 1000, np.median(ms)),
                (np.percentile(taken["Painting and journal"], 95) * 1000, np.percentile(ms, 95)),
                (np.median(np.array(taken["Painting and journal"]) / np.array(values)), 1.0),
            )
        ]
        print(f"| {name} | {np.median(ms):.2f} | {np.percentile(ms, 95):.2f} | {' | '.join(ratios)} |")
    print(
        f"\njournal {journal:.2f} MB, undo {undo:.2f} MB; replayed in "
        f"{(time.perf_counter() - begun) / 3:.1f} s, {'equal' if same else 'NOT EQUAL'} to all three layers"
    )


def measure(
    viewer: Any, layers: dict[str, Any], strokes: Iterator[tuple[int, int, Points]], count: int
) -> dict[str, list[float]]:
    """Seconds of each stroke on each layer."""
    taken: dict[str, list[float]] = {name: [] for name in layers}
    for number in range(0, count, TURN):
        turn = [next(strokes) for _ in range(min(TURN, count - number))]
        names = list(layers)
        for name in names[number // TURN % 3 :] + names[: number // TURN % 3]:
            layer = layers[name]
            for value, diameter, path in turn:
                viewer.dims.set_point(0, float(layer.translate[0] + path[0][0] * layer.scale[0]))
                layer.selected_label, layer.brush_size = value, diameter
                QApplication.processEvents()
                taken[name].append(drag(layer, path))
            WRITER.flush()
    return taken


if __name__ == "__main__":
    main()
