"""Probabilities as a volume: one map for each label, on the lattice of the network.

Small ones stay in memory, large ones go into a temporary file.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.volume import Volume
from ctseg_models.contract.upright import Upright
from ctseg_models.inference.labels.class_maps import ClassMaps, Target
from ctseg_models.inference.labels.paint import SLICES_PER_STEP
from ctseg_models.inference.labels.sampler import ClassMapSampler
from ctseg_models.inference.maps.scratch import unnamed_file

LARGE = 256_000_000  # bytes as float32


def probabilities_of(maps: ClassMaps, upright: Upright) -> Generator[float, None, Volume]:
    """(values, z, y, x): the probability of every label value, background first, on the maps' own lattice.

    float32, or float16 in a nameless file that lives as long as the array when it is larger than LARGE.
    Yields shares of the work.
    """
    lattice = maps.lattice
    sampler = ClassMapSampler(
        replace(maps, lattice=replace(lattice, low_mm=(0.0, 0.0, 0.0))),
        Target(lattice.spacing_mm, (0, 0, 0), lattice.shape),
    )
    out = _room((len(maps.values), *lattice.shape))
    for a in range(0, lattice.shape[0], SLICES_PER_STEP):
        b = min(lattice.shape[0], a + SLICES_PER_STEP)
        for number, value in enumerate(maps.values):
            slab = sampler.slab(value, a, b)
            assert slab is not None
            out[number, a:b] = slab.numpy()
        yield (b - a) / lattice.shape[0]
    return Volume(out, lattice.geometry(upright.geometry))


def _room(shape: tuple[int, ...]) -> NDArray[np.floating[Any]]:
    if 4 * int(np.prod(shape, dtype=np.int64)) <= LARGE:
        return np.empty(shape, np.float32)
    with unnamed_file(2 * int(np.prod(shape, dtype=np.int64))) as file:
        return np.memmap(file, np.float16, "r+", shape=shape)  # keeps the file as long as the array
