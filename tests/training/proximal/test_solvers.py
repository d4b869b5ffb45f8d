"""Both solvers against a lower bound that plain numpy finds: any p with |p| <= g and any r bound the
objective from below.

For f = s + w: TV_g(u) + mu/2 |u - f|^2 >= <G u, p> + r (sum u - area) + mu/2 |u - f|^2 for every u with
the area, and the right side has a minimum over all u in range in closed form. The bound that the oracle
reaches is within 1e-4 of the best u, as the tests show.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ctseg_training.proximal import douglas_rachford, primal_dual
from ctseg_training.proximal.douglas_rachford import DRSettings
from ctseg_training.proximal.primal_dual import PDSettings
from ctseg_training.proximal.problem import objective, pose

Array = NDArray[np.float64]
MU = 0.5
CLOSE = DRSettings(tolerance=1e-6, max_iterations=2000)
LONG = PDSettings(tau=0.35, sigma=0.2, tolerance=1e-9, max_iterations=6000)
PLANE = ((16, 16), (1.0, 1.0))
OTHERS = [((9, 13), (2.0, 0.7)), ((5, 6, 7), (2.5, 1.0, 1.2))]


def dense_gradient(shape: tuple[int, ...], spacing: tuple[float, ...]) -> Array:
    """(D N, N) of numpy.diff, zero at the end of each axis."""
    n = int(np.prod(shape))
    units = np.eye(n).reshape(n, *shape)
    return np.concatenate(
        [
            np.diff(units, axis=d + 1, append=np.take(units, [-1], axis=d + 1)).reshape(n, n).T / h
            for d, h in enumerate(spacing)
        ]
    )


def in_range(x: Array) -> Array:
    """(K, N): [0, 1] for one map, else the simplex of each column by bisection."""
    if len(x) == 1:
        return x.clip(0, 1)
    low, high = x.min(0) - 1, x.max(0)
    for _ in range(45):
        middle = (low + high) / 2
        over = np.maximum(x - middle, 0).sum(0) > 1
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    return np.maximum(x - high, 0)


def lengths(z: Array, directions: int) -> Array:
    """(K, D N) to the 2-norm over the directions, (K, N)."""
    return np.sqrt((z.reshape(len(z), directions, -1) ** 2).sum(1))


def lower_bound(
    f: Array, g: Array, area: Array | None, dense: Array, directions: int, steps: int = 800
) -> float:
    """Accelerated projected ascent of the dual; f, g (K, N), area (K,)."""
    root = np.sqrt(f.shape[1])
    step = MU / (np.linalg.norm(dense, 2) ** 2 + 1)
    p, r = np.zeros((len(f), len(dense))), np.zeros(len(f))
    p_ahead, r_ahead, t = p, r, 1.0
    for _ in range(steps):
        u = in_range(f - (p_ahead @ dense + r_ahead[:, None] / root) / MU)
        slope = p_ahead + step * u @ dense.T
        size = np.maximum(lengths(slope, directions), 1e-300)
        new_p = slope * np.tile(np.minimum(1, g / size), directions)
        new_r = r if area is None else r_ahead + step * (u.sum(1) - area) / root
        t, before = (1 + np.sqrt(1 + 4 * t * t)) / 2, t
        p_ahead, r_ahead = new_p + (before - 1) / t * (new_p - p), new_r + (before - 1) / t * (new_r - r)
        p, r = new_p, new_r
    u = in_range(f - (p @ dense + r[:, None] / root) / MU)
    bound = (p @ dense * u).sum() + MU / 2 * ((u - f) ** 2).sum()
    return float(bound if area is None else bound + (r * (u.sum(1) - area)).sum() / root)


def cost(u: Array, f: Array, g: Array, dense: Array, directions: int) -> float:
    return float((g * lengths(u @ dense.T, directions)).sum() + MU / 2 * ((u - f) ** 2).sum())


def blob(
    shape: tuple[int, ...], classes: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A noisy s + w (classes, ...) beyond [0, 1], uneven weights near 0 on the contours, and areas that
    differ from what s has.
    """
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    radius = np.sqrt(sum(a**2 for a in axes))
    true = (
        np.stack([np.floor(classes * (radius - 0.05)).clip(0, classes - 1) == k for k in range(classes)])
        if classes > 1
        else (radius < 0.7)[None]
    )
    f = 0.7 * true + 0.1 + 0.3 * rng.normal(size=true.shape)
    edge = np.zeros(true.shape, bool)
    for axis in range(1, true.ndim):
        edge |= true != np.roll(true, -1, axis)
    g = np.where(edge, 0.01, rng.uniform(0.3, 1, true.shape))
    area = true.reshape(classes, -1).sum(1) * 1.0
    if classes == 1:
        area += 4.5
    return torch.from_numpy(f), torch.from_numpy(g), torch.from_numpy(area)


