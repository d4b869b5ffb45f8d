"""(I + grad^T grad)^-1 by a discrete cosine transform, which diagonalises forward differences with a Neumann
border.

The DCT-II of x is read off a real FFT of x with its even samples first and its odd ones behind them,
backwards (Makhoul 1980, IEEE TASSP 28:27-34): with V = FFT of that and w_k = exp(-i pi k / 2N), the
coefficients k and N - k are the real and the negative imaginary part of w_k V_k. So the half spectrum of the
last axis holds all coefficients and need not be unpacked before each is divided. Small maps go by products
with the DCT matrices instead, which cost a few calls in place of forty; at 128 samples an axis both take as
long on a processor. (On other devices the FFT always: a matrix product there may round to 10 bits.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

MATRICES_UP_TO = 96  # samples of the longest axis


def solve_screened_poisson(right: Tensor, spacing: Sequence[float]) -> Tensor:
    """The u with u + gradient_adjoint(gradient(u)) = right, over the last D = len(spacing) axes.

    right : (..., [Z,] Y, X), float32 or float64. Eigenvalues: 1 + sum over axes of (2 - 2 cos(pi k / N)) /
    h^2.
    """
    space, distances = tuple(right.shape[-len(spacing) :]), tuple(float(h) for h in spacing)
    with torch.autocast(right.device.type, enabled=False):
        if right.device.type == "cpu" and max(space) <= MATRICES_UP_TO:
            return _solve_by_matrices(right, *_matrices(space, distances, right.dtype))
        return _tables(space, distances, right.dtype, right.device).solve(right)


def _solve_by_matrices(right: Tensor, matrices: tuple[Tensor, ...], inverse: Tensor) -> Tensor:
    x = right
    for axis, matrix in zip(range(-len(matrices), 0), matrices, strict=True):
        x = (x.movedim(axis, -1) @ matrix.T).movedim(-1, axis)
    x = x * inverse
    for axis, matrix in zip(range(-len(matrices), 0), matrices, strict=True):
        x = (x.movedim(axis, -1) @ matrix).movedim(-1, axis)
    return x.contiguous()


@lru_cache(maxsize=16)
def _matrices(
    space: tuple[int, ...], spacing: tuple[float, ...], dtype: torch.dtype
) -> tuple[tuple[Tensor, ...], Tensor]:
    """The orthonormal DCT-II of each axis, (N, N), and one over the eigenvalues."""
    made = []
    for n in space:
        matrix = torch.cos(_angles(n)[:, None] * (torch.arange(n) + 0.5)) * math.sqrt(2 / n)
        matrix[0] /= math.sqrt(2)
        made.append(matrix.to(dtype))
    return tuple(made), (1 / _eigenvalues(space, spacing)).to(dtype)


@dataclass(frozen=True)
class _Tables:
    """What depends on shape, spacing, precision and device only."""

    space: tuple[int, ...]
    twiddles: tuple[Tensor, ...]  # exp(-i pi k / 2N) for each axis; of the last one only the half spectrum
    mirrored: tuple[Tensor, ...]  # the index -k mod N for each axis but the last
    # (..., N/2 + 1, 2): one over the eigenvalue of the coefficient in the real part, and in the imaginary
    # part
    inverse: Tensor

    def solve(self, right: Tensor) -> Tensor:
        axes = tuple(range(-len(self.space), 0))
        v = torch.fft.rfftn(self._evens_first(right), dim=axes)
        for axis, w, mirrored in zip(axes, self.twiddles, self.mirrored, strict=False):
            back = v.index_select(axis, mirrored)
            v.mul_(w).addcmul_(back, w.conj().resolve_conj())
        v *= self.twiddles[-1]
        torch.view_as_real(v).mul_(self.inverse)
        v *= self.twiddles[-1].conj().resolve_conj()
        for axis, w, mirrored in zip(axes, self.twiddles, self.mirrored, strict=False):
            back = v.index_select(axis, mirrored)
            back.narrow(axis, 0, 1).zero_()  # the coefficient N of a DCT-II is 0
            v.sub_(back, alpha=1j).mul_(w.conj().resolve_conj())
        return self._evens_back(torch.fft.irfftn(v, s=self.space, dim=axes))

    def _evens_first(self, x: Tensor) -> Tensor:
        for axis in range(-len(self.space), 0):
            evens, odds = _strided(x, axis)
            x = torch.cat([evens, odds.flip(axis)], axis)
        return x

    def _evens_back(self, x: Tensor) -> Tensor:
        for axis, n in zip(range(-len(self.space), 0), self.space, strict=True):
            out = torch.empty_like(x)
            evens, odds = _strided(out, axis)
            evens.copy_(x.narrow(axis, 0, (n + 1) // 2))
            odds.copy_(x.narrow(axis, (n + 1) // 2, n // 2).flip(axis))
            x = out
        return x


def _strided(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Views of the even and of the odd samples of an axis."""
    moved = x.movedim(axis, -1)
    return moved[..., ::2].movedim(-1, axis), moved[..., 1::2].movedim(-1, axis)


@lru_cache(maxsize=16)
def _tables(
    space: tuple[int, ...], spacing: tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> _Tables:
    eigenvalue = _eigenvalues(space, spacing)
    half = space[-1] // 2 + 1
    of_real = eigenvalue[..., :half]
    of_imaginary = torch.cat(
        [eigenvalue[..., :1], eigenvalue.flip(-1)[..., : half - 1]], -1
    )  # N - k; at k = 0 the part is 0
    mean = 2.0 ** (1 - len(space))  # each axis but the last adds two terms going forth
    inverse = mean / torch.stack([of_real, of_imaginary], -1)
    complex_type = torch.complex128 if dtype == torch.float64 else torch.complex64
    twiddles = []
    for axis, n in enumerate(space):
        w = torch.exp(-0.5j * _angles(n))[: half if axis == len(space) - 1 else n]
        twiddles.append(w.reshape(-1, *[1] * (len(space) - 1 - axis)).to(device, complex_type))
    mirrored = tuple((-torch.arange(n, device=device)) % n for n in space[:-1])
    return _Tables(space, tuple(twiddles), mirrored, inverse.to(device, dtype))


def _eigenvalues(space: tuple[int, ...], spacing: tuple[float, ...]) -> Tensor:
    """In float64: near 1 they are differences of nearly equal numbers."""
    total = torch.ones((), dtype=torch.float64)
    for n, h in zip(space, spacing, strict=True):
        total = total.unsqueeze(-1) + (2 - 2 * torch.cos(_angles(n))) / h**2
    return total


def _angles(n: int) -> Tensor:
    return torch.arange(n, dtype=torch.float64) * (math.pi / n)
