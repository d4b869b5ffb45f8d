"""The discrete gradient of the total variation (forward differences, Neumann border) and its adjoint."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def gradient(u: Tensor, spacing: Sequence[float]) -> Tensor:
    """Forward differences along the last D = len(spacing) axes of u, 0 at the last voxel of each axis.

    u : (..., [Z,] Y, X). spacing : distance of two voxels, in the order of the axes ([z,] y, x). Returns (D,
    ..., [Z,] Y, X).
    """
    z = u.new_empty(len(spacing), *u.shape)
    for direction, h in enumerate(spacing):
        axis = direction - len(spacing)
        n = u.shape[axis]
        difference = z[direction].narrow(axis, 0, n - 1)
        difference.copy_(u.narrow(axis, 1, n - 1)).sub_(u.narrow(axis, 0, n - 1))
        if h != 1:
            difference.div_(h)
        z[direction].narrow(axis, n - 1, 1).zero_()
    return z


def gradient_adjoint(z: Tensor, spacing: Sequence[float]) -> Tensor:
    """The adjoint: <gradient(u), z> = <u, gradient_adjoint(z)> for every u and z; minus the divergence.

    z : (D, ..., [Z,] Y, X) as `gradient` gives it; values at the last voxel of an axis have no difference and
    are not read. Returns (..., [Z,] Y, X).
    """
    u = torch.zeros_like(z[0])
    for direction, h in enumerate(spacing):
        axis = direction - len(spacing)
        n = u.shape[axis]
        difference = z[direction].narrow(axis, 0, n - 1)
        u.narrow(axis, 0, n - 1).sub_(difference, alpha=1 / h)
        u.narrow(axis, 1, n - 1).add_(difference, alpha=1 / h)
    return u


def squared_norm_bound(spacing: Sequence[float]) -> float:
    """An upper bound of the largest eigenvalue of gradient^T gradient: 4 / h^2 for each direction."""
    return sum(4 / h**2 for h in spacing)
