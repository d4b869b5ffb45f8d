"""The alternation of paper 1, algorithm 1: theta by gradient descent on F + `quadratic_term`, then u and w by
`update`.

A label that was not contoured in a case is merged into the background of s before it comes here, as before
any loss: its map is then 0, and so are its area and its u.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ctseg_training.losses.partial import one_hot
from ctseg_training.proximal import douglas_rachford
from ctseg_training.proximal.differences import gradient
from ctseg_training.proximal.douglas_rachford import DRResult, DRSettings, DRState
from ctseg_training.proximal.total_variation import edge_weight


def quadratic_term(s: Tensor, u: Tensor, w: Tensor, mu: float) -> Tensor:
    """mu/2 |s - u + w|^2: summed over the foreground classes 1.., mean over voxels and samples;
    differentiable in s.

    s : (B, K, [Z,] Y, X) probabilities. u, w : alike, constants here. Source: paper 1, eq. 4.
    """
    distance = s[:, 1:].float() - u[:, 1:].float() + w[:, 1:].float()
    return mu / 2 * distance.square().sum(1).mean()


@torch.no_grad()
def update(
    s: Tensor,
    y: Tensor,
    u: Tensor,
    w: Tensor,
    settings: DRSettings | None = None,
    *,
    spacing: Sequence[float] | None = None,
) -> tuple[Tensor, Tensor]:
    """The next u, near s + w with short contours where y has them and y's areas; and the next w = w + s - u.

    s, u, w : (B, K, [Z,] Y, X), background first, s summing to 1 over K. y : (B, [Z,] Y, X) int64. Returns
    (u, w) in float32.
    """
    following = u_update(s, y, w, settings, start_at(u, settings, spacing=spacing), spacing=spacing).u
    return following, w.float() + s.float() - following


@torch.no_grad()
def u_update(
    s: Tensor,
    y: Tensor,
    w: Tensor,
    settings: DRSettings | None = None,
    start: DRState | None = None,
    *,
    spacing: Sequence[float] | None = None,
) -> DRResult:
    """The u of `update` with the result of its iteration; arguments as there.

    start : where it begins, of an earlier result or `start_at`.

    Two classes are solved for the foreground alone, which has the same minimiser (each map's TV is the
    other's) for half the work.
    """
    maps = slice(1, 2) if s.shape[1] == 2 else slice(None)
    truth = one_hot(y, s.shape[1])[:, maps]
    distances = tuple(spacing) if spacing is not None else (1.0,) * (s.ndim - 2)
    wanted = (s.float() + w.float())[:, maps]
    result = douglas_rachford.solve_multiclass(
        wanted, edge_weight(truth, distances), truth.flatten(2).sum(2), settings, start, spacing=distances
    )
    if s.shape[1] > 2:
        return result
    both = torch.cat([1 - result.u, result.u], dim=1)
    return replace(result, u=both)


def start_at(
    u: Tensor, settings: DRSettings | None = None, *, spacing: Sequence[float] | None = None
) -> DRState:
    """The state that begins at u (B, K, [Z,] Y, X): algorithm 1 passes the last u to its solver."""
    maps = (u[:, 1:] if u.shape[1] == 2 else u).float()
    distances = tuple(spacing) if spacing is not None else (1.0,) * (u.ndim - 2)
    return DRState(maps, maps, (settings or DRSettings()).slope_scale * gradient(maps, distances))
