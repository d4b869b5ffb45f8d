"""Smaller arrays that a network takes which takes a given one."""

from __future__ import annotations

from ctseg_imaging.geometry import Shape

LARGEST_DIVISOR = 32  # a network halves its maps five times at most, as far as a crop has to care


def smaller(shape: Shape, least: int) -> Shape:
    """Sides of at least `least` voxels, or as they are where they are shorter, divisible by the powers of two that `shape` is."""
    z, y, x = (min(n, -(-least // _power(n)) * _power(n)) for n in shape)
    return z, y, x


def halved(shape: Shape, least: int) -> Shape | None:
    """Half of every side that is then still `least` voxels or more; None where there is no such side."""
    z, y, x = (min(n, -(-(n // 2) // _power(n)) * _power(n)) if n // 2 >= least else n for n in shape)
    return None if (z, y, x) == shape else (z, y, x)


def middle(shape: Shape, part: Shape) -> tuple[slice, slice, slice]:
    """Where `part` lies in the middle of `shape`."""
    z, y, x = (slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(shape, part, strict=True))
    return z, y, x


def _power(n: int) -> int:
    """The largest power of two that divides n, LARGEST_DIVISOR at most."""
    return min(LARGEST_DIVISOR, n & -n)