def bounds_of(
    u: torch.Tensor, f: torch.Tensor, g: torch.Tensor, area: torch.Tensor | None, spacing: tuple[float, ...]
) -> tuple[float, float]:
    """(cost of u, lower bound) for one sample (K, ...), by numpy alone."""
    dense = dense_gradient(tuple(f.shape[1:]), spacing)
    flat = [x.reshape(len(f), -1).double().numpy() for x in (u, f, g)]
    return (
        cost(flat[0], flat[1], flat[2], dense, len(spacing)),
        lower_bound(flat[1], flat[2], None if area is None else area.numpy(), dense, len(spacing)),
    )


@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize(("shape", "spacing"), [PLANE, *OTHERS])
def test_douglas_rachford_comes_within_1e_4_of_the_least(
    shape: tuple[int, ...], spacing: tuple[float, ...], constrained: bool
) -> None:
    f, g, area = blob(shape, 1)
    result = douglas_rachford.solve(f, g, area if constrained else None, CLOSE, spacing=spacing)
    assert result.converged and result.iterations < CLOSE.max_iterations
    assert float(result.u.min()) >= 0 and float(result.u.max()) <= 1
    if constrained:
        assert float(result.u.sum()) == pytest.approx(float(area), abs=1e-9)
        assert float(result.area_gap) < 1e-6
    ours, bound = bounds_of(result.u, f, g, area if constrained else None, spacing)
    assert bound * (1 - 1e-9) <= ours <= bound * (1 + 1e-4)
    assert float(objective(result.u, f, g, MU, spacing)) == pytest.approx(ours, rel=1e-12)


def test_the_area_changes_the_answer() -> None:
    """Or the constraint would not be tested by the cases above."""
    f, g, area = blob(*PLANE[:1], 1)
    free = douglas_rachford.solve(f, g, None, CLOSE).u
    assert abs(float(free.sum() - area)) > 5


def test_default_settings_reach_1e_4_in_float32() -> None:
    f, g, area = blob(PLANE[0], 1)
    result = douglas_rachford.solve(f.float(), g.float(), area.float())
    assert result.u.dtype == torch.float32
    ours, bound = bounds_of(result.u, f, g, area, PLANE[1])
    assert ours <= bound * (1 + 1e-4)


@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize(("shape", "spacing"), [((10, 12), (1.0, 1.3)), ((4, 5, 6), (1.0, 1.0, 1.0))])
def test_three_classes_share_each_voxel(
    shape: tuple[int, ...], spacing: tuple[float, ...], constrained: bool
) -> None:
    f, g, area = blob(shape, 3)
    result = douglas_rachford.solve_multiclass(
        f[None], g[None], area[None] if constrained else None, CLOSE, spacing=spacing
    )
    torch.testing.assert_close(result.u.sum(1), torch.ones_like(result.u[:, 0]))
    assert float(result.u.min()) >= 0
    assert float(result.area_gap) < 1e-5
    ours, bound = bounds_of(result.u[0], f, g, area if constrained else None, spacing)
    assert bound * (1 - 1e-4) <= ours <= bound * (1 + 1e-4)


@pytest.mark.parametrize(("shape", "classes"), [((9, 13), 1), ((5, 6, 4), 1), ((9, 8), 3)])
def test_both_solvers_find_the_same_least(shape: tuple[int, ...], classes: int) -> None:
    f, g, area = (x[None] for x in blob(shape, classes))
    spacing = (1.0,) * len(shape)
    theirs = primal_dual.solve_multiclass(f, g, area, LONG)
    ours = douglas_rachford.solve_multiclass(f, g, area, CLOSE)
    assert float(theirs.area_gap) < 1e-5
    assert float(objective(theirs.u, f, g, MU, spacing)) == pytest.approx(
        float(objective(ours.u, f, g, MU, spacing)), rel=1e-3
    )


def test_primal_dual_bound() -> None:
    f, g, area = blob((9, 13), 1)
    for constraint in (area, None):
        result = primal_dual.solve(f, g, constraint, LONG, spacing=(1.0, 1.5))
        ours, bound = bounds_of(result.u, f, g, constraint, (1.0, 1.5))
        assert bound * (1 - 1e-9) <= ours <= bound * (1 + 1e-4)


def test_authors_80_steps_are_the_default_and_can_be_continued() -> None:
    f, g, area = blob((9, 13), 1)
    whole = primal_dual.solve(f, g, area)
    assert whole.iterations == 80 and not whole.converged
    half = primal_dual.solve(f, g, area, PDSettings(max_iterations=37))
    rest = primal_dual.solve(f, g, area, PDSettings(max_iterations=43), half.state)
    torch.testing.assert_close(rest.u, whole.u)


