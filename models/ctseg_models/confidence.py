"""How sure a model is of each label it found, gathered a few slices at a time."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ctseg_imaging.volume import Labels

SURE = 0.9


class Chances(Protocol):
    """What knows the probability of a label in slices of a target."""

    def slab(self, value: int, a: int, b: int) -> Tensor | None:
        """(b - a, y, x) float32, or None where it is 0 throughout."""


def chance_of(chances: Chances, winner: Tensor, a: int, b: int) -> Tensor:
    """(b - a, y, x) float32: the probability of the label that each voxel of slices [a, b) got; 0 in the background.

    winner : (b - a, y, x) int32. Only the labels that occur are looked up.
    """
    found = torch.zeros(winner.shape)
    for value in values_in(winner):
        if value and (chance := chances.slab(value, a, b)) is not None:
            found = torch.where(winner == value, chance, found)
    return found


def values_in(labels: Tensor) -> list[int]:
    """The values that occur, ascending; counting is much faster than the sorting of torch.unique."""
    occurring: list[int] = torch.bincount(labels.flatten()).nonzero()[:, 0].tolist()
    return occurring


class Tally:
    """Voxels, probabilities and disagreement within each label."""

    def __init__(self, largest: int) -> None:
        """largest : label value."""
        self._voxels, self._chance, self._sure, self._disagreement = np.zeros((4, largest + 1))
        self._disagrees = False

    def add(self, winner: Tensor, chance: Tensor, disagreement: Tensor | None = None) -> None:
        """Some slices, all (n, y, x): labels, their probability, and how far members disagree about them."""
        place = winner != 0
        labels = winner[place]
        if not len(labels):
            return
        n = len(self._voxels)
        inside = chance[place].double()
        self._voxels += torch.bincount(labels, minlength=n).numpy()
        self._chance += torch.bincount(labels, inside, n).numpy()
        self._sure += torch.bincount(labels, (inside > SURE).double(), n).numpy()
        if disagreement is not None:
            self._disagrees = True
            self._disagreement += torch.bincount(labels, disagreement[place].double(), n).numpy()

    def table(self, labels: Labels, voxel_ml: float) -> list[dict[str, Any]]:
        """One row for each label found, by value: plain JSON for the provenance."""
        rows = []
        for value in np.flatnonzero(self._voxels).tolist():
            voxels = float(self._voxels[value])
            row = {"value": value, "name": labels.name(value), "volume_ml": round(voxels * voxel_ml, 4),
                   "mean_probability": round(float(self._chance[value]) / voxels, 4),
                   "share_above_0.9": round(float(self._sure[value]) / voxels, 4)}
            if self._disagrees:
                row["mean_disagreement"] = round(float(self._disagreement[value]) / voxels, 4)
            rows.append(row)
        return rows
