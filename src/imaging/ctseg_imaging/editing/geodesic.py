"""Geodesic distance: the shortest way through a volume, where every change of the image costs extra."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.geometry import Triple

Float = NDArray[np.float32]
SeedLabels = NDArray[np.uint8]
Window = tuple[slice, slice]


def nearest_seed(cost_mm: Float, seeds: SeedLabels, spacing_mm: Triple) -> tuple[Float, SeedLabels]:
    """The geodesic distance in mm of every voxel to the nearest seed, and that seed's label.

    cost_mm : (z, y, x), the image in units of mm: the step between two of the 26 neighbours is as long as
    their distance plus the absolute difference of their values. seeds : (z, y, x), 0 where there is no seed.
    spacing_mm : (z, y, x). Without a seed every distance is inf and every label 0. Between seeds of two
    labels at one distance either may win.

    Raster scans along the six directions of the axes, each a plane at a time, until nothing changes: the
    result is that of Dijkstra's algorithm. Source: Toivanen, Pattern Recognition Letters 18:1161-1171, 1997;
    a step as in Criminisi et al., ECCV 2008, with sums instead of squares. Raises ValueError if the shapes
    differ.
    """
    if cost_mm.shape != seeds.shape:
        raise ValueError(f"The image is {cost_mm.shape} and the seeds {seeds.shape}; they must agree.")
    distance = np.where(seeds > 0, np.float32(0), np.float32(np.inf))
    nearest = seeds.copy()
    image = cost_mm.astype(np.float32, copy=False)
    settled = not seeds.any()
    while not settled:
        settled = True
        for axis in range(3):
            order = (axis, *(k for k in range(3) if k != axis))
            scan = _Scan(*(np.ascontiguousarray(a.transpose(order)) for a in (distance, nearest, image)))
            steps = tuple(spacing_mm[k] for k in order)
            settled &= not scan.both_ways(steps)
            back = np.argsort(order)
            distance, nearest = scan.distance.transpose(back), scan.nearest.transpose(back)
    return np.ascontiguousarray(distance), np.ascontiguousarray(nearest)


class _Scan:
    """Distances passed on along the first axis, from one plane to the next."""

    def __init__(self, distance: Float, nearest: SeedLabels, image: Float) -> None:
        self.distance, self.nearest, self.image = distance, nearest, image

    def both_ways(self, spacing_mm: tuple[float, ...]) -> bool:
        """One scan up and one down; whether a distance became shorter."""
        neighbours = _neighbours(self.image.shape[1:], spacing_mm)
        planes, changed = range(len(self.image)), False
        for before, here in (*pairwise(planes), *pairwise(reversed(planes))):
            changed |= self._pass_on(before, here, neighbours)
        return changed

    def _pass_on(self, before: int, here: int, neighbours: list[tuple[Window, Window, np.float32]]) -> bool:
        changed = False
        if np.isinf(self.distance[before]).all():
            return False
        for to, source, step_mm in neighbours:
            way = self.image[here][to] - self.image[before][source]
            np.abs(way, out=way)
            way += step_mm
            way += self.distance[before][source]
            shorter = way < self.distance[here][to]
            if shorter.any():
                np.copyto(self.distance[here][to], way, where=shorter)
                np.copyto(self.nearest[here][to], self.nearest[before][source], where=shorter)
                changed = True
        return changed


def _neighbours(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...]
) -> list[tuple[Window, Window, np.float32]]:
    """The nine neighbours in the plane before: where they are passed on to, where they lie, how far away."""
    found = []
    for dy, dx in product((-1, 0, 1), repeat=2):
        pairs = [_shifted(n, by) for n, by in zip(shape, (dy, dx), strict=True)]
        step = np.linalg.norm([spacing_mm[0], dy * spacing_mm[1], dx * spacing_mm[2]])
        found.append(((pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1]), np.float32(step)))
    return found


def _shifted(length: int, by: int) -> tuple[slice, slice]:
    """Two spans of an axis, the second `by` voxels after the first."""
    return slice(max(0, -by), length - max(0, by)), slice(max(0, by), length - max(0, -by))
