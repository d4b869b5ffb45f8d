"""Douglas-Rachford for the u-update, with the split of paper 1, section 2.2:

f1(u, v, z) = mu/2 |u - (s + w)|^2 + [u in range] + [u = v] + sum g |z|          f2(u, v, z) = [z = grad u] +
[sum v = area]

z is c grad u here, with g / c as its weight: the same problem in another scale, which c = 4 brings to the
same objective in less than a sixth of the iterations of the paper's c = 1 on slices with one organ
(benchmarks/proximal.py). It is another voxel distance, h / c.

Of the two points that meet in the limit, f2's and f1's, the solvers return f1's u: it is in [0, 1] (or in the
simplex), and may miss the area by the `area_gap` of the result. With two classes it is then moved to the
nearest u that has the area as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ctseg_training.proximal.differences import gradient
from ctseg_training.proximal.problem import Problem, Solution, pose
from ctseg_training.proximal.projections import project_area, project_graph
from ctseg_training.proximal.total_variation import prox_weighted_tv

CHECK_EVERY = 10  # iterations; measuring the residual waits for the device


@dataclass(frozen=True)
class DRSettings:
    """mu, relaxation (lambda in the paper) and gamma as in the paper; slope_scale : the c above, 1 in the
    paper.

    tolerance : of |y_next - y| / |y|, which ends the iteration; 1e-5 stands for about 1e-4 of the objective.
    """

    mu: float = 0.5
    relaxation: float = 1.0
    gamma: float = 1.0
    slope_scale: float = 4.0
    tolerance: float = 1e-5
    max_iterations: int = 1000

    def __post_init__(self) -> None:
        if (
            min(self.mu, self.gamma, self.slope_scale) <= 0
            or not 0 < self.relaxation < 2
            or self.max_iterations < 1
        ):
            raise ValueError(
                "Douglas-Rachford needs mu, gamma and slope_scale above 0, a relaxation between 0 and 2 and "
                "an iteration."
            )


@dataclass(frozen=True)
class DRState:
    """The y of the iteration: u, v (B, K, [Z,] Y, X) and z (D, B, K, [Z,] Y, X); v is None where the area is
    free.

    It may start any solve of the same samples; one with another gamma or slope_scale takes longer from it.
    """

    u: Tensor
    v: Tensor | None
    z: Tensor


DRResult = Solution[DRState]  # residual : of y, |y_next - y| / |y|


def solve(
    s_plus_w: Tensor,
    g: Tensor,
    area: Tensor | None,
    settings: DRSettings | None = None,
    start: DRState | None = None,
    *,
    spacing: Sequence[float] | None = None,
) -> DRResult:
    """The u-update of two classes: one foreground map in [0, 1].

    s_plus_w, g : (B, [Z,] Y, X). area : (B,) voxels of foreground, or None. start : the state of an earlier
    solve of the same samples, for a quicker way to the same limit. spacing : distance of two voxels for each
    axis, 1 by default. No gradients. Raises ValueError as `pose` does.
    """
    one = None if area is None else area.unsqueeze(1)
    maps = solve_multiclass(s_plus_w.unsqueeze(1), g.unsqueeze(1), one, settings, start, spacing=spacing)
    return maps.foreground()


@torch.no_grad()
def solve_multiclass(
    s_plus_w: Tensor,
    g: Tensor,
    areas: Tensor | None,
    settings: DRSettings | None = None,
    start: DRState | None = None,
    *,
    spacing: Sequence[float] | None = None,
) -> DRResult:
    """The u-update of K classes, the background among them: u in the simplex of each voxel.

    s_plus_w, g : (B, K, [Z,] Y, X). areas : (B, K), which add up to the number of voxels, or None. A single
    map (K = 1) is taken as the foreground of two classes. The rest as `solve`.
    """
    settings = settings or DRSettings()
    problem = _in_scale(pose(s_plus_w, g, areas, settings.mu, spacing), settings.slope_scale)
    state = _copied(start or _first(problem))
    if state.u.shape != problem.wanted.shape or (state.v is None) != (areas is None):
        raise ValueError(
            "The state to start from belongs to another problem: its shape or its area constraint is a "
            "different one."
        )
    for iterations in range(1, settings.max_iterations + 1):
        last = iterations == settings.max_iterations
        before = _copied(state) if last or iterations % CHECK_EVERY == 0 else None
        u = _step(problem, state, settings)
        if before is not None:
            residual = _relative_change(before, state)
            converged = bool((residual <= settings.tolerance).all())
            if converged or last:
                break
    return DRResult(problem.feasible(u), state, iterations, residual, converged, problem.area_gap(u))


def _step(problem: Problem, y: DRState, settings: DRSettings) -> Tensor:
    """x = prox f2 (y); p = prox f1 (2x - y); y becomes y + lambda (p - x), in place.

    Returns p's u. Algorithm 2 of the paper.

    In place, because with maps of some megabytes the system takes longer to hand out new memory than the sums
    take.
    """
    pull, step = problem.mu * settings.gamma, settings.relaxation
    x_u, x_z = project_graph(y.u, y.z, problem.spacing)
    mirrored_u = (2 * x_u).sub_(y.u)
    mean = mirrored_u.add_(problem.wanted, alpha=pull)
    if y.v is None or problem.area is None:
        p_u = problem.into_range(mean.div_(pull + 1))
    else:
        x_v = project_area(y.v, problem.area, problem.axes)
        p_u = problem.into_range(mean.add_(x_v, alpha=2).sub_(y.v).div_(pull + 2))
        y.v.add_(p_u, alpha=step).sub_(x_v, alpha=step)
    y.u.add_(p_u, alpha=step).sub_(x_u, alpha=step)
    p_z = prox_weighted_tv((2 * x_z).sub_(y.z), problem.g, settings.gamma)
    y.z.add_(p_z, alpha=step).sub_(x_z, alpha=step)
    return p_u


def _in_scale(problem: Problem, c: float) -> Problem:
    return replace(problem, g=problem.g / c, spacing=tuple(h / c for h in problem.spacing))


def _first(problem: Problem) -> DRState:
    """s + w itself, taken into range."""
    u = problem.into_range(problem.wanted)
    return DRState(u, None if problem.area is None else u, gradient(u, problem.spacing))


def _copied(y: DRState) -> DRState:
    return DRState(y.u.clone(), None if y.v is None else y.v.clone(), y.z.clone())


def _relative_change(before: DRState, after: DRState) -> Tensor:
    """(B,) |after - before| / |before|, over u, v and z together; 0 where nothing changed."""
    change, size = _squares(after.u - before.u, 0), _squares(before.u, 0)
    change, size = change + _squares(after.z - before.z, 1), size + _squares(before.z, 1)
    if before.v is not None and after.v is not None:
        change, size = change + _squares(after.v - before.v, 0), size + _squares(before.v, 0)
    return (change / size.clamp_min(torch.finfo(size.dtype).tiny)).sqrt()


def _squares(x: Tensor, batch_axis: int) -> Tensor:
    return x.square().movedim(batch_axis, 0).flatten(1).sum(1)
