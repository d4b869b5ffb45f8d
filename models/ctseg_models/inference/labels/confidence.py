"""How sure a model is of each label that it found, gathered a few slices at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctseg_imaging.volume import Labels

SURE = 0.9
# of a slab, whose probabilities are computed: all classes at every voxel would take longer than the labels
# did
VOXELS = 4000
FEWEST = 100  # of each label, however many labels there are
ONE_OF = 31  # for frequent labels, one voxel of so many is considered
GOLDEN = 0.6180339887498949


def values_in(labels: Tensor) -> list[int]:
    """The values that occur, ascending. Counting is much faster than the sorting of torch.unique."""
    occurring: list[int] = torch.bincount(labels.flatten()).nonzero()[:, 0].tolist()
    return occurring


def spread(count: int, most: int) -> NDArray[np.int64]:
    """`most` of `count` places (all, if there are no more), ascending: a random one from each of equal parts.

    A fixed distance would hit the same columns of an image in every row.
    """
    if count <= most:
        return np.arange(count)
    part = np.arange(most)
    return ((part + part * GOLDEN % 1) * (count / most)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class VoxelSample:
    """Voxels of a slab, all (n,) int64.

    labels : of each. z, y, x : in the slab. stands_for : how many voxels each represents, float64.
    """

    labels: Tensor
    z: Tensor
    y: Tensor
    x: Tensor
    stands_for: NDArray[np.float64]

    @classmethod
    def of(cls, winner: Tensor, most: int) -> VoxelSample:
        """Equally many voxels of each label, about `most` together, all of a small label; no background."""
        flat = winner.numpy().ravel()
        counts = torch.bincount(winner.flatten()).numpy()
        counts[0] = 0
        share = max(FEWEST, most // max(1, int(np.count_nonzero(counts))))
        sparse = spread(flat.size, max(1, flat.size // ONE_OF))
        frequent = np.bincount(flat[sparse], minlength=len(counts)) >= share
        rare = (counts > 0) & ~frequent
        frequent &= counts > 0
        places = np.concatenate(
            [sparse[frequent[flat[sparse]]], np.flatnonzero(rare[flat]) if rare.any() else sparse[:0]]
        )
        labels = flat[places]
        by_label = places[np.argsort(labels.astype(np.uint16), kind="stable")]  # by counting, which is fast
        chosen, speaks, start = [sparse[:0]], [np.zeros(0)], 0
        for value, count in enumerate(np.bincount(labels).tolist()):
            one = by_label[start : start + count][spread(count, share)]
            chosen.append(one)
            speaks.append(np.full(len(one), counts[value] / max(1, len(one))))
            start += count
        place = np.concatenate(chosen)
        z, y, x = (torch.from_numpy(axis) for axis in np.unravel_index(place, winner.shape))
        return cls(torch.from_numpy(flat[place].astype(np.int64)), z, y, x, np.concatenate(speaks))


def sampled(chance: Tensor) -> Callable[[VoxelSample], Tensor]:
    """For `Tally.add` where the probability of every voxel of a slab is known. chance : (n, y, x)."""
    return lambda sample: chance[sample.z, sample.y, sample.x]


class Tally:
    """For each label, the number of voxels, and probabilities and disagreement at a sample of them."""

    def __init__(self, largest: int, most: int = VOXELS) -> None:
        """largest : label value. most : voxels of a slab to sample."""
        self._voxels, self._chance, self._sure, self._disagreement = np.zeros((4, largest + 1))
        self._most, self._disagrees = most, False

    def add(
        self, winner: Tensor, ask: Callable[[VoxelSample], Tensor], disagreement: Tensor | None = None
    ) -> None:
        """Add a slab. winner : (n, y, x) labels. ask : gives the probability of each label of a sample.
        disagreement : (n, y, x).
        """
        sample = VoxelSample.of(winner, self._most)
        if not len(sample.labels):
            return
        n, labels = len(self._voxels), sample.labels.numpy()
        chance = ask(sample).double().numpy()
        self._voxels += np.bincount(labels, sample.stands_for, n)
        self._chance += np.bincount(labels, sample.stands_for * chance, n)
        self._sure += np.bincount(labels, sample.stands_for * (chance > SURE), n)
        if disagreement is not None:
            self._disagrees = True
            self._disagreement += np.bincount(
                labels, sample.stands_for * disagreement[sample.z, sample.y, sample.x].double().numpy(), n
            )

    def table(self, labels: Labels, voxel_ml: float) -> list[dict[str, Any]]:
        """One row for each label found, by value: plain JSON for the provenance.

        Volumes are of all voxels, the other numbers of the samples.
        """
        rows = []
        for value in np.flatnonzero(self._voxels).tolist():
            voxels = float(self._voxels[value])
            row = {
                "value": value,
                "name": labels.name(value),
                "volume_ml": round(voxels * voxel_ml, 4),
                "mean_probability": round(float(self._chance[value]) / voxels, 4),
                "share_above_0.9": round(float(self._sure[value]) / voxels, 4),
            }
            if self._disagrees:
                row["mean_disagreement"] = round(float(self._disagreement[value]) / voxels, 4)
            rows.append(row)
        return rows
