"""The u-update of paper 1: our Douglas-Rachford, a plain scipy loop, the authors' primal-dual steps,
pyproximal.

   python benchmarks/proximal.py            # six slices of 256 x 152, as in the paper's training
   python benchmarks/proximal.py --quick    # smaller, in seconds

The reference optimum comes from a long run in float64. Its error is bounded by a dual point, whose value
numpy computes: no u with the area is better than that. A gap is (objective - bound) / bound of the worst
sample.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray

from ctseg_training.proximal import douglas_rachford, edge_weight, objective, primal_dual, screened_poisson
from ctseg_training.proximal.douglas_rachford import DRSettings
from ctseg_training.proximal.primal_dual import PDSettings
from ctseg_training.proximal.projections import project_area, project_graph
from ctseg_training.proximal.screened_poisson import solve_screened_poisson

MU = 0.5
UNIT = (1.0, 1.0)
Array = NDArray[Any]


def slices(batch: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """s + w, its weights and areas in float64: a soft, displaced, noisy disc with a false positive next to
    it.

    As an early network gives.
    """
    made = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(height) - height / 2, torch.arange(width) - width / 2, indexing="ij")
    radii = torch.linspace(0.1, 0.25, batch)[:, None, None] * width
    truth = ((y**2 + x**2).sqrt() < radii).double()
    s = torch.sigmoid((radii - ((y + 3) ** 2 + x**2).sqrt()) / 3) + 0.3 * (
        (y - height / 3) ** 2 + (x - width / 4) ** 2 < 60
    )
    noisy = s.clamp(0, 1) + 0.15 * torch.randn(truth.shape, generator=made)
    return noisy.double(), edge_weight(truth, UNIT), truth.sum((1, 2))


def gradient(u: Array) -> Array:
    """numpy.diff with a zero behind, (2, B, Y, X)."""
    return np.stack([np.diff(u, axis=axis, append=np.take(u, [-1], axis=axis)) for axis in (1, 2)])


def adjoint(z: Array) -> Array:
    """Minus the divergence, for z that is 0 at the border."""
    return np.asarray(-np.diff(z[0], axis=1, prepend=0) - np.diff(z[1], axis=2, prepend=0))


def scipy_loop(f: Array, g: Array, area: Array, iterations: int, c: float) -> Array:
    """The same iteration in plain numpy; returns its u."""
    height, width = f.shape[1:]
    ky, kx = (2 - 2 * np.cos(np.pi * np.arange(n) / n) for n in (height, width))
    inverse = (1 / (1 + c**2 * (ky[:, None] + kx))).astype(f.dtype)
    u = v = f.clip(0, 1)
    z, g = c * gradient(u), g / c
    for _ in range(iterations):
        x_u = scipy.fft.idctn(inverse * scipy.fft.dctn(u + c * adjoint(z), axes=(1, 2)), axes=(1, 2))
        x_z = c * gradient(x_u)
        x_v = v + ((area - v.sum((1, 2))) / (height * width))[:, None, None]
        best = ((MU * f + (2 * x_u - u) + (2 * x_v - v)) / (MU + 2)).clip(0, 1)
        mirrored = 2 * x_z - z
        p_z = mirrored * np.maximum(
            0, 1 - g / np.maximum(np.sqrt((mirrored**2).sum(0)), np.finfo(f.dtype).tiny)
        )
        u, v, z = u + best - x_u, v + best - x_v, z + p_z - x_z
    return u


def lower_bound(
    f: torch.Tensor, g: torch.Tensor, area: torch.Tensor, state: douglas_rachford.DRState, c: float
) -> Array:
    """The value of a state's dual point (gamma 1), projected onto its discs, for each sample; by numpy."""
    assert state.v is not None
    x_z = project_graph(state.u, state.z, tuple(h / c for h in UNIT))[1]
    p = c * (x_z - state.z)[:, :, 0].numpy()
    p *= np.minimum(1, g.numpy() / np.maximum(np.sqrt((p**2).sum(0)), 1e-300))
    p[0, :, -1], p[1, :, :, -1] = 0, 0
    r = (state.v - project_area(state.v, area[:, None], 2)).mean((1, 2, 3)).numpy()[:, None, None]
    slope = adjoint(p)
    u = (f.numpy() - (slope + r) / MU).clip(0, 1)
    return np.asarray(
        ((slope + r) * u + MU / 2 * (u - f.numpy()) ** 2).sum((1, 2)) - r[:, 0, 0] * area.numpy()
    )


