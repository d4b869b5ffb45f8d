"""Counting lesions: found, missed and falsely predicted ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ctseg_imaging.metrics.surfaces import BoolArray

TOUCHING = np.ones((3, 3, 3), bool)  # 26 neighbours


@dataclass(frozen=True)
class LesionCounts:
    """Lesions are connected components with 26 neighbours; one that shares a voxel with the other side is
    found (or confirmed).
    """

    true: int
    found: int
    predicted: int
    confirmed: int

    @property
    def recall(self) -> float:
        """Found of the true lesions; 1 if there are none."""
        return self.found / self.true if self.true else 1.0

    @property
    def precision(self) -> float:
        """Confirmed of the predicted lesions; 1 if nothing was predicted."""
        return self.confirmed / self.predicted if self.predicted else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of recall and precision; 0 if both are 0."""
        total = self.recall + self.precision
        return 2 * self.recall * self.precision / total if total else 0.0


def count_lesions(truth: BoolArray, prediction: BoolArray) -> LesionCounts:
    """Lesions of two (z, y, x) bool masks on one grid.

    Source: Kuijf et al. 2019, doi:10.1109/TMI.2019.2905770 (WMH challenge).
    """
    lesions, true = ndimage.label(truth, TOUCHING)
    detections, predicted = ndimage.label(prediction, TOUCHING)
    found = len(np.unique(lesions[prediction & truth]))
    confirmed = len(np.unique(detections[prediction & truth]))
    return LesionCounts(int(true), found, int(predicted), confirmed)
