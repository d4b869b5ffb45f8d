"""HD95, NSD, ASSD and Dice of four organs next to surface-distance and MONAI: time on one thread, and values.

   python benchmarks/metrics.py [--size 200,512,512] [--rounds 3]

Every tool begins with the same two label maps in memory and gives the four numbers of each organ. The rounds
of the tools alternate (MONAI: one round), and the fastest of each counts. `pip install surface-distance` for
the first comparison; what is not installed is left out. MONAI defines surfaces by boundary voxels and
computes in single precision; its values are compared with ours in its own convention.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import argparse
import importlib.util
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.metrics.boxes import label_boxes
from ctseg_imaging.metrics.conventions import Convention, surface_scores
from ctseg_imaging.metrics.overlap import joint_histogram
from ctseg_imaging.metrics.surfaces import surface_distances

LabelArray = NDArray[np.uint8]
SPACING_MM = (1.5, 0.8, 0.8)
TOLERANCE_MM = 2.0
# centre and radii as shares of the volume: about a liver, a spleen and two kidneys
ORGANS = (
    ((0.55, 0.45, 0.30), (0.30, 0.17, 0.19)),
    ((0.60, 0.60, 0.72), (0.16, 0.08, 0.09)),
    ((0.32, 0.68, 0.36), (0.15, 0.06, 0.06)),
    ((0.34, 0.72, 0.62), (0.15, 0.06, 0.06)),
)
VALUES = tuple(range(1, len(ORGANS) + 1))
COLUMNS = ("HD95 mm", "NSD", "ASSD mm", "Dice")


def organs(size: tuple[int, ...], seed: int) -> LabelArray:
    """Four ellipsoids with uneven surfaces; another seed moves and deforms them by some millimetres."""
    rng, array = np.random.default_rng(seed), np.zeros(size, np.uint8)
    grid = np.ogrid[tuple(slice(0.0, 1.0, n * 1j) for n in size)]
    for value, (centre, radii) in enumerate(ORGANS, start=1):
        moved = np.array(centre) + rng.normal(0, 0.005, 3)
        parts = [(axis - at) / radius for axis, at, radius in zip(grid, moved, radii, strict=True)]
        waves = [np.cos(rng.uniform(3, 9) * part + rng.uniform(0, 6)) for part in parts]
        array[sum(part**2 for part in parts) + 0.1 * waves[0] * waves[1] * waves[2] < 1] = value
    return array


def ours(truth: LabelArray, prediction: LabelArray) -> NDArray[np.float64]:
    """(organs, 4) as DeepMind defines them."""
    overlap = joint_histogram(truth, prediction, VALUES)
    rows = []
    for value, box in label_boxes(truth, prediction, VALUES).items():
        surfaces = surface_distances(truth[box] == value, prediction[box] == value, SPACING_MM)
        rows.append(
            (surfaces.hausdorff(95), surfaces.nsd(TOLERANCE_MM), surfaces.assd(), overlap.dice(value))
        )
    return np.array(rows)


def ours_as_monai(truth: LabelArray, prediction: LabelArray) -> NDArray[np.float64]:
    """(organs, 4) as MONAI defines them."""
    overlap = joint_histogram(truth, prediction, VALUES)
    rows = []
    for value in VALUES:
        scores = surface_scores(
            truth == value, prediction == value, SPACING_MM, Convention.MONAI, TOLERANCE_MM
        )
        rows.append((scores.hd95, scores.nsd, scores.assd, overlap.dice(value)))
    return np.array(rows)


def surface_distance(truth: LabelArray, prediction: LabelArray) -> NDArray[np.float64]:
    """(organs, 4) by DeepMind's package; the ASSD, which it does not have, from its distances and areas."""
    vars(np).update(Inf=np.inf, NaN=np.nan)  # release 0.1 was written for NumPy 1
    import surface_distance as package

    rows = []
    for value in VALUES:
        a, b = truth == value, prediction == value
        found = package.compute_surface_distances(a, b, SPACING_MM)
        distances = np.concatenate([found["distances_gt_to_pred"], found["distances_pred_to_gt"]])
        areas = np.concatenate([found["surfel_areas_gt"], found["surfel_areas_pred"]])
        rows.append(
            (
                package.compute_robust_hausdorff(found, 95),
                package.compute_surface_dice_at_tolerance(found, TOLERANCE_MM),
                float((distances * areas).sum() / areas.sum()),
                package.compute_dice_coefficient(a, b),
            )
        )
    return np.array(rows)


