"""The weighted TV against figures worked by hand, its prox against the argmin that defines it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ctseg_training.proximal.total_variation import edge_weight, prox_weighted_tv, weighted_tv

POINT = st.floats(-2, 2)


@settings(max_examples=40, deadline=None)
@given(a=POINT, b=POINT, g=st.floats(0, 1), gamma=st.floats(0.2, 3))
@example(a=0.0, b=0.0, g=1.0, gamma=1.0)
@example(a=0.0, b=0.0, g=0.0, gamma=1.0)
@example(a=0.3, b=0.4, g=1.0, gamma=1.0)  # |z| = 0.5 under the threshold
@example(a=1.2, b=-1.6, g=0.5, gamma=1.0)  # |z| = 2 over it
def test_prox_is_the_argmin_that_defines_it(a: float, b: float, g: float, gamma: float) -> None:
    z = torch.tensor([a, b], dtype=torch.float64).reshape(2, 1, 1, 1)
    found = prox_weighted_tv(z, torch.full((1, 1, 1), g, dtype=torch.float64), gamma).reshape(2).numpy()

    def cost(x: np.ndarray, y: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return gamma * g * np.hypot(x, y) + ((x - a) ** 2 + (y - b) ** 2) / 2

    grid = np.linspace(-2, 2, 401)
    best = cost(*np.meshgrid(grid, grid, indexing="ij")).min()
    assert cost(*found) <= best + 1e-12
    around = 1e-3 * np.stack([np.cos(np.arange(8)), np.sin(np.arange(8))])
    assert cost(*found) <= cost(*(found[:, None] + around)).min()


def test_prox_of_three_directions_by_hand() -> None:
    """|(2, 3, 6)| = 7: with gamma g = 3.5 half of it stays, with 7 or more nothing."""
    z = torch.tensor([2.0, 3.0, 6.0]).reshape(3, 1, 1, 1, 1).expand(3, 1, 1, 1, 3)
    g = torch.tensor([1.75, 3.5, 4.0]).reshape(1, 1, 1, 3)
    torch.testing.assert_close(
        prox_weighted_tv(z, g, 2.0)[:, 0, 0, 0], torch.tensor([[1.0, 0, 0], [1.5, 0, 0], [3.0, 0, 0]])
    )


def test_edge_weight_by_hand() -> None:
    """One voxel of 1 in a plane: |grad|^2 is 2 on it and 1 on its two lower neighbours; at spacing 2 in y,
    1 1/4 and 1/4 there.
    """
    y = torch.zeros(1, 4, 5)
    y[0, 1, 2] = 1
    expected = torch.ones(1, 4, 5)
    expected[0, 1, 2], expected[0, 0, 2], expected[0, 1, 1] = 1 / 201, 1 / 101, 1 / 101
    torch.testing.assert_close(edge_weight(y, (1, 1)), expected)
    expected[0, 1, 2], expected[0, 0, 2] = 1 / 126, 1 / 26
    torch.testing.assert_close(edge_weight(y, (2, 1)), expected)


def test_weighted_tv_by_hand() -> None:
    """A box of 2 x 3 in the middle of 5 x 7: 10 differences, two of them in one voxel; g = 2 in its last
    row counts twice.
    """
    u = torch.zeros(2, 5, 7)
    u[0, 1:3, 2:5] = 1
    g = torch.ones(2, 5, 7)
    assert weighted_tv(u, g, (1, 1)).tolist() == pytest.approx([8 + 2**0.5, 0])
    g[0, 2] = 2
    assert float(weighted_tv(u, g, (1, 1))[0]) == pytest.approx(8 + 2**0.5 + (3 + 2**0.5))
    assert float(weighted_tv(u, torch.ones(2, 5, 7), (2, 1))[0]) == pytest.approx(
        3 + 5 / 2 + (1 + 1 / 4) ** 0.5
    )


def test_weighted_tv_of_a_volume_by_hand() -> None:
    """One voxel inside: three differences in it, one in each lower neighbour, at spacings 1/2, 1 and 2."""
    u = torch.zeros(1, 3, 4, 5)
    u[0, 1, 2, 2] = 1
    assert float(weighted_tv(u, torch.ones_like(u), (0.5, 1, 2))) == pytest.approx(
        2 + 1 + 0.5 + (4 + 1 + 0.25) ** 0.5
    )
