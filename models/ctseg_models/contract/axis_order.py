"""The axes of a network's array within the LPS-upright view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ctseg_models.contract.lattice import T

if TYPE_CHECKING:
    from torch import Tensor


VIEW_AXES = {
    "S": (0, False),
    "I": (0, True),
    "P": (1, False),
    "A": (1, True),
    "L": (2, False),
    "R": (2, True),
}


@dataclass(frozen=True)
class AxisOrder:
    """How the axes of a network's array (a, b, c) lie along the axes (z, y, x) of the view."""

    order: tuple[int, int, int] = (0, 1, 2)  # the view's axis (0 z, 1 y, 2 x) of a, b and c
    flips: tuple[int, ...] = ()  # which of the network's axes run backwards

    @classmethod
    def of_codes(cls, codes: str) -> Self:
        """From three letters of L, R, A, P, I and S: letter i names the side that axis i runs to.

        "SPL" is the view itself. Raises ValueError for letters that do not name three axes.
        """
        if len(codes) != 3 or {VIEW_AXES.get(letter, (9, False))[0] for letter in codes} != {0, 1, 2}:
            raise ValueError(f'"{codes}" does not name three different axes by L or R, A or P, I or S')
        first, second, third = (VIEW_AXES[letter][0] for letter in codes)
        return cls(
            (first, second, third),
            tuple(number for number, letter in enumerate(codes) if VIEW_AXES[letter][1]),
        )

    def to_network(self, x: Tensor) -> Tensor:
        """An array (..., z, y, x) of the view as (..., a, b, c) of the network, contiguous."""
        lead = x.ndim - 3
        turned = x.permute(*range(lead), *(lead + axis for axis in self.order))
        return (turned.flip([lead + axis for axis in self.flips]) if self.flips else turned).contiguous()

    def back(self, maps: Tensor) -> Tensor:
        """A network's output (..., a, b, c) as (..., z, y, x) of the view, contiguous."""
        lead = maps.ndim - 3
        unflipped = maps.flip([lead + axis for axis in self.flips]) if self.flips else maps
        return unflipped.permute(
            *range(lead), *(lead + self.order.index(axis) for axis in range(3))
        ).contiguous()

    def zyx(self, triple: tuple[T, T, T]) -> tuple[T, T, T]:
        """One value for each of a, b and c, reordered to one for each of z, y and x."""
        z, y, x = (triple[self.order.index(axis)] for axis in range(3))
        return z, y, x
