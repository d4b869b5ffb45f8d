"""The nearest point of each constraint set of paper 1, eq. 6."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ctseg_training.proximal.differences import gradient, gradient_adjoint
from ctseg_training.proximal.screened_poisson import solve_screened_poisson

HALVINGS = 50


def project_box(x: Tensor) -> Tensor:
    """C1 of two classes: 0 <= u <= 1 in every voxel."""
    return x.clamp(0, 1)


def project_simplex(x: Tensor) -> Tensor:
    """C1 of K classes: u >= 0 with sum 1 over axis 1 in every voxel. x : (B, K, ...).

    u = max(x - theta, 0), where theta is the largest of (sum of the k greatest - 1) / k over k. Source: Held,
    Wolfe and Crowder 1974; Duchi et al. 2008, ICML, figure 1.
    """
    greatest = x.sort(dim=1, descending=True).values
    count = torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device).reshape(-1, *[1] * (x.ndim - 2))
    theta = ((greatest.cumsum(1) - 1) / count).amax(1, keepdim=True)
    return (x - theta).clamp_min_(0)


def project_area(v: Tensor, area: Tensor, axes: int) -> Tensor:
    """C4: sum v = area over the last `axes` axes. area : the shape that is left, in voxels."""
    space = v.shape[-axes:]
    shift = (area - v.flatten(-axes).sum(-1)) / space.numel()
    return v + shift.reshape(*shift.shape, *[1] * axes)


def project_graph(u: Tensor, z: Tensor, spacing: Sequence[float]) -> tuple[Tensor, Tensor]:
    """C2: z = grad u. Returns (u~, grad u~) with u~ = (I + grad^T grad)^-1 (u + grad^T z).

    u : (..., [Z,] Y, X). z : (D, ..., [Z,] Y, X). (The paper's formula has lost the grad^T.)
    """
    nearest = solve_screened_poisson(gradient_adjoint(z, spacing).add_(u), spacing)
    return nearest, gradient(nearest, spacing)


def project_box_area(x: Tensor, area: Tensor, axes: int) -> Tensor:
    """C1 and C4 of two classes at once: clip(x + t, 0, 1) with the one t that gives the area; t by bisection.

    x : (..., [Z,] Y, X). area : (...), 0 to the number of voxels.
    """
    flat = x.flatten(-axes)
    low, high = -flat.amax(-1, keepdim=True), 1 - flat.amin(-1, keepdim=True)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        too_much = (flat + middle).clamp_(0, 1).sum(-1, keepdim=True) > area.unsqueeze(-1)
        low, high = torch.where(too_much, low, middle), torch.where(too_much, middle, high)
    return (flat + (low + high) / 2).clamp_(0, 1).reshape(x.shape)