def best_of(call: Callable[[], object], times: int) -> float:
    """Seconds of the fastest call, which other work on the machine disturbed least."""
    call()
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def against_scipy(f: torch.Tensor, g: torch.Tensor, area: torch.Tensor, iterations: int, times: int) -> None:
    """Seconds for a number of iterations, and whether both ways end at one point."""
    fixed = DRSettings(tolerance=0, max_iterations=iterations)
    single = f.float(), g.float(), area.float()
    ours = best_of(lambda: douglas_rachford.solve(*single, fixed), times)
    print(f"{f'ours, float32, {iterations} iterations':<52}{1e3 * ours / iterations:9.2f} ms/iteration")
    for kind in (np.float64, np.float32):
        wanted, weight, total = (x.numpy().astype(kind) for x in (f, g, area))
        theirs = best_of(
            lambda a=wanted, b=weight, t=total: scipy_loop(a, b, t, iterations, fixed.slope_scale), times
        )  # type: ignore[misc]
        per_iteration = 1e3 * theirs / iterations
        print(
            f"{f'scipy.fft.dctn loop, {kind.__name__}':<52}{per_iteration:9.2f} ms/iteration   "
            f"{theirs / ours:.1f} times ours"
        )
    double = douglas_rachford.solve(f, g, area, fixed).state.u[:, 0].numpy()
    apart = np.abs(
        double - scipy_loop(f.numpy(), g.numpy(), area.numpy(), iterations, fixed.slope_scale)
    ).max()
    print(f"{'greatest difference of u in float64':<52}{apart:9.1e}")


def to_one_gap(f: torch.Tensor, g: torch.Tensor, area: torch.Tensor, gap: float, most: int) -> None:
    """Iterations and seconds of each way to the same gap."""
    long = DRSettings(tolerance=0, max_iterations=4 * most, relaxation=1.6)
    reference = douglas_rachford.solve(f, g, area, long)
    bound = lower_bound(f, g, area, reference.state, long.slope_scale)

    def gap_of(u: torch.Tensor) -> float:
        return float(np.max(objective(u.double(), f, g, MU, UNIT).numpy() / bound - 1))

    print(
        f"\nreference: {4 * most} iterations in float64, at most {gap_of(reference.u):.1e} from the best; "
        f"below, all to {gap:.0e}"
    )
    single = f.float(), g.float(), area.float()
    for name, scale, relaxation in (
        ("ours", 4, 1),
        ("ours, relaxation 1.6", 4, 1.6),
        ("ours as the paper's (slope_scale 1)", 1, 1),
    ):

        def run(n: int, c: float = scale, step: float = relaxation) -> torch.Tensor:
            return douglas_rachford.solve(
                *single, DRSettings(tolerance=0, max_iterations=n, slope_scale=c, relaxation=step)
            ).u

        tell(name, run, gap_of, gap, most)
    for sigma in (0.3, 0.01):

        def steps(n: int, step: float = sigma) -> torch.Tensor:
            return primal_dual.solve(*single, PDSettings(tau=0.4, sigma=step, max_iterations=n)).u

        tell(f"primal-dual, tau 0.4, sigma {sigma}", steps, gap_of, gap, most)
    print(
        f"{'the authors 80 steps (tau 0.4, sigma 0.01): gap':<52}{gap_of(primal_dual.solve(*single).u):9.2f}"
    )
    if importlib.util.find_spec("pyproximal") is None:
        print("pyproximal is not installed, so it was not run; `pip install pyproximal` adds its line")
    else:
        arrays = f.numpy(), g.numpy(), area.numpy()
        tell(
            "pyproximal PrimalDual, one slice after another",
            lambda n: torch.from_numpy(with_pyproximal(*arrays, n)),
            gap_of,
            gap,
            most,
        )


