"""Smaller arrays that a network accepts if it accepts a given one."""

from __future__ import annotations

from ctseg_imaging.geometry import Shape

LARGEST_DIVISOR = 32  # a network halves its maps five times at most, as far as crops are concerned


def smaller(shape: Shape, least: int) -> Shape:
    """`shape` cut to sides of at least `least` voxels that keep its divisibility by powers of two.

    Shorter sides stay as they are.
    """
    z, y, x = (min(n, -(-least // _power(n)) * _power(n)) for n in shape)
    return z, y, x


def halved(shape: Shape, least: int) -> Shape | None:
    """Half of every side that is then still at least `least` voxels; None if no side can be halved."""
    z, y, x = (min(n, -(-(n // 2) // _power(n)) * _power(n)) if n // 2 >= least else n for n in shape)
    return None if (z, y, x) == shape else (z, y, x)


def spread(shape: Shape, part: Shape) -> list[tuple[slice, slice, slice]]:
    """Places of `part` in `shape`: in the middle, and at a quarter and three quarters of the side with most
    room.
    """
    room = [n - m for n, m in zip(shape, part, strict=True)]
    longest = max(range(3), key=lambda axis: room[axis] / part[axis])
    places = []
    for share in (2, 1, 3):
        z, y, x = (left * (share if axis == longest else 2) // 4 for axis, left in enumerate(room))
        place = (slice(z, z + part[0]), slice(y, y + part[1]), slice(x, x + part[2]))
        if place not in places:
            places.append(place)
    return places


def _power(n: int) -> int:
    """The largest power of two that divides n, at most LARGEST_DIVISOR."""
    return min(LARGEST_DIVISOR, n & -n)
