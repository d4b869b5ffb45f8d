"""Metrics that are updated while painting: only the slices that a stroke touched are counted again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ctseg_imaging.geometry import Triple
from ctseg_imaging.metrics.overlap import (
    Float,
    IntArray,
    JointCoder,
    JointHistogram,
    foreground,
    joint_histogram,
)


@dataclass(frozen=True)
class LiveRow:
    """The current figures of one label.

    Ratios in [0, 1], NaN where undefined (see JointHistogram); volumes in ml.
    """

    value: int
    dice: float
    precision: float
    recall: float
    volume_truth_ml: float
    volume_pred_ml: float

    @property
    def difference_ml(self) -> float:
        """Predicted minus true volume."""
        return self.volume_pred_ml - self.volume_truth_ml


class LiveMetrics:
    """The overlap of two label arrays, updated after changes to either.

    truth, prediction : (z, y, x) integer arrays of one shape, usually the AxisView views that the layers
    show. They are not copied: change them in place, then call `update` with the slices (axis 0) that changed.
    values : foreground labels to follow. spacing_mm : (z, y, x). Raises ValueError if the shapes differ or an
    array is not of integers.
    """

    def __init__(
        self, truth: IntArray, prediction: IntArray, values: Iterable[int], spacing_mm: Triple
    ) -> None:
        self.truth, self.prediction = truth, prediction
        self.spacing_mm = spacing_mm
        self._histogram = joint_histogram(truth, prediction, values)
        self._coder = JointCoder(truth.dtype, prediction.dtype, self.values)

    @property
    def values(self) -> tuple[int, ...]:
        """The labels followed, ascending."""
        return self._histogram.values

    @property
    def histogram(self) -> JointHistogram:
        """The current counts; the object stays the same through updates."""
        return self._histogram

    @property
    def slices(self) -> int:
        """How many slices there are along axis 0."""
        return int(self.truth.shape[0])

    def update(self, slices: Iterable[int] | None = None) -> tuple[int, ...]:
        """Count `slices` (indices along axis 0; None: all) again and return those whose counts changed.

        Indices outside the volume are left out: a brush may reach over the edge.
        """
        wanted = (
            range(self.slices)
            if slices is None
            else sorted({int(k) for k in slices if 0 <= int(k) < self.slices})
        )
        changed = []
        for k in wanted:
            counts = self._coder.count(self.truth[k], self.prediction[k])
            if not np.array_equal(counts, self._histogram.counts[k]):
                self._histogram.put(k, counts)
                changed.append(k)
        return tuple(changed)

    def follow(self, values: Iterable[int]) -> bool:
        """Follow another list of labels (a new class was painted); True if it differs, in which case
        everything is counted again.
        """
        wanted = foreground(values)
        if wanted == self.values:
            return False
        self._histogram = joint_histogram(self.truth, self.prediction, wanted)
        self._coder = JointCoder(self.truth.dtype, self.prediction.dtype, wanted)
        return True

    def table(self) -> list[LiveRow]:
        """One row per label, in the order of `values`."""
        histogram, voxel_mm3 = self._histogram, float(np.prod(self.spacing_mm))
        return [
            LiveRow(
                value,
                histogram.dice(value),
                histogram.precision(value),
                histogram.recall(value),
                *histogram.volumes_ml(value, voxel_mm3),
            )
            for value in self.values
        ]

    def per_slice(self, value: int) -> Float:
        """(slices,) Dice of `value` in each slice; NaN where neither side has it."""
        return self._histogram.per_slice_dice(value)

    def mean_dice(self) -> float:
        """Mean Dice over the labels that occur on either side; NaN if none does."""
        scores = [self._histogram.dice(value) for value in self.values]
        known = [dice for dice in scores if not np.isnan(dice)]
        return float(np.mean(known)) if known else float("nan")

    def worst_slices(self, values: Iterable[int] | None = None) -> list[int]:
        """Slices that have a label on either side, from the lowest mean Dice to the highest; ties by
        position.
        """
        wanted = list(self.values if values is None else values)
        per_label = np.stack([self.per_slice(value) for value in wanted] or [np.full(self.slices, np.nan)])
        known = ~np.isnan(per_label)
        present = np.flatnonzero(known.any(0))
        means = np.where(known, per_label, 0).sum(0)[present] / known.sum(0)[present]
        return [int(k) for k in present[np.argsort(means, kind="stable")]]

    def missed_slices(self, value: int) -> list[int]:
        """Slices where the truth has `value` and the prediction does not."""
        truth, prediction, _ = self._histogram.voxels(value)
        return [int(k) for k in np.flatnonzero((truth > 0) & (prediction == 0))]