def tell(
    name: str,
    run: Callable[[int], torch.Tensor],
    gap_of: Callable[[torch.Tensor], float],
    gap: float,
    most: int,
) -> None:
    """One line of the table: iterations, and seconds of the first run within the gap."""
    if (reached := gap_of(run(most))) > gap:
        print(f"{name:<52}   not within {most} iterations: {reached:.1e}")
        return
    iterations = 20
    while True:
        begun = time.perf_counter()
        u = run(iterations)
        seconds = time.perf_counter() - begun
        if gap_of(u) <= gap:
            print(f"{name:<52}{seconds:9.3f} s   {iterations} iterations")
            return
        iterations = min(most, math.ceil(1.25 * iterations))


def with_pyproximal(f: Array, g: Array, area: Array, iterations: int) -> Array:
    """pyproximal's primal-dual solver: f, box and area in one prox by its projection, the weighted TV as the
    dual.
    """
    import pylops  # type: ignore[import-not-found]
    import pyproximal  # type: ignore[import-not-found]

    class Nearest(pyproximal.ProxOperator):  # type: ignore[misc]
        def __init__(self, wanted: Array, sum_of_u: float) -> None:
            super().__init__(None, False)
            self.wanted = wanted
            self.project = pyproximal.projection.HyperPlaneBoxProj(
                np.ones(wanted.size), sum_of_u, lower=0.0, upper=1.0
            )

        def __call__(self, u: Array) -> float:
            return float(MU / 2 * ((u - self.wanted) ** 2).sum())

        def prox(self, u: Array, tau: float) -> Array:
            return np.asarray(self.project((u + tau * MU * self.wanted) / (1 + tau * MU)))

    class Weighted(pyproximal.ProxOperator):  # type: ignore[misc]
        def __init__(self, weight: Array) -> None:
            super().__init__(None, False)
            self.weight = weight

        def __call__(self, z: Array) -> float:
            return float((self.weight * np.hypot(*z.reshape(2, -1))).sum())

        def proxdual(self, z: Array, tau: float) -> Array:
            both = z.reshape(2, -1)
            return np.asarray(both / np.maximum(1, np.hypot(*both) / self.weight)).ravel()

    found = []
    for wanted, weight, total in zip(f, g, area, strict=True):
        slope = pylops.Gradient(wanted.shape, kind="forward", edge=False)
        u = pyproximal.optimization.primaldual.PrimalDual(
            Nearest(wanted.ravel(), float(total)),
            Weighted(weight.ravel()),
            slope,
            x0=wanted.clip(0, 1).ravel(),
            tau=0.4,
            mu=0.3,
            niter=iterations,
        )
        found.append(np.asarray(u).reshape(wanted.shape))
    return np.stack(found)


def over_sizes(sides: list[int], times: int) -> None:
    """One solve, which alone costs more than N, for six squares of N pixels."""
    print(f"\n{'side':>6}{'FFT, ms':>14}{'ns / (N log2 N)':>18}{'DCT matrices, ms':>20}")
    for side in sides:
        image = torch.rand(6, side, side)
        taken = []
        for matrices_up_to in (0, side):
            screened_poisson.MATRICES_UP_TO = matrices_up_to
            taken.append(best_of(lambda x=image: solve_screened_poisson(x, UNIT), times))  # type: ignore[misc]
        pixels = image.numel()
        print(
            f"{side:>6}{1e3 * taken[0]:>14.3f}{1e9 * taken[0] / (pixels * math.log2(side**2)):>18.2f}"
            f"{1e3 * taken[1]:>20.3f}"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gap", type=float, default=1e-3)
    parser.add_argument("--most", type=int, default=500, help="iterations that any solver may take")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    problem = slices(2, 64, 38) if chosen.quick else slices(6, 256, 152)
    print(f"{tuple(problem[0].shape)}, {chosen.threads} threads")
    against_scipy(*problem, iterations=20 if chosen.quick else 40, times=2 if chosen.quick else 5)
    to_one_gap(*problem, chosen.gap, most=chosen.most)
    over_sizes(
        [32, 64, 128, 256] if chosen.quick else [32, 64, 128, 256, 512, 1024], times=3 if chosen.quick else 7
    )


if __name__ == "__main__":
    main()
