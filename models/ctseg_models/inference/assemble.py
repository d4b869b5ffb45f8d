"""Class maps on a coarse lattice to labels on the input's grid, a few slices and one class at a time."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctseg_imaging.geometry import Shape, Triple
from ctseg_models.inference.lattice import Lattice
from ctseg_models.inference.preprocess import axis_weights

SLICES_PER_STEP = 8


@dataclass(frozen=True, eq=False)
class ClassMaps:
    """Probabilities of label values. maps : (len(values), z, y, x) float32 on `lattice`. values : ascending, 0 (background) first."""

    maps: Tensor
    lattice: Lattice
    values: tuple[int, ...]

    @classmethod
    def of(cls, maps: Tensor, lattice: Lattice, values: Sequence[int | None]) -> ClassMaps:
        """From a network's output. values : of each map; maps of one value are added up, None counts as background."""
        meant = [0 if value is None else value for value in values]
        distinct = tuple(sorted({0, *meant}))
        if tuple(meant) == distinct:
            return cls(maps, lattice, distinct)
        merged = torch.zeros(len(distinct), *maps.shape[1:], device=maps.device)
        for index, value in enumerate(meant):
            merged[distinct.index(value)] += maps[index]
        return cls(merged, lattice, distinct)


@dataclass(frozen=True)
class Target:
    """The voxels to fill: [start, stop) of an LPS-upright view with `spacing_mm`."""

    spacing_mm: Triple
    start: Shape
    stop: Shape

    @property
    def shape(self) -> Shape:
        """Voxels along (z, y, x)."""
        z, y, x = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x


class Sampler:
    """Linear interpolation of class maps at the voxel centres of a target; outside of the lattice a map is 0, the background 1."""

    def __init__(self, class_maps: ClassMaps, target: Target) -> None:
        self.class_maps = class_maps
        lattice = class_maps.lattice
        self.weights = [
            torch.from_numpy(axis_weights(lattice.shape[axis], lattice.spacing_mm[axis],
                                          target.start[axis] * target.spacing_mm[axis] - lattice.low_mm[axis],
                                          target.spacing_mm[axis], target.shape[axis], interpolation="linear"))
            for axis in range(3)
        ]
        self.within = [weights.sum(dim=1) > 0.5 for weights in self.weights]
        self.covers = all(bool(axis.all()) for axis in self.within)

    def slab(self, value: int, a: int, b: int) -> Tensor | None:
        """(b - a, y, x) float32: the probability of `value` in slices [a, b) of the target; None where it is 0 throughout."""
        if value not in self.class_maps.values:
            return None
        maps = self.class_maps.maps[self.class_maps.values.index(value)]
        wz, wy, wx = self.weights
        used = wz[a:b].any(dim=0).nonzero()
        if len(used):
            low, high = int(used[0]), int(used[-1]) + 1
            coarse = torch.tensordot(wz[a:b, low:high], maps[low:high].float().cpu(), dims=1)
            fine: Tensor = wy @ (coarse @ wx.T)
        else:
            fine = torch.zeros(b - a, len(wy), len(wx))
        if value == 0 and not self.covers:
            outside = ~(self.within[0][a:b, None, None] & self.within[1][None, :, None] & self.within[2][None, None, :])
            fine.masked_fill_(outside, 1.0)
        return fine


def paint(class_maps: ClassMaps, target: Target, labels: NDArray[np.generic], edges: NDArray[np.float32] | None = None,
          ) -> Generator[float, None, None]:
    """Write the most probable value of every target voxel into `labels`, and 1 - margin into `edges` (both views, (z, y, x)).

    A running argmax: two maps of a few slices are held, never all classes. A tie goes to the lower value.
    """
    sampler = Sampler(class_maps, target)
    place = tuple(slice(a, b) for a, b in zip(target.start, target.stop, strict=True))
    out, edge_out = labels[place], None if edges is None else edges[place]
    depth = target.shape[0]
    for a in range(0, depth, SLICES_PER_STEP):
        b = min(depth, a + SLICES_PER_STEP)
        best = sampler.slab(0, a, b)
        assert best is not None  # every set of class maps has a background
        second = torch.zeros_like(best) if edges is not None else None
        winner = torch.zeros(best.shape, dtype=torch.int32)
        for value in class_maps.values[1:]:
            chance = sampler.slab(value, a, b)
            assert chance is not None
            better = chance > best
            if second is not None:
                second = torch.maximum(second, torch.minimum(best, chance))
            winner.masked_fill_(better, value)
            torch.maximum(best, chance, out=best)
        out[a:b] = winner.numpy()
        if edge_out is not None and second is not None:
            edge_out[a:b] = (1 - (best - second)).numpy()
        yield (b - a) / depth


def paint_map(values: Tensor, lattice: Lattice, target: Target, out: NDArray[np.float32]) -> Generator[float, None, None]:
    """Write one map (1, z, y, x) on `lattice` into the target voxels of `out` (a view, (z, y, x)), linearly; 0 outside of the lattice."""
    sampler = Sampler(ClassMaps(values, lattice, (1,)), target)
    place = out[tuple(slice(a, b) for a, b in zip(target.start, target.stop, strict=True))]
    for a in range(0, target.shape[0], SLICES_PER_STEP):
        b = min(target.shape[0], a + SLICES_PER_STEP)
        slab = sampler.slab(1, a, b)
        assert slab is not None
        place[a:b] = slab.numpy()
        yield (b - a) / target.shape[0]
