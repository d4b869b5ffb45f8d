"""The second solver of the u-problem: the primal-dual iteration of Chambolle and Pock 2011 (JMIV 40:120-145,
algorithm 1).

min over u, max over |p| <= g and r of <grad u, p> + r (sum u - area) / sqrt(N) + mu/2 |u - (s + w)|^2,  u in
range

The paper's authors run 80 iterations with tau 0.4 and sigma 0.01, which are the defaults; they do not
converge by then (see benchmarks/proximal.py). The area has a step of its own, all that tau leaves: the row of
a sum has another scale than the gradient's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ctseg_training.proximal.differences import gradient, gradient_adjoint, squared_norm_bound
from ctseg_training.proximal.problem import Problem, Solution, pose
from ctseg_training.proximal.total_variation import magnitude

CHECK_EVERY = 10


@dataclass(frozen=True)
class PDSettings:
    """mu as in the paper; tau, sigma : the steps of u and of p; tolerance : of |u_next - u| / |u|, 0 for all
    max_iterations.
    """

    mu: float = 0.5
    tau: float = 0.4
    sigma: float = 0.01
    tolerance: float = 0.0
    max_iterations: int = 80


@dataclass(frozen=True)
class PDState:
    """u, p and r: (B, K, [Z,] Y, X), (D, B, K, [Z,] Y, X) and (B, K)."""

    u: Tensor
    p: Tensor
    r: Tensor


PDResult = Solution[PDState]  # residual : of u, |u_next - u| / |u|


def solve(
    s_plus_w: Tensor,
    g: Tensor,
    area: Tensor | None,
    settings: PDSettings | None = None,
    start: PDState | None = None,
    *,
    spacing: Sequence[float] | None = None,
) -> PDResult:
    """The u-update of two classes; arguments as `douglas_rachford.solve`."""
    one = None if area is None else area.unsqueeze(1)
    maps = solve_multiclass(s_plus_w.unsqueeze(1), g.unsqueeze(1), one, settings, start, spacing=spacing)
    return maps.foreground()


@torch.no_grad()
def solve_multiclass(
    s_plus_w: Tensor,
    g: Tensor,
    areas: Tensor | None,
    settings: PDSettings | None = None,
    start: PDState | None = None,
    *,
    spacing: Sequence[float] | None = None,
) -> PDResult:
    """The u-update of K classes; arguments as `douglas_rachford.solve_multiclass`.

    ValueError also for steps too long to converge.
    """
    settings = settings or PDSettings()
    problem = pose(s_plus_w, g, areas, settings.mu, spacing)
    left = 1 - settings.tau * settings.sigma * squared_norm_bound(problem.spacing)
    if min(settings.tau, settings.sigma, left) <= 0:
        raise ValueError(
            f"tau {settings.tau} and sigma {settings.sigma} are too long: tau sigma |grad|^2 has to stay "
            "under 1."
        )
    y = start or _first(problem)
    if y.u.shape != problem.wanted.shape:
        raise ValueError("The state to start from belongs to another problem: its shape is a different one.")
    for iterations in range(1, settings.max_iterations + 1):
        new = _step(problem, y, settings, left / settings.tau)
        last = iterations == settings.max_iterations
        if last or iterations % CHECK_EVERY == 0:
            residual = _norm(new.u - y.u) / _norm(y.u).clamp_min(torch.finfo(y.u.dtype).tiny)
            converged = bool((residual <= settings.tolerance).all())
            if converged or last:
                return PDResult(
                    problem.feasible(new.u), new, iterations, residual, converged, problem.area_gap(new.u)
                )
        y = new
    raise ValueError("max_iterations has to be 1 or more.")


def _step(problem: Problem, y: PDState, settings: PDSettings, area_step: float) -> PDState:
    """u first, then p and r at the extrapolated u."""
    down = gradient_adjoint(y.p, problem.spacing)
    root = math.sqrt(y.u[0, 0].numel())
    if problem.area is not None:
        down = down + (y.r / root).reshape(*y.r.shape, *[1] * problem.axes)
    pulled = settings.tau * problem.mu
    u = problem.into_range((y.u - settings.tau * down + pulled * problem.wanted) / (1 + pulled))
    ahead = 2 * u - y.u
    p = _into_discs(y.p + settings.sigma * gradient(ahead, problem.spacing), problem.g)
    r = y.r if problem.area is None else y.r + area_step * (ahead.flatten(2).sum(2) - problem.area) / root
    return PDState(u, p, r)


def _into_discs(p: Tensor, g: Tensor) -> Tensor:
    """The nearest p with |p| <= g in each voxel."""
    return p * (g / magnitude(p).clamp_min_(torch.finfo(p.dtype).tiny)).clamp_max_(1)


def _first(problem: Problem) -> PDState:
    u = problem.into_range(problem.wanted)
    return PDState(u, u.new_zeros(problem.axes, *u.shape), u.new_zeros(u.shape[:2]))


def _norm(u: Tensor) -> Tensor:
    return u.square().flatten(1).sum(1).sqrt()
