"""Each projection against the nearest point that an optimiser of scipy's finds, or against what
characterises the nearest point.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from ctseg_training.proximal.projections import (
    project_area,
    project_box,
    project_box_area,
    project_graph,
    project_simplex,
)


@settings(max_examples=40, deadline=None)
@given(x=st.lists(st.floats(-3, 3), min_size=2, max_size=6))
def test_simplex_point_sees_every_corner_under_an_obtuse_angle(x: list[float]) -> None:
    """p is the nearest point of a convex set exactly if <x - p, corner - p> <= 0 for all its corners."""
    given_point = np.array(x)
    p = project_simplex(torch.tensor(x, dtype=torch.float64).reshape(1, -1, 1, 1)).reshape(-1).numpy()
    assert p.min() >= 0 and p.sum() == pytest.approx(1, abs=1e-12)
    assert ((given_point - p) @ (np.eye(len(x)) - p).T).max() <= 1e-10


def test_simplex_by_hand_in_each_voxel() -> None:
    """Inside: moved by a third of what is missing; one class far ahead: a corner; two classes share."""
    x = torch.tensor([[0.5, 0.3, -0.1], [3.0, 0.2, 0.1], [1.0, 0.8, -5.0]]).T.reshape(1, 3, 1, 3)
    expected = torch.tensor([[0.6, 0.4, 0.0], [1.0, 0.0, 0.0], [0.6, 0.4, 0.0]]).T.reshape(1, 3, 1, 3)
    torch.testing.assert_close(project_simplex(x), expected)


def test_box_and_area_by_hand() -> None:
    x = torch.tensor([[[-1.0, 0.25], [0.5, 7.0]]])
    assert project_box(x).tolist() == [[[0, 0.25], [0.5, 1]]]
    moved = project_area(x, torch.tensor([2.75]), 2)  # the sum is 6.75: 1 less for each
    torch.testing.assert_close(moved, x - 1)


def test_area_of_each_map_of_a_volume() -> None:
    v = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    area = torch.tensor([[0.0, 7, 120], [33, 1, 2]])
    moved = project_area(v, area, 3)
    torch.testing.assert_close(moved.sum((2, 3, 4)), area, rtol=0, atol=1e-4)
    for shift in (moved - v).flatten(2).flatten(0, 1):  # the nearest point of a plane lies along its normal
        assert float(shift.max() - shift.min()) < 1e-6


@pytest.mark.parametrize("area", [0.0, 0.7, 3.2, 5.0, 6.0])
def test_box_with_area_is_the_point_that_slsqp_finds(area: float) -> None:
    x = np.array([-0.6, 0.1, 0.35, 0.8, 1.4, 0.5])
    reference = minimize(
        lambda u: ((u - x) ** 2).sum(),
        np.full(6, area / 6),
        jac=lambda u: 2 * (u - x),
        bounds=[(0, 1)] * 6,
        constraints={"type": "eq", "fun": lambda u: u.sum() - area},
        method="SLSQP",
        options={"ftol": 1e-14},
    )
    found = project_box_area(
        torch.from_numpy(x).reshape(1, 2, 3), torch.tensor([area], dtype=torch.float64), 2
    )
    np.testing.assert_allclose(found.reshape(-1), reference.x, atol=1e-6)
    assert float(found.sum()) == pytest.approx(area, abs=1e-12)


@pytest.mark.parametrize(("shape", "spacing"), [((5, 7), (1.0, 1.0)), ((4, 5, 6), (2.5, 0.8, 1.1))])
def test_graph_point_is_the_least_squares_solution(
    shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    """min over x of |x - u|^2 + |G x - z|^2 with a dense G made of numpy.diff."""
    rng = np.random.default_rng(2)
    n = int(np.prod(shape))
    units = np.eye(n).reshape(n, *shape)
    dense = np.concatenate(
        [
            np.diff(units, axis=d + 1, append=np.take(units, [-1], axis=d + 1)).reshape(n, n).T / h
            for d, h in enumerate(spacing)
        ]
    )
    u, z = rng.normal(size=n), rng.normal(size=len(shape) * n)
    x = np.linalg.lstsq(np.concatenate([np.eye(n), dense]), np.concatenate([u, z]), rcond=None)[0]
    nearest, slope = project_graph(
        torch.from_numpy(u).reshape(1, *shape), torch.from_numpy(z).reshape(-1, 1, *shape), spacing
    )
    np.testing.assert_allclose(nearest.reshape(-1), x, atol=1e-12)
    np.testing.assert_allclose(slope.reshape(-1), dense @ x, atol=1e-12)