@pytest.mark.parametrize(
    "settings",
    [
        DRSettings(gamma=0.3, relaxation=1.7, tolerance=1e-8, max_iterations=4000),
        DRSettings(slope_scale=1.0, relaxation=0.8, tolerance=1e-8, max_iterations=8000),
    ],
)
def test_gamma_relaxation_and_scale_change_the_way_and_not_the_limit(settings: DRSettings) -> None:
    f, g, area = blob((9, 13), 1)
    reference = douglas_rachford.solve(f, g, area, DRSettings(tolerance=1e-8, max_iterations=4000))
    other = douglas_rachford.solve(f, g, area, settings)
    assert other.converged and other.iterations != reference.iterations
    torch.testing.assert_close(other.u, reference.u, rtol=0, atol=1e-4)


def test_warm_start_gives_the_same_limit_sooner_and_leaves_the_state_alone() -> None:
    f, g, area = blob((9, 13), 1)
    settings = DRSettings(tolerance=1e-8, max_iterations=4000)
    state = douglas_rachford.solve(f, g, area, settings).state
    kept = state.u.clone(), state.z.clone()
    moved = f + 0.02 * torch.randn(f.shape, dtype=f.dtype, generator=torch.Generator().manual_seed(0))
    cold, warm = (
        douglas_rachford.solve(moved, g, area, settings),
        douglas_rachford.solve(moved, g, area, settings, state),
    )
    torch.testing.assert_close(warm.u, cold.u, rtol=0, atol=1e-4)
    assert warm.iterations < cold.iterations
    assert torch.equal(state.u, kept[0]) and torch.equal(state.z, kept[1])


def test_samples_of_a_batch_know_nothing_of_each_other() -> None:
    f, g, area = (torch.cat(x) for x in zip(blob((9, 13), 1, 0), blob((9, 13), 1, 1), strict=True))
    settings = DRSettings(tolerance=0, max_iterations=25)
    both = douglas_rachford.solve(f, g, area, settings)
    assert both.iterations == 25 and not both.converged
    for sample in range(2):
        alone = douglas_rachford.solve(
            f[sample : sample + 1], g[sample : sample + 1], area[sample : sample + 1], settings
        )
        torch.testing.assert_close(both.u[sample : sample + 1], alone.u, rtol=0, atol=1e-12)
        assert float(both.residual[sample]) == pytest.approx(float(alone.residual))


def test_areas_at_both_ends_leave_no_choice() -> None:
    f, g, _ = blob((9, 13), 1)
    u = douglas_rachford.solve(f.expand(2, -1, -1), g.expand(2, -1, -1), torch.tensor([0.0, 117.0])).u
    assert float(u[0].abs().max()) < 1e-6 and float((u[1] - 1).abs().max()) < 1e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_worked_on_in_float32(dtype: torch.dtype) -> None:
    f, g, area = (x.to(dtype) for x in blob((9, 13), 1))
    u = douglas_rachford.solve(f, g, area, CLOSE).u
    assert u.dtype == torch.float32
    torch.testing.assert_close(u, douglas_rachford.solve(f.float(), g.float(), area.float(), CLOSE).u)


def test_what_has_no_answer_is_refused() -> None:
    f, g, area = (x[None] for x in blob((9, 13), 3))
    spacing = (1.0, 1.0)
    for wrong in (area + 1, area - 2 * area.amax(), area * torch.tensor([2.0, 1, 1]), area[:, :2]):
        with pytest.raises(ValueError, match="area"):
            pose(f, g, wrong, MU, spacing)
    with pytest.raises(ValueError, match="finite"):
        pose(f.log(), g, area, MU, spacing)
    with pytest.raises(ValueError, match="negative"):
        pose(f, -g, area, MU, spacing)
    with pytest.raises(ValueError, match="agree"):
        pose(f, g[:, :2], area, MU, spacing)
    with pytest.raises(ValueError, match="another problem"):
        douglas_rachford.solve_multiclass(
            f, g, None, start=douglas_rachford.solve_multiclass(f, g, area).state
        )
    with pytest.raises(ValueError, match="too long"):
        primal_dual.solve_multiclass(f, g, area, PDSettings(tau=0.5, sigma=0.25))
    for bad in (
        {"mu": 0.0},
        {"gamma": -1.0},
        {"slope_scale": 0.0},
        {"relaxation": 2.0},
        {"max_iterations": 0},
    ):
        with pytest.raises(ValueError, match="needs mu"):
            DRSettings(**bad)  # type: ignore[arg-type]
