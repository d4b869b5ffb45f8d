"""The u-problem of paper 1, eq. 5: min TV_g(u) + mu/2 |u - (s + w)|^2 with u in [0, 1] (or in the simplex)
and a given area.

Two classes are one map, the foreground's; K > 2 classes are K maps that share each voxel's simplex. Both
solvers work on (B, K, [Z,] Y, X) with K = 1 for the former, and a batch is B independent problems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from ctseg_training.proximal.projections import project_box, project_box_area, project_simplex
from ctseg_training.proximal.total_variation import weighted_tv

AREA_ROUNDING = 1e-4  # of the voxels: how far the sum of the areas of all classes may differ


@dataclass(frozen=True)
class Problem:
    """wanted : s + w, (B, K, [Z,] Y, X).

    g : its weights, alike. area : (B, K) in voxels, or None where it is free.
    """

    wanted: Tensor
    g: Tensor
    area: Tensor | None
    mu: float
    spacing: tuple[float, ...]

    @property
    def axes(self) -> int:
        """How many of the last axes are space."""
        return len(self.spacing)

    def into_range(self, x: Tensor) -> Tensor:
        """The nearest u in [0, 1], or in the simplex of each voxel."""
        return project_box(x) if x.shape[1] == 1 else project_simplex(x)

    def feasible(self, u: Tensor) -> Tensor:
        """u, which is in range, made to have its area too.

        With K > 1 no closed form does both: u as it is, in the simplex.
        """
        return u if self.area is None or u.shape[1] > 1 else project_box_area(u, self.area, self.axes)

    def area_gap(self, u: Tensor) -> Tensor:
        """(B,) the greatest distance of a map's sum from its area, as a share of the voxels; 0 where the area
        is free.
        """
        if self.area is None:
            return u.new_zeros(len(u))
        return (u.flatten(2).sum(2) - self.area).abs().amax(1) / u[0, 0].numel()


SolverState = TypeVar("SolverState")


@dataclass(frozen=True)
class Solution(Generic[SolverState]):
    """What a solver found, and the state from which another solve of the same samples may start."""

    u: Tensor  # of the shape of s + w, in range, and with its area where there are two classes
    state: SolverState
    iterations: int
    residual: Tensor  # (B,) the relative change in the last iteration
    converged: bool  # all of them within the tolerance
    # (B,) by how much u missed its area before it was moved there, as a share of the voxels; with K > 2 it
    # still does.
    area_gap: Tensor

    def foreground(self) -> Solution[SolverState]:
        """Of two classes, with u (B, [Z,] Y, X) instead of (B, 1, [Z,] Y, X)."""
        return replace(self, u=self.u.squeeze(1))


def objective(u: Tensor, s_plus_w: Tensor, g: Tensor, mu: float, spacing: Sequence[float]) -> Tensor:
    """TV_g(u) + mu/2 |u - (s + w)|^2 for each sample, sums over voxels and classes; constraints are not
    checked.

    u, s_plus_w, g : (B, [Z,] Y, X) or (B, K, [Z,] Y, X); according to len(spacing). Returns (B,). Source:
    paper 1, eq. 5.
    """
    tv = weighted_tv(u, g, spacing).reshape(len(u), -1).sum(1)
    return tv + mu / 2 * (u - s_plus_w).square().flatten(1).sum(1)


def pose(
    s_plus_w: Tensor, g: Tensor, area: Tensor | None, mu: float, spacing: Sequence[float] | None
) -> Problem:
    """Check and pose the problem; (B, K, [Z,] Y, X) and (B, K).

    Half precision is worked on in float32, distances are 1 by default.

    Raises ValueError where shapes do not fit, a number is not finite, a weight is negative or no u has the
    areas asked for.
    """
    axes = s_plus_w.ndim - 2
    spacing = tuple(spacing) if spacing is not None else (1.0,) * axes
    if g.shape != s_plus_w.shape or len(spacing) != axes:
        raise ValueError(
            f"s + w is {tuple(s_plus_w.shape)}, its weights {tuple(g.shape)} and the spacing {spacing}; they "
            "must agree."
        )
    if not bool(s_plus_w.isfinite().all()) or not bool((g >= 0).all()):
        raise ValueError(
            "s + w has to be finite and no weight negative; look for NaN in the network's output."
        )
    dtype = torch.float64 if s_plus_w.dtype == torch.float64 else torch.float32
    if area is not None:
        area = area.to(s_plus_w.device, dtype)
        _refuse_impossible(area, s_plus_w)
    return Problem(s_plus_w.to(dtype), g.to(dtype), area, mu, spacing)


def _refuse_impossible(area: Tensor, maps: Tensor) -> None:
    voxels = maps[0, 0].numel()
    if area.shape != maps.shape[:2]:
        raise ValueError(
            f"The areas are {tuple(area.shape)}, the maps {tuple(maps.shape[:2])} (samples, classes); they "
            "must agree."
        )
    if not bool(((area >= 0) & (area <= voxels)).all()):
        raise ValueError(f"An area lies outside 0 to {voxels}, the number of voxels.")
    if maps.shape[1] > 1 and bool(((area.sum(1) - voxels).abs() > AREA_ROUNDING * voxels).any()):
        raise ValueError(
            f"The areas of all classes, the background's too, have to add up to {voxels}, the number of "
            "voxels."
        )
