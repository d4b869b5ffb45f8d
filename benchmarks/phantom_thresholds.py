"""How little a threshold finds in the abdominal phantom: the best HU interval of each organ, by trying every
one.

   python benchmarks/phantom_thresholds.py [--seeds 24]

For each phantom and organ every interval [low, high] of whole HU from -200 to 400 is scored by its Dice with
the organ's label: no threshold can do better. The table has the mean, the worst and the best interval over
the seeds; exit 1 if any is above 0.5.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.phantom import LABELS, abdomen

LOW_HU, HIGH_HU, LIMIT = -200, 400, 0.5


def best_interval(image_hu: NDArray[np.int16], organ: NDArray[np.bool_]) -> tuple[float, int, int]:
    """(Dice, low, high) of the interval, both ends included, whose voxels overlap `organ` best."""
    bins = HIGH_HU - LOW_HU + 3  # and one at each end for values outside
    clipped = np.clip(image_hu.astype(np.int32), LOW_HU - 1, HIGH_HU + 1) - LOW_HU + 1
    inside = np.concatenate([[0], np.cumsum(np.bincount(clipped[organ], minlength=bins))])
    voxels = np.concatenate([[0], np.cumsum(np.bincount(clipped.ravel(), minlength=bins))])
    first, last = np.triu_indices(bins - 2)
    first, last = first + 1, last + 2
    dice = 2 * (inside[last] - inside[first]) / np.maximum(voxels[last] - voxels[first] + inside[-1], 1)
    best = int(dice.argmax())
    return float(dice[best]), int(first[best]) - 1 + LOW_HU, int(last[best]) - 2 + LOW_HU


def main() -> int:
    """Print the table; 1 if a threshold finds an organ better than it should."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    arguments = parser.parse_args()
    scores: dict[int, list[tuple[float, int, int]]] = {value: [] for value in LABELS["abdomen"]}
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        case = abdomen(seed)
        for value in scores:
            scores[value].append(best_interval(case.image.array, case.labels.array == value))
    print(f"best threshold interval, Dice over {arguments.seeds} phantoms of 128 x 112 x 112 voxels of 3 mm")
    print(f"{'organ':<10}{'mean':>7}{'max':>7}   interval of the max")
    for value, name in LABELS["abdomen"].items():
        top = max(scores[value])
        print(
            f"{name:<10}{np.mean([score[0] for score in scores[value]]):7.3f}{top[0]:7.3f}   {top[1]} to "
            f"{top[2]} HU"
        )
    return int(max(max(row)[0] for row in scores.values()) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
