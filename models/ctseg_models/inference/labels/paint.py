"""Class maps on a coarse lattice to labels on the input's grid, a few slices and one class at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctseg_models.contract.lattice import Lattice
from ctseg_models.inference.labels.class_maps import ClassMaps, Target
from ctseg_models.inference.labels.sampler import ClassMapSampler

SLICES_PER_STEP = 8
NETWORK_SHARE = 0.95  # of the work of painting maps that have yet to be computed
Watch = Callable[
    [ClassMapSampler, int, int, Tensor], None
]  # gets slices [a, b) of a target and their labels (b - a, y, x) int32


def paint(
    class_maps: ClassMaps,
    target: Target,
    labels: NDArray[np.generic],
    edges: NDArray[np.float32] | None = None,
    watch: Watch | None = None,
) -> Generator[float, None, None]:
    """Write the label of every target voxel into `labels`, and 1 - margin into `edges`, both views (z, y, x).

    watch : gets every slab that is painted, while its maps can still be read. Pending maps are computed as
    they are needed, and then forgotten. Yields shares of the work since the last yield.
    """
    sampler, maps = ClassMapSampler(class_maps, target), class_maps.maps
    out, edge_out = labels[target.place], None if edges is None else edges[target.place]
    depth = target.shape[0]
    network_share = NETWORK_SHARE if maps.pending else 0.0
    for a in range(0, depth, SLICES_PER_STEP):
        b = min(depth, a + SLICES_PER_STEP)
        low, high = sampler.needed(a, b)
        for share in maps.advance(high):
            yield network_share * share
        if edge_out is None:
            winner = sampler.winner(a, b)
        else:
            winner, best, second = sampler.ranked(a, b)
            if class_maps.form == "regions" or class_maps.temperature != 1:
                winner = sampler.winner(a, b)
            edge_out[a:b] = (1 - (best - second)).numpy()
        out[a:b] = (
            winner.to(torch.uint8) if out.dtype == np.uint8 else winner
        ).numpy()  # torch narrows with all its threads
        if watch is not None:
            watch(sampler, a, b, winner)
        maps.forget(low)
        yield (1 - network_share) * (b - a) / depth


def paint_map(
    values: Tensor, lattice: Lattice, target: Target, out: NDArray[np.float32]
) -> Generator[float, None, None]:
    """Write one map (1, z, y, x) on `lattice` into the target voxels of `out`, a view (z, y, x).

    Interpolates linearly; 0 outside the lattice.
    """
    sampler = ClassMapSampler(ClassMaps.of(values, lattice, (1,)), target)
    place = out[target.place]
    for a in range(0, target.shape[0], SLICES_PER_STEP):
        b = min(target.shape[0], a + SLICES_PER_STEP)
        slab = sampler.slab(1, a, b)
        assert slab is not None
        place[a:b] = slab.numpy()
        yield (b - a) / target.shape[0]
