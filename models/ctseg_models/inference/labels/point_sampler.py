"""Probabilities at single voxels of a target, without resampling whole slices, for samples of voxels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ctseg_models.inference.input.preprocess import axis_weights
from ctseg_models.inference.labels.class_maps import ClassMaps, Target
from ctseg_models.inference.labels.sampler import SMALLEST_PROBABILITY


@dataclass(frozen=True, eq=False)
class Corners:
    """Voxels of the maps' slices [low, high), counted along x, then y, then z, and their weights: (8, n).

    Fewer than 8 where an axis has a single voxel.
    """

    low: int
    high: int
    at: Tensor
    weight: Tensor

    def some(self, which: Tensor) -> Corners:
        """Those of the places `which`."""
        return Corners(self.low, self.high, self.at[:, which], self.weight[:, which])


class PointSampler:
    """The same probabilities as `ClassMapSampler.slab`, at given voxels."""

    def __init__(self, class_maps: ClassMaps, target: Target) -> None:
        self.class_maps = class_maps
        lattice, repeat = class_maps.lattice, class_maps.border == "repeat"
        self._taps, self._within = (
            [],
            [],
        )  # for each axis, the two voxels of the maps around each voxel of the target, and their weights
        for axis in range(3):
            weights = torch.from_numpy(
                axis_weights(
                    lattice.shape[axis],
                    lattice.spacing_mm[axis],
                    target.start[axis] * target.spacing_mm[axis] - lattice.low_mm[axis],
                    target.spacing_mm[axis],
                    target.shape[axis],
                    interpolation=class_maps.interpolation[axis],
                    repeat=repeat,
                )
            )
            shares, voxels = weights.topk(min(2, lattice.shape[axis]), dim=1)
            # A voxel of weight 0 may lie in a slice that is not available: the heaviest voxel stands in for
            # it.
            self._taps.append((shares, torch.where(shares > 0, voxels, voxels[:, :1])))
            self._within.append(weights.sum(dim=1) > 0.5)

    def chances(self, labels: Tensor, z: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """(n,) float32: the probability of labels[i] at voxel (z[i], y[i], x[i]) of the target, all (n,)
        int64.

        0 for a label that the maps do not have. The slices around the voxels have to be readable, and should
        be few.
        """
        within = self._within[0][z] & self._within[1][y] & self._within[2][x]
        chance = (labels == 0).float()  # outside the maps is background
        if within.any():
            chance[within] = self._inside(labels[within], (z[within], y[within], x[within]))
        return chance

    def _inside(self, labels: Tensor, places: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        maps, corners = self.class_maps, self._corners(places)
        if maps.form == "regions":
            return self._of_regions(labels, corners)
        if maps.form == "probabilities" and maps.temperature == 1:
            chance = torch.zeros(len(labels))
            for k, value in enumerate(maps.each):
                if len(of_k := (labels == value).nonzero()[:, 0]):
                    chance[of_k] += self._gathered(k, corners.some(of_k))
            return chance
        return self._of_softmax(labels, corners)

    def _of_softmax(self, labels: Tensor, corners: Corners) -> Tensor:
        maps, own, rest = self.class_maps, torch.full((len(labels),), -torch.inf), None
        for k, value in enumerate(maps.each):
            logit = self._gathered(k, corners)
            if maps.form == "probabilities":
                logit = logit.clamp_min_(SMALLEST_PROBABILITY).log_()
            logit /= maps.temperature
            rest = logit if rest is None else torch.logaddexp(rest, logit)
            own = torch.where(labels == value, torch.logaddexp(own, logit), own)
        assert rest is not None
        return (own - rest).exp_()

    def _of_regions(self, labels: Tensor, corners: Corners) -> Tensor:
        """The probability that a region is painted and no later one covers it, the regions taken as
        independent.
        """
        chance, uncovered = torch.zeros(len(labels)), torch.ones(len(labels))
        for k, value in reversed(list(enumerate(self.class_maps.each))):
            inside = self._gathered(k, corners).div_(self.class_maps.temperature).sigmoid_()
            chance += torch.where(labels == value, inside * uncovered, torch.zeros(()))
            uncovered *= 1 - inside
        return torch.where(labels == 0, uncovered, chance)

    def _corners(self, places: tuple[Tensor, Tensor, Tensor]) -> Corners:
        """The voxels of the maps around each voxel of the target: eight, fewer where an axis has one."""
        weights, voxels = zip(
            *(
                (shares[place].T, indices[place].T)
                for (shares, indices), place in zip(self._taps, places, strict=True)
            ),
            strict=True,
        )
        low, high = int(voxels[0].min()), int(voxels[0].max()) + 1
        _, _, height, width = self.class_maps.maps.shape
        at = ((voxels[0] - low)[:, None, None] * height + voxels[1][None, :, None]) * width + voxels[2][
            None, None
        ]
        weight = weights[0][:, None, None] * weights[1][None, :, None] * weights[2][None, None]
        return Corners(low, high, at.flatten(0, 2), weight.flatten(0, 2))

    def _gathered(self, k: int, corners: Corners) -> Tensor:
        """(n,) float32: map k, interpolated."""
        flat = self.class_maps.maps.part(k, corners.low, corners.high).reshape(-1)
        return (corners.weight * flat.take(corners.at)).sum(0)
