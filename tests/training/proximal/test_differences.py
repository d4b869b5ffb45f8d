"""The gradient against numpy.diff, its adjoint against the identity that defines it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ctseg_training.proximal.differences import gradient, gradient_adjoint, squared_norm_bound

CASES = [
    ((7, 9), (1.0, 1.0)),
    ((8, 7), (0.5, 2.0)),
    ((7, 8, 9), (2.5, 0.8, 1.1)),
    ((1, 5, 6), (3.0, 1.0, 1.0)),
]


@pytest.mark.parametrize(("shape", "spacing"), CASES)
def test_gradient_is_numpys_diff_with_zero_at_the_end(
    shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    u = np.random.default_rng(0).normal(size=(2, 3, *shape))
    z = gradient(torch.from_numpy(u), spacing).numpy()
    for direction, h in enumerate(spacing):
        last = np.take(u, [-1], axis=direction + 2)
        np.testing.assert_allclose(z[direction], np.diff(u, axis=direction + 2, append=last) / h, atol=1e-14)


@pytest.mark.parametrize(("shape", "spacing"), CASES)
def test_adjoint_is_the_one_that_the_inner_products_ask_for(
    shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    """z also has numbers at the border, that belong to no difference; they must not count."""
    rng = np.random.default_rng(1)
    u, z = (
        torch.from_numpy(rng.normal(size=(2, *shape))),
        torch.from_numpy(rng.normal(size=(len(shape), 2, *shape))),
    )
    assert float((gradient(u, spacing) * z).sum()) == pytest.approx(
        float((u * gradient_adjoint(z, spacing)).sum()), rel=1e-12
    )


@pytest.mark.parametrize(("shape", "spacing"), CASES[:3])
def test_bound_of_the_norm_is_over_the_largest_eigenvalue_and_not_far(
    shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    n = int(np.prod(shape))
    every = (
        gradient(torch.eye(n, dtype=torch.float64).reshape(n, *shape), spacing).movedim(0, 1).reshape(n, -1)
    )
    largest = float(torch.linalg.matrix_norm(every, 2)) ** 2
    assert 0.9 * squared_norm_bound(spacing) < largest <= squared_norm_bound(spacing)
