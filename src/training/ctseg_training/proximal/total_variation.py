"""The weighted total variation of paper 1: sum over voxels of g |grad u|, with the 2-norm over the
directions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ctseg_training.proximal.differences import gradient

EDGE_STEEPNESS = 100.0


def edge_weight(one_hot: Tensor, spacing: Sequence[float]) -> Tensor:
    """g = 1 / (1 + 100 |grad y|^2): 1 in the flat, small where the true contour runs, so level curves settle
    there.

    one_hot : (..., [Z,] Y, X) in {0, 1}; each map has its own weight of the same shape. Source: paper 1,
    section 2.1.
    """
    return 1 / (1 + EDGE_STEEPNESS * magnitude(gradient(one_hot, spacing)).square())


def weighted_tv(u: Tensor, g: Tensor, spacing: Sequence[float]) -> Tensor:
    """TV_g of each map: the sum of g |grad u| over the last len(spacing) axes.

    u, g : (..., [Z,] Y, X). Returns (...).
    """
    return (g * magnitude(gradient(u, spacing))).flatten(-len(spacing)).sum(-1)


def prox_weighted_tv(z: Tensor, g: Tensor, gamma: float) -> Tensor:
    """The minimiser of gamma g |x| + |x - z|^2 / 2 in each voxel: z (1 - gamma g / |z|), or 0 where |z| <=
    gamma g.

    z : (D, ..., [Z,] Y, X). g : (..., [Z,] Y, X), 0 or more. Source: paper 1, section 2.2.
    """
    length = magnitude(z).clamp_min_(torch.finfo(z.dtype).tiny)
    return z * torch.div(g, length, out=length).mul_(-gamma).add_(1).clamp_min_(0)


def magnitude(z: Tensor) -> Tensor:
    """The 2-norm over the first axis; `torch.linalg.vector_norm` over an outer axis is many times slower."""
    squares = z[0].square()
    for component in z[1:]:
        squares = squares.addcmul_(component, component)
    return squares.sqrt_()