def monai(truth: LabelArray, prediction: LabelArray) -> NDArray[np.float64]:
    """(organs, 4) by MONAI."""
    import torch
    from monai import metrics

    torch.set_num_threads(1)
    y, y_pred = (
        torch.from_numpy(np.stack([labels == value for value in VALUES]))[None]
        for labels in (truth, prediction)
    )
    both = {"y_pred": y_pred, "y": y, "include_background": True}
    columns = (
        metrics.compute_hausdorff_distance(**both, percentile=95, spacing=SPACING_MM),
        metrics.compute_surface_dice(
            **both, class_thresholds=[TOLERANCE_MM] * len(VALUES), spacing=SPACING_MM
        ),
        metrics.compute_average_surface_distance(**both, symmetric=True, spacing=SPACING_MM),
        metrics.compute_dice(**both),
    )
    return np.stack([column[0].numpy() for column in columns], axis=1).astype(np.float64)


def timed(work: Callable[[], NDArray[np.float64]]) -> tuple[float, float, NDArray[np.float64]]:
    """CPU seconds of the process, seconds by the clock, and what `work` gives."""
    cpu, clock = time.process_time(), time.perf_counter()
    values = work()
    return time.process_time() - cpu, time.perf_counter() - clock, values


def cpu() -> str:
    """The processor and its instruction sets."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    known = {"sse4_2", "avx2", "avx512f", "avx512_bf16", "amx_bf16"}
    flags = sorted(known.intersection(found.get("flags", "").split()))
    return f"{found.get('model name', platform.processor())} ({', '.join(flags)}), {os.cpu_count()} cores"


def main() -> None:
    """Print the times and how far the values differ."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--size", default="200,512,512", help="z,y,x voxels")
    words.add_argument("--rounds", type=int, default=3)
    given = words.parse_args()
    size = tuple(int(n) for n in given.size.split(","))
    truth, prediction = organs(size, 1), organs(size, 2)
    tools = {"ours": ours, "surface-distance": surface_distance, "MONAI": monai}
    for name, module in (("surface-distance", "surface_distance"), ("MONAI", "monai")):
        if importlib.util.find_spec(module) is None:
            del tools[name]
    small = (40, 64, 64)
    for tool in tools.values():
        tool(organs(small, 1), organs(small, 2))  # imports and tables
    runs: dict[str, list[tuple[float, float, NDArray[np.float64]]]] = {name: [] for name in tools}
    for number in range(given.rounds):
        for name, tool in tools.items():
            if name != "MONAI" or number == 0:
                runs[name].append(timed(lambda tool=tool: tool(truth, prediction)))
    print(f"{given.size} voxels of {SPACING_MM} mm, {len(VALUES)} organs, one thread; {cpu()}\n")
    print(
        "| tool | CPU s | wall s | CPU, times ours | largest difference to ours |\n|---|---:|---:|---:|---:|"
    )
    best = {name: min(found[0] for found in runs[name]) for name in runs}
    for name, found in runs.items():
        same = ours_as_monai(truth, prediction) if name == "MONAI" else runs["ours"][0][2]
        apart = " | ".join(f"{one:.0e}" for one in np.abs(found[0][2] - same).max(axis=0))
        clock = min(one[1] for one in found)
        print(f"| {name} | {best[name]:.2f} | {clock:.2f} | {best[name] / best['ours']:.1f} | {apart} |")
    print("\n| organ | " + " | ".join(COLUMNS) + " |\n|---|---:|---:|---:|---:|")
    for value, row in zip(VALUES, runs["ours"][0][2], strict=True):
        print(f"| {value} | " + " | ".join(f"{one:.4f}" for one in row) + " |")


if __name__ == "__main__":
    main()
