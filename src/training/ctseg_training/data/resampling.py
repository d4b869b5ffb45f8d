"""Image and labels of a case at given points: the single resampling of a training sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ctseg_imaging.geometry import Triple


@dataclass(frozen=True, eq=False)
class Reach:
    """The part of a case that a set of points needs, averaged down where the network's voxels are larger than
    the case's.
    """

    crop: tuple[slice, slice, slice]  # of the case's voxels
    # voxels per side that are averaged first, which stands for the area weighting of inference
    pool: tuple[int, int, int]
    # voxels by which the border is repeated first, to align the averaged cells with those of an unmoved
    # lattice
    before: tuple[int, int, int]
    grid: Tensor  # (1, Z, Y, X, 3) for grid_sample with align_corners=True
    outside: Tensor  # (Z, Y, X) beyond the volume


def reach(
    points_mm: Tensor,
    shape: Sequence[int],
    spacing_mm: Triple,
    target_spacing_mm: Triple,
    extra_mm: float = 0.0,
) -> Reach:
    """What `points_mm` (Z, Y, X, 3) need of a case of `shape` voxels.

    extra_mm : kept around them, for smoothing.
    """
    spacing, size = torch.tensor(spacing_mm), torch.tensor([float(n) for n in shape])
    index = points_mm / spacing - 0.5
    outside = ((index < -0.5) | (index > size - 0.5)).any(dim=-1)
    pool = [max(1, math.floor(t / s + 0.5)) for t, s in zip(target_spacing_mm, spacing_mm, strict=True)]
    flat = index.reshape(-1, 3)
    crop, starts, cells, before = [], [], [], []
    for axis, n in enumerate(shape):
        room = pool[axis] * (1 + math.ceil(extra_mm / spacing_mm[axis] / pool[axis]))
        first = (
            round(float(flat[:, axis].min()) - (pool[axis] - 1) / 2) - room
        )  # the cells of an unmoved lattice begin here
        start = min(max(0, first), n - 1)
        stop = max(start + 1, min(n, math.ceil(float(flat[:, axis].max())) + 1 + room))
        before.append((start - first) % pool[axis])
        crop.append(slice(start, stop))
        starts.append(float(start - before[axis]))
        cells.append(math.ceil((stop - start + before[axis]) / pool[axis]))
    factor = torch.tensor([float(p) for p in pool])
    cell = (index - torch.tensor(starts) + 0.5) / factor - 0.5
    last = torch.tensor([float(max(n - 1, 1)) for n in cells])
    return Reach(
        (crop[0], crop[1], crop[2]),
        (pool[0], pool[1], pool[2]),
        (before[0], before[1], before[2]),
        (cell * (2 / last) - 1)[None].flip(-1),
        outside,
    )


def sample_image(
    image: Tensor, spacing_mm: Triple, at: Reach, *, outside: float, smoothing_sigma_mm: float = 0.0
) -> Tensor:
    """(Z, Y, X) float32: linear between (averaged) voxels; the border is repeated up to the volume's face,
    `outside` beyond it.
    """
    part = image[at.crop].float()[None, None]
    if smoothing_sigma_mm > 0:
        part = smooth(part, [smoothing_sigma_mm / s for s in spacing_mm])
    values = _at(part, at)
    return values.masked_fill(at.outside, outside)


def sample_labels(labels: Tensor, at: Reach, *, smoothing_voxels: float = 0.0) -> Tensor:
    """(Z, Y, X) int64 class indices: each class resampled linearly (and smoothed), the largest wins,
    foreground before background.
    """
    part = labels[at.crop]
    found = [int(value) for value in torch.unique(part) if value]
    best = torch.zeros(at.grid.shape[1:4])
    winner = torch.zeros(at.grid.shape[1:4], dtype=torch.int64)
    total = torch.zeros(at.grid.shape[1:4])
    for value in found:  # one class at a time: a one-hot array would be many times the volume
        share = _at((part == value).float()[None, None], at).masked_fill(at.outside, 0.0)
        if smoothing_voxels > 0:
            share = smooth(share[None, None], [smoothing_voxels] * 3)[0, 0]
        better = share > best
        winner[better] = value
        best = torch.maximum(best, share)
        total += share
    winner[best < 1 - total - 1e-4] = 0
    return winner


def smooth(maps: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Gaussian along the last three axes of (B, C, z, y, x), sigmas in voxels, cut at 4 sigma, the border
    repeated.
    """
    for axis, sigma in enumerate(sigmas):
        radius = math.ceil(4 * sigma)
        if sigma <= 0.05 or radius < 1:
            continue
        kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
        shape, padding = [1, 1, 1], [0] * 6
        shape[axis] = 2 * radius + 1
        padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = radius
        maps = F.conv3d(F.pad(maps, padding, mode="replicate"), (kernel / kernel.sum()).reshape(1, 1, *shape))
    return maps


def _at(part: Tensor, at: Reach) -> Tensor:
    if max(at.before) > 0:
        part = F.pad(part, (at.before[2], 0, at.before[1], 0, at.before[0], 0), mode="replicate")
    if max(at.pool) > 1:
        part = F.avg_pool3d(part, at.pool, ceil_mode=True)
    return F.grid_sample(part, at.grid, mode="bilinear", padding_mode="border", align_corners=True)[0, 0]
