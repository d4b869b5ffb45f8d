"""Random fields of the phantom: textures that belong to the anatomy, and the noise that belongs to the
scanner.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ctseg_imaging.phantom.shapes import Field

TILE = 64  # knots of a texture along each axis, after which it repeats


class Texture:
    """Smooth noise of unit variance: a cubic B-spline over random knots `length_mm` apart, the same at any
    spacing.
    """

    def __init__(self, rng: np.random.Generator, length_mm: float) -> None:
        self.length_mm = length_mm
        self.knots: Field = rng.standard_normal((TILE, TILE, TILE), dtype=np.float32)
        self.gain = np.float32(
            0.479**-1.5
        )  # mean of the squared B-spline weights over the knot interval is 0.479 per axis

    def sample(self, axes_mm: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]) -> Field:
        """The field on the lattice spanned by the (z, y, x) coordinates in mm."""
        z, y, x = (self._weights(axis) for axis in axes_mm)
        near = np.flatnonzero(z.any(axis=0))  # a slab of slices touches few of the knots
        field = np.matmul(y, self.knots[near] @ x.T)  # (near, ny, nx)
        flat: Field = (z[:, near] @ field.reshape(len(near), -1)).reshape(len(z), len(y), len(x))
        flat *= self.gain
        return flat

    def _weights(self, axis_mm: NDArray[np.float64]) -> Field:
        place = np.asarray(axis_mm, np.float64) / self.length_mm
        base = np.floor(place)
        t = place - base
        weights = np.zeros((len(place), TILE), np.float32)
        rows = np.arange(len(place))
        parts = (
            (1 - t) ** 3 / 6,
            (3 * t**3 - 6 * t**2 + 4) / 6,
            (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
            t**3 / 6,
        )
        for step, part in enumerate(parts):
            weights[rows, (base.astype(np.int64) + step - 1) % TILE] += part.astype(np.float32)
        return weights


def abdominal_textures(rng: np.random.Generator) -> Mapping[str, Texture]:
    """The textures that the abdomen's tissues are made of, from fine to coarse."""
    lengths = {"fine": 2.2, "mid": 5.0, "coarse": 16.0, "strand": 7.0, "strand2": 8.0}
    return {name: Texture(rng, length) for name, length in lengths.items()}


def ct_noise(
    rng: np.random.Generator, shape: tuple[int, int], spacing_yx_mm: tuple[float, float], kernel_mm: float
) -> Field:
    """Noise of one reconstructed slice, unit variance before partial averaging: band-limited as filtered
    back-projection leaves it.

    A soft kernel of sigma `kernel_mm` cuts the high frequencies and the ramp filter the low ones; rows carry
    a little streak noise.
    """
    white = rng.standard_normal(shape, dtype=np.float32)
    sigma = [kernel_mm / s for s in spacing_yx_mm]
    soft = gaussian_filter(white, sigma, mode="wrap", truncate=3)
    noise = soft - np.float32(0.7) * gaussian_filter(
        white, [2.2 * s for s in sigma], mode="wrap", truncate=2.5
    )
    noise /= max(float(noise.std()), 1e-6)
    streak = gaussian_filter(white[::-1], [0.4 * sigma[0], 14 * sigma[1]], mode="wrap", truncate=2)
    noise += streak * np.float32(0.3 / max(float(streak.std()), 1e-6))
    return np.asarray(noise, np.float32)
