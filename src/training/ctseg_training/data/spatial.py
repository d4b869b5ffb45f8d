"""The spatial augmentation of paper 5 as one map from the network's voxels to points of the case."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctseg_models.contract.lattice import Lattice
from ctseg_training.recipes.data_settings import Augmentation


@dataclass(frozen=True, eq=False)
class SpatialDraw:
    """centre + shift_mm + matrix (p - centre, x mirrored) + elastic(p), for a point p of the lattice around
    its centre; (z, y, x).

    control_mm : (3, gz, gy, gx) displacements of the control points of a cubic B-spline over the lattice, or
    None.
    """

    matrix: NDArray[np.float64]
    shift_mm: NDArray[np.float64]
    mirror: bool = False
    control_mm: NDArray[np.float32] | None = None


def identity() -> SpatialDraw:
    """The identity."""
    return SpatialDraw(np.eye(3), np.zeros(3))


def draw_spatial(settings: Augmentation, rng: np.random.Generator) -> SpatialDraw:
    """Draw translation, rotation, common scale, scale per axis, elastic and mirroring, uniform within the
    recipe's bounds.
    """
    matrix = rotation(rng.uniform(-1, 1, 3) * np.array(settings.rotation_rad))
    matrix = matrix * (1 + rng.uniform(-1, 1) * settings.scale)
    matrix = matrix @ np.diag(1 + rng.uniform(-1, 1, 3) * settings.scale_per_axis)
    shift = rng.uniform(-1, 1, 3) * np.array(settings.translation_mm)
    mirror = bool(rng.random() < settings.mirror)
    control = None
    if settings.elastic is not None and rng.random() < settings.elastic.share:
        largest = np.array(settings.elastic.amplitude_mm)[:, None, None, None]
        control = (rng.uniform(-1, 1, (3, *settings.elastic.grid)) * largest).astype(np.float32)
    return SpatialDraw(matrix, shift, mirror, control)


def rotation(angles_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation of (z, y, x) offsets: about x first, then y, then z. angles_rad : about (z, y, x)."""
    (cz, cy, cx), (sz, sy, sx) = np.cos(angles_rad), np.sin(angles_rad)
    about_z = np.array([[1, 0, 0], [0, cz, -sz], [0, sz, cz]])
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_x = np.array([[cx, -sx, 0], [sx, cx, 0], [0, 0, 1]])
    turned: NDArray[np.float64] = about_z @ about_y @ about_x
    return turned


def sample_points(lattice: Lattice, draw: SpatialDraw, slices: NDArray[np.int64] | None = None) -> Tensor:
    """(Z, Y, X, 3) float32: where each voxel centre of the lattice is taken from, in mm (z, y, x) from the
    outer face of voxel 0.

    slices : of the lattice, instead of all.
    """
    axes = [
        (torch.arange(n, dtype=torch.float32) - (n - 1) / 2) * s
        for n, s in zip(lattice.shape, lattice.spacing_mm, strict=True)
    ]
    if slices is not None:
        axes[0] = axes[0][torch.from_numpy(slices)]
    if draw.mirror:
        axes[2] = -axes[2]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    centre = np.array(
        [low + n * s / 2 for low, n, s in zip(lattice.low_mm, lattice.shape, lattice.spacing_mm, strict=True)]
    )
    points = offsets @ torch.from_numpy(draw.matrix.T.astype(np.float32)) + torch.from_numpy(
        (centre + draw.shift_mm).astype(np.float32)
    )
    if draw.control_mm is not None:
        points = points + torch.movedim(
            spline(torch.from_numpy(draw.control_mm), lattice.shape, slices), 0, -1
        )
    return points


def spline(control: Tensor, shape: tuple[int, int, int], slices: NDArray[np.int64] | None = None) -> Tensor:
    """(C, gz, gy, gx) control values to (C, Z, Y, X): the uniform cubic B-spline, first and last control
    point at the borders.

    Beyond the border the last control point is repeated. Values stay within the range of the control points.
    slices : of the first axis, instead of all Z.
    """
    for axis, n in enumerate(shape, start=1):
        weights = _spline_weights(control.shape[axis], n)
        if axis == 1 and slices is not None:
            weights = weights[torch.from_numpy(slices)]
        control = torch.movedim(torch.movedim(control, axis, -1) @ weights.T, -1, axis)
    return control


def _spline_weights(controls: int, n: int) -> Tensor:
    """(n, controls) weights of the uniform cubic B-spline basis; rows sum to 1."""
    weights = torch.zeros(n, controls)
    for i in range(n):
        position = (i + 0.5) / n * (controls - 1)
        first = math.floor(position)
        t = position - first
        basis = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
        for offset, value in enumerate(basis):
            weights[i, min(max(first - 1 + offset, 0), controls - 1)] += value / 6
    return weights
