"""The correcting tools used by a scripted user on held-out cases: Dice and HD95 after 1, 3, 5 and 10 steps.

   python benchmarks/correcting.py DATA_SET OUT --model BUNDLE    # again to go on after an interruption
   python benchmarks/correcting.py headneck-ct OUT --table          # of the cases measured so far

DATA_SET : headneck-ct (its 20 validation cases) or hippocampus-mr (every 13th of the sorted list). The
protocol is in docs/correcting-tools.md. With --itk PYTHON, one with itk-morphologicalcontourinterpolation,
slices are also erased and filled by both ways.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cc3d
import edt
import numpy as np
import torch
from numpy.typing import NDArray

import napari_ctseg as ctseg
from benchmarks.erased_slices import filled
from ctseg_imaging.editing import (
    INSIDE,
    OUTSIDE,
    VolumeThreshold,
    around_mask,
    box_of_seeds,
    grow_from_seeds,
)
from ctseg_imaging.editing.carry import carry_correction
from ctseg_imaging.editing.morphology import Slices, bounding_box
from ctseg_imaging.geometry import Triple
from ctseg_imaging.metrics.surfaces import surface_distances
from ctseg_imaging.resampling import resample
from ctseg_training.proximal import DRSettings
from ctseg_training.proximal.douglas_rachford import solve

STEPS = (1, 3, 5, 10)
MARGIN, DRAWN_MARGIN = 8, 3  # voxels around the structure: what is kept of the case, a box drawn by hand
REACH_MM = 15.0  # of Grow around its strokes
CARRIED_MM = 12.0
Mask = NDArray[np.bool_]
Point = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Structure:
    """One contoured structure in its box: what is right, what the model gives, and how probable it is."""

    image: NDArray[np.float32]
    truth: Mask
    start: Mask
    probability: NDArray[np.float32]
    spacing_mm: Triple


# ---- the scripted user


def centre_of_error(mask: Mask, truth: Mask, spacing_mm: Triple) -> tuple[Point, float, Mask] | None:
    """The deepest voxel of the largest error component, its depth in mm, and the component."""
    parts = cc3d.connected_components(np.ascontiguousarray(mask != truth), connectivity=26)
    if not parts.any():
        return None
    largest = np.ascontiguousarray(parts == np.bincount(parts.ravel())[1:].argmax() + 1)
    depth = edt.edt(largest, anisotropy=spacing_mm, black_border=True, parallel=1)
    z, y, x = (int(i) for i in np.unravel_index(depth.argmax(), depth.shape))
    return (z, y, x), float(depth[z, y, x]), largest


def ball(shape: tuple[int, ...], centre: Point, radius_mm: float, spacing_mm: Triple) -> Mask:
    """The voxels within `radius_mm` of the centre."""
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    squares = sum(((a - c) * h) ** 2 for a, c, h in zip(axes, centre, spacing_mm, strict=True))
    return np.asarray(squares <= radius_mm**2)


def brush(one: Structure, start: Mask) -> Iterator[Mask]:
    """A 3D brush as large as fits into the error."""
    mask = start.copy()
    while True:
        if (found := centre_of_error(mask, one.truth, one.spacing_mm)) is not None:
            centre, depth, _ = found
            mask = np.where(ball(mask.shape, centre, depth, one.spacing_mm), one.truth[centre], mask)
        yield mask


def grow(
    one: Structure, start: Mask, box_of: Callable[[Structure, NDArray[np.uint8]], Slices | None]
) -> Iterator[Mask]:
    """Grow from seeds: a disc of half the depth in the slice of the error's centre."""
    seeds, mask = np.zeros(start.shape, np.uint8), start
    while True:
        if (found := centre_of_error(mask, one.truth, one.spacing_mm)) is not None:
            centre, depth, component = found
            stroke = ball(seeds.shape, centre, depth / 2, one.spacing_mm) & component
            stroke[: centre[0]] = stroke[centre[0] + 1 :] = False
            seeds[stroke] = INSIDE if one.truth[centre] else OUTSIDE
            box, mask = box_of(one, seeds), np.zeros_like(mask)
            mask[box] = grow_from_seeds(one.image[box], seeds[box], one.spacing_mm)
        yield mask


def near_strokes(one: Structure, seeds: NDArray[np.uint8]) -> Slices | None:
    """Grow's own box."""
    return box_of_seeds(seeds, REACH_MM, one.spacing_mm)


