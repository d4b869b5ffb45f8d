"""Probabilities of single voxels of a target, without resampling whole slices: what a sample of them needs."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from ctseg_models.inference.assemble import SMALLEST_PROBABILITY, ClassMaps, Target
from ctseg_models.inference.preprocess import axis_weights


class Points:
    """The same probabilities as `Sampler.slab`, at voxels named one by one."""

    def __init__(self, class_maps: ClassMaps, target: Target) -> None:
        self.class_maps = class_maps
        lattice, repeat = class_maps.lattice, class_maps.border == "repeat"
        self._taps, self._within = [], []  # per axis the two voxels of the maps that a voxel of the target lies between, and their weights
        for axis in range(3):
            weights = torch.from_numpy(axis_weights(
                lattice.shape[axis], lattice.spacing_mm[axis], target.start[axis] * target.spacing_mm[axis] - lattice.low_mm[axis],
                target.spacing_mm[axis], target.shape[axis], interpolation=class_maps.interpolation[axis], repeat=repeat))
            shares, voxels = weights.topk(min(2, lattice.shape[axis]), dim=1)
            # A voxel of no weight is any voxel, perhaps of a slice that is not at hand: the heaviest stands in for it.
            self._taps.append((shares, torch.where(shares > 0, voxels, voxels[:, :1])))
            self._within.append(weights.sum(dim=1) > 0.5)

    def chances(self, labels: Tensor, z: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """(n,) float32: the probability of labels[i] at voxel (z[i], y[i], x[i]) of the target, all (n,) int64; 0 of a label not known.

        The slices that the voxels lie between have to be readable, and should be few.
        """
        within = self._within[0][z] & self._within[1][y] & self._within[2][x]
        chance = (labels == 0).float()  # what lies outside of the maps is background
        if within.any():
            chance[within] = self._inside(labels[within], (z[within], y[within], x[within]))
        return chance

    def _inside(self, labels: Tensor, places: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        maps = self.class_maps
        if maps.form == "regions":
            return self._of_regions(labels, places)
        if maps.form == "probabilities" and maps.temperature == 1:
            chance = torch.zeros(len(labels))
            for k, value in enumerate(maps.each):
                if len(of_k := (labels == value).nonzero()[:, 0]):
                    z, y, x = (place[of_k] for place in places)
                    chance[of_k] += self._gathered(k, (z, y, x))
            return chance
        return self._of_softmax(labels, places)

    def _of_softmax(self, labels: Tensor, places: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        maps, own, rest = self.class_maps, torch.full((len(labels),), -torch.inf), None
        for k, value in enumerate(maps.each):
            logit = self._gathered(k, places)
            if maps.form == "probabilities":
                logit = logit.clamp_min_(SMALLEST_PROBABILITY).log_()
            logit /= maps.temperature
            rest = logit if rest is None else torch.logaddexp(rest, logit)
            own = torch.where(labels == value, torch.logaddexp(own, logit), own)
        assert rest is not None
        return (own - rest).exp_()

    def _of_regions(self, labels: Tensor, places: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """What is painted with the label and covered by no later region, the regions taken as independent."""
        chance, uncovered = torch.zeros(len(labels)), torch.ones(len(labels))
        for k, value in reversed(list(enumerate(self.class_maps.each))):
            inside = self._gathered(k, places).div_(self.class_maps.temperature).sigmoid_()
            chance += torch.where(labels == value, inside * uncovered, torch.zeros(()))
            uncovered *= 1 - inside
        return torch.where(labels == 0, uncovered, chance)

    def _gathered(self, k: int, places: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """(n,) float32: map k at the places, interpolated between eight of its voxels (fewer where an axis has one)."""
        weights, voxels = zip(*((shares[place], indices[place]) for (shares, indices), place in zip(self._taps, places, strict=True)),
                              strict=True)
        low, high = int(voxels[0].min()), int(voxels[0].max()) + 1
        part = self.class_maps.maps.part(k, low, high)
        flat, (_, height, width) = part.reshape(-1), part.shape
        found = torch.zeros(len(places[0]))
        for i, j, m in product(*(range(one.shape[1]) for one in weights)):
            at = ((voxels[0][:, i] - low) * height + voxels[1][:, j]) * width + voxels[2][:, m]
            found += weights[0][:, i] * weights[1][:, j] * weights[2][:, m] * flat[at]
        return found
