"""The cosine solve against scipy's sparse solver and scipy's own DCT."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import scipy.sparse as sparse
import torch
from scipy.sparse.linalg import spsolve

from ctseg_training.proximal import screened_poisson
from ctseg_training.proximal.screened_poisson import solve_screened_poisson

CASES = [
    ((256, 152), (1.0, 1.0)),
    ((8, 7), (0.5, 2.0)),
    ((7, 8), (1.0, 1.0)),
    ((7, 8, 9), (2.5, 0.8, 1.1)),
    ((1, 5, 6), (3.0, 1.0, 1.0)),
    ((1, 2), (1.0, 1.0)),
    ((7,), (1.3,)),
]


def sparse_operator(shape: tuple[int, ...], spacing: tuple[float, ...]) -> sparse.csc_matrix:
    """I + sum over axes of D^T D, D the forward differences with a last row of zeros."""
    total = sparse.eye(int(np.prod(shape)), format="csc")
    for axis, (n, h) in enumerate(zip(shape, spacing, strict=True)):
        one = sparse.diags([-np.ones(n), np.ones(n - 1)], [0, 1]).tolil()
        one[-1] = 0
        line = sparse.kron(sparse.eye(int(np.prod(shape[:axis]))), one.T @ one / h**2)
        total = total + sparse.kron(line, sparse.eye(int(np.prod(shape[axis + 1 :]))))
    return total.tocsc()


@pytest.mark.parametrize(("shape", "spacing"), CASES)
@pytest.mark.parametrize("matrices_up_to", [0, 1000])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_solution_is_the_sparse_solvers(
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    dtype: torch.dtype,
    tolerance: float,
    matrices_up_to: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the FFT and by matrices, whichever the size would choose."""
    monkeypatch.setattr(screened_poisson, "MATRICES_UP_TO", matrices_up_to)
    right = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    found = solve_screened_poisson(torch.from_numpy(right).to(dtype), spacing)
    assert found.dtype == dtype
    operator = sparse_operator(shape, spacing)
    for ours, b in zip(found.double().numpy(), right, strict=True):
        reference = spsolve(operator, b.ravel().astype(float)).reshape(shape)
        assert np.abs(ours - reference).max() <= tolerance * np.abs(reference).max()


def test_solution_is_scipys_cosine_transform_with_class_axes_in_front() -> None:
    right = np.random.default_rng(1).normal(size=(2, 3, 31, 45))
    ky, kx = (2 - 2 * np.cos(np.pi * np.arange(n) / n) for n in (31, 45))
    reference = scipy.fft.idctn(scipy.fft.dctn(right, axes=(2, 3)) / (1 + ky[:, None] + kx), axes=(2, 3))
    np.testing.assert_allclose(
        solve_screened_poisson(torch.from_numpy(right), (1, 1)).numpy(), reference, atol=1e-13
    )


def test_autocast_around_it_does_not_cost_precision() -> None:
    right = torch.randn(1, 16, 24, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = solve_screened_poisson(right, (1, 1))
    torch.testing.assert_close(inside, solve_screened_poisson(right, (1, 1)), rtol=0, atol=0)
