"""The box of a localiser's foreground."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy import ndimage

from ctseg_models.contract.lattice import ViewBox
from ctseg_models.inference.labels.class_maps import ClassMaps, Target
from ctseg_models.inference.labels.paint import SLICES_PER_STEP
from ctseg_models.inference.labels.sampler import ClassMapSampler

SMALLEST_PART = 0.02  # of the largest part: smaller specks do not widen the box


def foreground_box(maps: ClassMaps, whole: ViewBox) -> ViewBox | None:
    """The box around a localiser's foreground within the volume, without small specks; None if empty."""
    lattice = maps.lattice
    own = Target(lattice.spacing_mm, (0, 0, 0), lattice.shape)
    sampler = ClassMapSampler(replace(maps, lattice=replace(lattice, low_mm=(0.0, 0.0, 0.0))), own)
    depth = lattice.shape[0]
    slabs = [sampler.winner(a, min(depth, a + SLICES_PER_STEP)) for a in range(0, depth, SLICES_PER_STEP)]
    foreground = torch.cat(slabs).numpy() != 0
    for axis in range(3):
        centres = lattice.low_mm[axis] + lattice.spacing_mm[axis] * (np.arange(lattice.shape[axis]) + 0.5)
        outside = (centres < whole.low[axis]) | (centres > whole.high[axis])
        np.moveaxis(foreground, axis, 0)[outside] = False
    parts, count = ndimage.label(foreground, np.ones((3, 3, 3)))
    if count == 0:
        return None
    sizes = np.bincount(parts.ravel())[1:]
    keep = np.flatnonzero(sizes >= SMALLEST_PART * sizes.max()) + 1
    index = np.argwhere(np.isin(parts, keep))
    step = np.array(lattice.spacing_mm)
    low = np.array(lattice.low_mm) + index.min(axis=0) * step
    high = np.array(lattice.low_mm) + (index.max(axis=0) + 1) * step
    return ViewBox((low[0], low[1], low[2]), (high[0], high[1], high[2]))