def drawn_box(one: Structure, seeds: NDArray[np.uint8]) -> Slices | None:
    """A box drawn by hand around what is right."""
    return bounding_box(one.truth, (DRAWN_MARGIN,) * 3)


def worst_slice(mask: Mask, truth: Mask) -> int:
    """The slice with the most wrong voxels."""
    return int((mask != truth).sum(axis=(1, 2)).argmax())


def redraw(one: Structure, start: Mask) -> Iterator[Mask]:
    """The worst slice is drawn right."""
    mask = start.copy()
    while True:
        k = worst_slice(mask, one.truth)
        mask = mask.copy()
        mask[k] = one.truth[k]
        yield mask


def propagate(one: Structure, start: Mask) -> Iterator[Mask]:
    """The worst slice is drawn right, and its correction carried on."""
    mask, drawn = start.copy(), set[int]()
    while True:
        k = worst_slice(mask, one.truth)
        if (mask[k] != one.truth[k]).any():
            drawn.add(k)
            after = mask.copy()
            after[k] = one.truth[k]
            mask = carry_correction(mask, after, k, one.spacing_mm, CARRIED_MM, drawn)
        yield mask


# ---- Refine: one movement of the slider


def at_volume(one: Structure, share: float) -> Mask:
    """The mask of `share` of the right volume."""
    levels = VolumeThreshold(one.probability, one.spacing_mm)
    return levels.mask(levels.threshold(share * float(one.truth.sum()) * levels.voxel_ml))


def refined(one: Structure, share: float) -> Mask:
    """As Refine does it: where the mask of the model differs from the level set of the map, it stays."""
    kept = around_mask(one.probability, one.start, one.spacing_mm)
    return at_volume(Structure(one.image, one.truth, one.start, kept, one.spacing_mm), share)


def douglas_rachford(one: Structure, mu: float) -> Mask:
    """Paper 1's u with the right volume and edges of the image, cut at its volume."""
    slope = np.stack(np.gradient(one.image, *one.spacing_mm))
    size = np.sqrt((slope**2).sum(0))
    g = 1 / (1 + (size / np.median(size[size > 0])) ** 2)
    area = torch.tensor([float(one.truth.sum())])
    maps = (torch.from_numpy(np.ascontiguousarray(a, np.float32))[None] for a in (one.probability, g))
    u = solve(*maps, area, DRSettings(mu=mu, max_iterations=300), spacing=one.spacing_mm).u[0].numpy()
    return at_volume(Structure(one.image, one.truth, one.start, u, one.spacing_mm), 1.0)


SLIDERS: dict[str, Callable[[Structure], Mask]] = {
    "model": lambda one: one.start,
    "probability at a half": lambda one: np.asarray(one.probability >= 0.5),
    **{
        f"volume, {round(100 * s)} % of the right one": lambda one, s=s: at_volume(one, s)
        for s in (1, 0.8, 1.2)
    },
    **{
        f"Refine, {round(100 * s)} % of the right volume": lambda one, s=s: refined(one, s)
        for s in (1, 0.8, 1.2)
    },
    **{f"Douglas-Rachford, mu {mu}": lambda one, mu=mu: douglas_rachford(one, mu) for mu in (2.0, 10.0)},
}
TOOLS: dict[str, tuple[Callable[[Structure, Mask], Iterator[Mask]], bool]] = {
    "nothing: brush": (brush, False),
    "nothing: Grow": (partial(grow, box_of=near_strokes), False),
    "nothing: Grow in a drawn box": (partial(grow, box_of=drawn_box), False),
    "model: brush": (brush, True),
    "model: slice redrawn": (redraw, True),
    "model: slice redrawn, carried": (propagate, True),
}


# ---- one case


def score(mask: Mask, one: Structure) -> tuple[float, float]:
    """Dice and HD95 in mm."""
    dice = 2 * int((mask & one.truth).sum()) / (int(mask.sum()) + int(one.truth.sum()))
    return dice, surface_distances(mask, one.truth, one.spacing_mm).hausdorff(95)


