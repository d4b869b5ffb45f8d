"""Augmentation of a slab of slices: pure functions of (image, target, settings, random state) that keep the
shape.

image : (C, Z, Y, X) float. target : (Z, Y, X) int64. A 2D sample is a slab of one slice. Both move together:
the image is interpolated linearly, labels by the nearest voxel, so no label is invented; beyond the border
the border is repeated. Angles and displacements are in voxels of the plane, which are square in CT.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ctseg_training.data.spatial import spline
from ctseg_training.recipes.slab_settings import CTCues, Generic, InPlane

Slab = tuple[Tensor, Tensor]


def augment_ct(image: Tensor, target: Tensor, settings: CTCues, rng: np.random.Generator) -> Slab:
    """Slice skipping, slice interpolation, rotation in plane, noise map and range shift, each drawn for
    itself.

    The slices that skipping and interpolation take are positions along z in half steps, so the slab keeps its
    length. Raises ValueError when image and target differ in (Z, Y, X). Source: paper 3, "Image
    Augmentation".
    """
    _check(image, target)
    draw = rng.random()
    if draw >= settings.share:
        return image, target
    if rng.random() < settings.skip:
        image, target = take_slices(image, target, skipped(target.shape[0], int(rng.integers(2))))
    if rng.random() < settings.interpolate:
        image, target = take_slices(
            image, target, interpolated(target.shape[0], int(rng.integers(target.shape[0])))
        )
    image, target = rotate_in_plane(image, target, settings.rotation_deg * float(rng.uniform(-1, 1)))
    if settings.noise > 0:
        deviation = float(rng.uniform(0, settings.noise))
        image = image + deviation * torch.from_numpy(
            rng.standard_normal(tuple(image.shape), dtype=np.float32)
        )
    if draw < settings.shift_share:  # the same draw as above, so it is a share of all samples
        image = image + settings.shift * float(rng.uniform(-1, 1))
    return image, target


def augment_generic(image: Tensor, target: Tensor, settings: Generic, rng: np.random.Generator) -> Slab:
    """Rotation, scaling and elastic deformation in one resampling, then gamma.

    Raises ValueError as `augment_ct`.

    Gamma keeps the slab's lowest and highest intensity. Source: the comparison of paper 3, section "Results".
    """
    _check(image, target)
    if rng.random() >= settings.share:
        return image, target
    angle = math.radians(settings.rotation_deg) * float(rng.uniform(-1, 1))
    size = 1 + settings.scale * float(rng.uniform(-1, 1))
    control = rng.uniform(-1, 1, (2, *settings.elastic_grid)).astype(np.float32) * np.float32(
        settings.elastic_voxels
    )
    exponent = math.exp(settings.gamma * float(rng.uniform(-1, 1)))
    if settings.rotation_deg or settings.scale or settings.elastic_voxels:
        z, y, x = _turned(target.shape, angle, 1 / size)
        dy, dx = spline(torch.from_numpy(control), (target.shape[0], target.shape[1], target.shape[2]))
        image, target = _resampled(image, target, z, y + dy, x + dx)
    return (_gamma(image, exponent) if settings.gamma else image), target


def augment_in_plane(image: Tensor, target: Tensor, settings: InPlane, rng: np.random.Generator) -> Slab:
    """A rotation in plane. Raises ValueError as `augment_ct`. Source: paper 4."""
    _check(image, target)
    if rng.random() >= settings.share:
        return image, target
    return rotate_in_plane(image, target, settings.rotation_deg * float(rng.uniform(-1, 1)))


def skipped(slices: int, first: int) -> list[int]:
    """`slices` positions in half slices: every second slice from `first` (0 or 1) on, and back again from the
    end.

    Neighbours are two slices apart throughout, as in a scan with twice the slice distance; turning back fills
    the slab with its own slices, since those beyond it are not available. Two slices or fewer stay as they
    are.
    """
    kept = list(range(first, slices, 2))
    if len(kept) < 2:
        return [2 * z for z in range(slices)]
    there_and_back = [*kept, *kept[-2:0:-1]]
    return [2 * there_and_back[k % len(there_and_back)] for k in range(slices)]


def interpolated(slices: int, first: int) -> list[int]:
    """`slices` positions in half slices, `first` (0 to slices - 1), first + 1, ...: half of the slab with a
    slice between every two.
    """
    return list(range(first, first + slices))


def take_slices(image: Tensor, target: Tensor, half_slices: list[int]) -> Slab:
    """The slab at positions along z in half slices: 2 k is slice k, 2 k + 1 the mean of slices k and k + 1
    with the labels of k.
    """
    position = torch.tensor(half_slices)
    low, high = position // 2, (position + 1) // 2
    whole = (low == high).reshape(-1, 1, 1)
    return torch.where(whole, image[:, low], (image[:, low] + image[:, high]) / 2), target[low]


def rotate_in_plane(image: Tensor, target: Tensor, angle_deg: float) -> Slab:
    """Every slice turned about the middle of the slab, from y towards x for a positive angle; nothing is
    touched at 0.
    """
    if angle_deg == 0:
        return image, target
    return _resampled(image, target, *_turned(target.shape, math.radians(angle_deg), 1.0))


def _turned(shape: torch.Size, angle_rad: float, step: float) -> tuple[Tensor, Tensor, Tensor]:
    """Where each voxel is taken from, (Z, Y, X) indices along z, y and x: turned in plane and `step` times as
    far from the middle.
    """
    z, y, x = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in shape), indexing="ij"
    )
    cos, sin = step * math.cos(angle_rad), step * math.sin(angle_rad)
    middle = [(n - 1) / 2 for n in shape]
    return z * step + middle[0], cos * y + sin * x + middle[1], cos * x - sin * y + middle[2]


def _resampled(image: Tensor, target: Tensor, z: Tensor, y: Tensor, x: Tensor) -> Slab:
    last = [max(n - 1, 1) for n in target.shape]
    grid = torch.stack([2 * x / last[2] - 1, 2 * y / last[1] - 1, 2 * z / last[0] - 1], dim=-1)[None]
    moved = F.grid_sample(
        image.float()[None], grid, mode="bilinear", padding_mode="border", align_corners=True
    )[0]
    labels = F.grid_sample(
        target.float()[None, None], grid, mode="nearest", padding_mode="border", align_corners=True
    )[0, 0]
    return moved, labels.to(target.dtype)


def _gamma(image: Tensor, exponent: float) -> Tensor:
    low, high = image.min(), image.max()
    if high == low:
        return image
    return low + (high - low) * ((image - low) / (high - low)) ** exponent


def _check(image: Tensor, target: Tensor) -> None:
    if image.shape[1:] != target.shape:
        raise ValueError(
            f"The image is {tuple(image.shape[1:])} and the target {tuple(target.shape)} (z, y, x); they "
            "must agree."
        )
