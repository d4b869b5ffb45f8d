"""Overlap of two label maps, per volume and per slice, all from one joint histogram."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.integer]
Float = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class JointHistogram:
    """How often each pair of a true and a predicted value occurs, slice by slice.

    values : the foreground labels, ascending. counts : (slices, n, n) voxels with n = len(values) + 1; row =
    truth, column = prediction, index 0 = background and every value that is not listed; `put` changes them.

    A ratio whose both sides are empty has no value: each method returns `empty` there (NaN by default, so
    means can leave it out; reports that want the two-empty-masks Dice of 1 pass empty=1.0). One empty side
    gives a Dice of 0.
    """

    values: tuple[int, ...]
    counts: Counts

    def voxels(self, value: int) -> tuple[Counts, Counts, Counts]:
        """Per slice: voxels of `value` in the truth, in the prediction and in both.

        Raises KeyError for a value not listed.
        """
        k, (truth, prediction) = self._index(value), self._margins
        return truth[:, k], prediction[:, k], self.counts[:, k, k]

    def put(self, k: int, counts: Counts) -> None:
        """Replace the counts of slice `k`: (n, n), as one of `counts`."""
        truth, prediction = self._margins
        before = np.stack([truth[k], prediction[k], np.diagonal(self.counts[k])])
        now = np.stack([counts.sum(1), counts.sum(0), np.diagonal(counts)])
        totals = self._totals
        totals += now - before
        self.counts[k], truth[k], prediction[k] = counts, now[0], now[1]
        for changed in np.flatnonzero((now != before).any(0)):
            self._curves.pop(int(changed), None)

    def totals(self, value: int) -> tuple[int, int, int]:
        """Voxels of `value` in the whole truth, the whole prediction and in both."""
        truth, prediction, both = self._totals[:, self._index(value)]
        return int(truth), int(prediction), int(both)

    def dice(self, value: int, *, empty: float = np.nan) -> float:
        """2 |T and P| / (|T| + |P|); `empty` if both are empty, 0 if one is."""
        truth, prediction, both = self.totals(value)
        return _ratio(2 * both, truth + prediction, empty)

    def iou(self, value: int, *, empty: float = np.nan) -> float:
        """|T and P| / |T or P| (Jaccard); `empty` if both are empty."""
        truth, prediction, both = self.totals(value)
        return _ratio(both, truth + prediction - both, empty)

    def precision(self, value: int, *, empty: float = np.nan) -> float:
        """|T and P| / |P|; `empty` if nothing was predicted."""
        _, prediction, both = self.totals(value)
        return _ratio(both, prediction, empty)

    def recall(self, value: int, *, empty: float = np.nan) -> float:
        """|T and P| / |T|; `empty` if the truth has none."""
        truth, _, both = self.totals(value)
        return _ratio(both, truth, empty)

    def absolute_volume_difference_percent(self, value: int) -> float:
        """100 | |P| - |T| | / |T|: NaN if both are empty, inf if only the truth is."""
        truth, prediction, _ = self.totals(value)
        if truth == 0:
            return np.nan if prediction == 0 else np.inf
        return 100.0 * abs(prediction - truth) / truth

    def volumes_ml(self, value: int, voxel_volume_mm3: float) -> tuple[float, float]:
        """Volume of `value` in the truth and in the prediction, in ml."""
        truth, prediction, _ = self.totals(value)
        return truth * voxel_volume_mm3 / 1000, prediction * voxel_volume_mm3 / 1000

    def per_slice_dice(self, value: int) -> Float:
        """(slices,) Dice of each slice; NaN where neither side has the label. Read-only, and the same object
        until one of its numbers changes.
        """
        k = self._index(value)
        if k not in self._curves:
            truth, prediction, both = self.voxels(value)
            total = truth + prediction
            scores = np.divide(2.0 * both, total, out=np.full(len(total), np.nan), where=total > 0)
            scores.flags.writeable = False
            self._curves[k] = scores
        return self._curves[k]

    def per_slice_false(self, value: int) -> tuple[Counts, Counts]:
        """(slices,) voxels predicted but not in the truth, and in the truth but not predicted."""
        truth, prediction, both = self.voxels(value)
        return prediction - both, truth - both

    def per_slice_wrong(self) -> Counts:
        """(slices,) voxels whose listed label is another one than in the truth."""
        wrong: Counts = self.counts.sum((1, 2)) - np.trace(self.counts, axis1=1, axis2=2)
        return wrong

    @cached_property
    def _margins(self) -> tuple[Counts, Counts]:
        """(slices, n) voxels of each label in the truth and in the prediction."""
        return self.counts.sum(2), self.counts.sum(1)

    @cached_property
    def _totals(self) -> Counts:
        """(3, n) voxels of each label in the truth, in the prediction and in both."""
        truth, prediction = self._margins
        both = np.diagonal(self.counts, axis1=1, axis2=2)
        return np.stack([side.sum(0) for side in (truth, prediction, both)])

    @cached_property
    def _curves(self) -> dict[int, Float]:
        """What `per_slice_dice` has computed, by index of the label."""
        return {}

    @cached_property
    def _positions(self) -> dict[int, int]:
        return {value: k for k, value in enumerate(self.values, start=1)}

    def _index(self, value: int) -> int:
        if value not in self._positions:
            raise KeyError(f"Label {value} is not among the counted ones {self.values}.")
        return self._positions[value]


def joint_histogram(
    truth: IntArray, prediction: IntArray, values: Iterable[int], axis: int = 0
) -> JointHistogram:
    """Count the pairs of labels of two maps, for each slice along `axis`.

    truth, prediction : integer (or bool) arrays of one shape, any memory layout (views are not copied as a
    whole). values : the foreground labels of interest. Raises ValueError if the shapes differ or an array is
    not of integers.
    """
    if truth.shape != prediction.shape:
        raise ValueError(
            f"The truth is {truth.shape} and the prediction {prediction.shape}; bring them onto one grid "
            "first."
        )
    listed = foreground(values)
    coder = JointCoder(truth.dtype, prediction.dtype, listed)
    in_slices = zip(np.moveaxis(truth, axis, 0), np.moveaxis(prediction, axis, 0), strict=True)
    size = len(listed) + 1
    counts = np.zeros((truth.shape[axis], size, size), np.int64)
    for k, (truth_slice, prediction_slice) in enumerate(in_slices):
        counts[k] = coder.count(truth_slice, prediction_slice)
    return JointHistogram(listed, counts)


def foreground(values: Iterable[int]) -> tuple[int, ...]:
    """The distinct values without 0, ascending."""
    return tuple(sorted({int(value) for value in values} - {0}))


def occurring(labels: IntArray) -> tuple[int, ...]:
    """The foreground values that occur in an integer (z, y, x) array, ascending; looked up slice by slice."""
    if labels.dtype.itemsize > 2 or labels.dtype.kind == "i":
        return foreground(int(value) for plane in labels for value in np.unique(plane))
    return foreground(
        int(value) for plane in labels for value in np.flatnonzero(np.bincount(plane.ravel(order="K")))
    )


class JointCoder:
    """Counts the pairs of labels of two slices, for two fixed dtypes and a fixed list of labels."""

    def __init__(
        self, truth: np.dtype[np.generic], prediction: np.dtype[np.generic], values: Sequence[int]
    ) -> None:
        self._size = len(values) + 1
        self._truth = _Coder(truth, values, factor=self._size)
        self._prediction = _Coder(prediction, values, factor=1)

    def count(self, truth: IntArray, prediction: IntArray) -> Counts:
        """(n, n) pair counts of two arrays of one shape; rows truth, columns prediction."""
        labelled = (truth != 0) | (prediction != 0)  # a few percent of a CT
        pairs = self._truth(truth[labelled]) + self._prediction(prediction[labelled])
        counts = np.bincount(pairs, minlength=self._size**2)
        counts[0] += truth.size - len(pairs)
        return counts.reshape(self._size, self._size)


class _Coder:
    """Turns labels into positions in `values` (0: not listed) times `factor`: by table where they fit 16
    bits, else by search.
    """

    def __init__(self, dtype: np.dtype[np.generic], values: Sequence[int], factor: int) -> None:
        if dtype.kind not in "iub":
            raise ValueError(f"Labels are integers, not {dtype}; round and convert them first.")
        self._values, self._factor = np.asarray(values, np.int64), factor
        self._narrow = dtype.itemsize <= 2
        self._table = np.zeros(
            2 ** (8 * min(dtype.itemsize, 2)), np.int64
        )  # a negative label of 8 or 16 bits counts from the end
        lowest = -len(self._table) // 2 if self._narrow and dtype.kind == "i" else 0
        for position, value in enumerate(values, start=1):
            if lowest <= value < lowest + len(self._table):
                self._table[value] = position * factor

    def __call__(self, labels: IntArray) -> Counts:
        coded: Counts
        if self._narrow or (labels.size and labels.min() >= 0 and labels.max() < len(self._table)):
            coded = self._table[labels.view(np.uint8) if labels.dtype == bool else labels]
        elif len(self._values):
            found = np.minimum(np.searchsorted(self._values, labels), len(self._values) - 1)
            coded = np.where(self._values[found] == labels, (found + 1) * self._factor, 0)
        else:
            coded = np.zeros(labels.shape, np.int64)
        return coded


def _ratio(part: int, whole: int, empty: float) -> float:
    return part / whole if whole else float(empty)