def measured(one: Structure) -> dict[str, Any]:
    """Scores after each number of steps, and the CPU seconds of a step."""
    found: dict[str, Any] = {}
    for name, (tool, from_model) in TOOLS.items():
        begun, user = time.process_time(), tool(one, one.start if from_model else np.zeros_like(one.start))
        masks = [next(user) for _ in range(max(STEPS))]
        seconds = (time.process_time() - begun) / max(STEPS)
        found[name] = {"scores": [score(masks[n - 1], one) for n in STEPS], "seconds": seconds}
    for name, slider in SLIDERS.items():
        begun = time.process_time()
        mask = slider(one)
        found[name] = {"scores": [score(mask, one)], "seconds": time.process_time() - begun}
    return found


def structures(image: Path, label: Path, model: str) -> Iterator[tuple[str, Structure]]:
    """Those that the case contours."""
    volume, truth = ctseg.read(image), ctseg.read_labels(label)
    prediction = ctseg.predict(image, model, probabilities=True, threads=1)
    assert prediction.probabilities is not None
    maps = prediction.probabilities
    for number, entry in enumerate(prediction.labels.labels, start=1):
        right = truth.array == entry.value
        if not right.any():
            continue
        probable = resample(ctseg.Volume(maps.array[number], maps.geometry), volume.geometry, fill=0.0).array
        start = prediction.labels.array == entry.value
        where = np.argwhere(right | start)
        low, high = where.min(0) - MARGIN, where.max(0) + MARGIN + 1
        box = tuple(slice(max(0, a), b) for a, b in zip(low, high, strict=True))
        yield (
            entry.name,
            Structure(
                np.asarray(volume.array[box], np.float32),
                np.ascontiguousarray(right[box]),
                np.ascontiguousarray(start[box]),
                np.asarray(probable[box], np.float32),
                volume.geometry.spacing_mm,
            ),
        )


# ---- all of them


def held_out(root: Path) -> list[dict[str, str]]:
    """The 20 cases."""
    listed = json.loads((root / "dataset.json").read_text())
    return listed["validation"] if "validation" in listed else sorted(listed["training"], key=str)[::13]


def table(results: list[dict[str, Any]]) -> None:
    """Mean Dice and median HD95 over all structures, and CPU milliseconds of a step."""
    print(f"{len(results)} structures; Dice / HD95 in mm after {STEPS} steps; CPU ms of a step")
    for name in [n for n in results[0] if n not in ("case", "name") and not n.startswith("fill")]:
        scores = np.array([r[name]["scores"] for r in results])
        means, medians = scores[..., 0].mean(0), np.median(scores[..., 1], 0)
        cells = [f"{dice:.3f} / {mm:.1f}" for dice, mm in zip(means, medians, strict=True)]
        milliseconds = 1e3 * np.mean([r[name]["seconds"] for r in results])
        print(f"{name:34}", "   ".join(cells), f"  {milliseconds:.0f}")
    for name in [n for n in results[0] if n.startswith("fill")]:
        found = [r[name] for r in results if "dice" in r.get(name, {})]
        dice, seconds = (np.mean([f[key] for f in found], axis=0) for key in ("dice", "seconds"))
        cells = [f"{d:.4f}, {1e3 * s:.1f} ms" for d, s in zip(dice, seconds, strict=True)]
        failed = sum("failed" in r.get(name, {}) for r in results)
        print(
            f"{name} {len(found)} structures: ours {cells[0]}; ITK {cells[1]}, which failed on {failed} more"
        )


def main() -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_set", choices=["headneck-ct", "hippocampus-mr"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=os.environ.get("CTSEG_SHARED_DATA", "../shared/data"))
    parser.add_argument("--model", default="headneck-ct-scn")
    parser.add_argument("--itk", default="", help="a Python with itk-morphologicalcontourinterpolation")
    parser.add_argument("--table", action="store_true", help="only print what was measured")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    root = Path(chosen.data) / chosen.data_set
    chosen.out.mkdir(parents=True, exist_ok=True)
    for case in [] if chosen.table else held_out(root):
        name = Path(case["image"]).name.split(".")[0]
        if (file := chosen.out / f"{name}.json").exists():
            continue
        rows = []
        for structure, one in structures(root / case["image"], root / case["label"], chosen.model):
            rows.append({"case": name, "name": structure, **measured(one)})
            for gap in (2, 4) if chosen.itk else ():
                rows[-1][f"fill between, every {gap}."] = filled(one.truth, one.spacing_mm, gap, chosen.itk)
        file.write_text(json.dumps(rows))
        print(name, flush=True)
    table([row for file in sorted(chosen.out.glob("*.json")) for row in json.loads(file.read_text())])


if __name__ == "__main__":
    main()
