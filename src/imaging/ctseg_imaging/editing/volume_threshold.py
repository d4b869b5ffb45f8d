"""A mask of a chosen volume from the probabilities of a model."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.editing.morphology import Mask
from ctseg_imaging.geometry import Triple


def around_mask(probability: NDArray[np.floating], mask: Mask, spacing_mm: Triple) -> NDArray[np.floating]:
    """`probability` with its level set at the volume of `mask` made to be `mask`.

    probability, mask : (z, y, x). Where both disagree a correction was made, which every other volume keeps:
    the result is 1 where the mask has a voxel that the probability would not take, 0 in the opposite case. A
    mask without a voxel changes nothing.
    """
    levels = VolumeThreshold(probability, spacing_mm)
    if not mask.any():
        return probability
    of_map = levels.mask(levels.threshold(int(mask.sum()) * levels.voxel_ml))
    around = probability.copy()
    around[mask & ~of_map], around[of_map & ~mask] = 1, 0
    return around


class VolumeThreshold:
    """Which threshold on a map of probabilities gives which volume.

    probability : (z, y, x), finite, of one class. spacing_mm : (z, y, x). The values are sorted once;
    each volume costs a look-up and one comparison of the map.
    """

    def __init__(self, probability: NDArray[np.floating], spacing_mm: Triple) -> None:
        self.probability = probability
        self.voxel_ml = float(np.prod(spacing_mm)) / 1000
        self._rising = np.sort(probability, axis=None)

    @property
    def most_ml(self) -> float:
        """The volume of the voxels with a probability above 0."""
        return self.voxel_ml * self._above(0.0, "right")

    def threshold(self, volume_ml: float) -> float:
        """The threshold whose mask comes nearest to `volume_ml`, of all thresholds.

        Equal probabilities are taken or left together. Raises ValueError for a volume below 0.
        """
        if not volume_ml >= 0:
            raise ValueError(f"The volume is {volume_ml} ml; give 0 or more.")
        wanted = min(round(volume_ml / self.voxel_ml), self._above(0.0, "right"))
        if wanted == 0:
            return _next(self._rising[-1])
        value = self._rising[-wanted]
        with_ties, without = self._above(value, "left"), self._above(value, "right")
        return float(value) if with_ties - wanted <= wanted - without else _next(value)

    def volume_ml(self, threshold: float) -> float:
        """The volume of the mask at `threshold`."""
        return self.voxel_ml * self._above(threshold, "left")

    def mask(self, threshold: float) -> Mask:
        """(z, y, x): where the probability is at least `threshold`."""
        return np.asarray(self.probability >= np.asarray(threshold, self.probability.dtype))

    def _above(self, value: float, side: Literal["left", "right"]) -> int:
        cut = np.asarray(value, self._rising.dtype)
        return len(self._rising) - int(np.searchsorted(self._rising, cut, side))


def _next(value: np.floating) -> float:
    """The next larger number of its type."""
    return float(np.nextafter(value, value.dtype.type(np.inf)))
