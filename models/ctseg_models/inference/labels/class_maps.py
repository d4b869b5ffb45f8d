"""The class maps of one stage on its lattice, and the grid that they are painted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from ctseg_imaging.geometry import Shape, Triple
from ctseg_models.contract.lattice import Lattice
from ctseg_models.contract.maps import Maps
from ctseg_models.contract.stage import Form, Interpolation
from ctseg_models.inference.maps.softened import SoftenedMaps
from ctseg_models.inference.maps.stored import MemoryMaps


@dataclass(frozen=True, eq=False)
class ClassMaps:
    """Maps of label values on `lattice`.

    each : the value of every map; maps of one value belong together, 0 is background. form, temperature,
    interpolation, border : as in LoadedStage and Prepared; with the form "regions", in the order of painting.
    """

    maps: Maps
    lattice: Lattice
    each: tuple[int, ...]
    form: Form = "probabilities"
    interpolation: tuple[Interpolation, Interpolation, Interpolation] = ("linear", "linear", "linear")
    border: Literal["background", "repeat"] = "background"
    temperature: float = 1.0

    @classmethod
    def of(
        cls,
        maps: Tensor | Maps,
        lattice: Lattice,
        values: Sequence[int | None],
        form: Form = "probabilities",
        interpolation: tuple[Interpolation, Interpolation, Interpolation] = ("linear", "linear", "linear"),
        border: Literal["background", "repeat"] = "background",
        temperature: float = 1.0,
    ) -> ClassMaps:
        """From a network's output (K, z, y, x). values : of each map; None counts as background."""
        kept = MemoryMaps(maps) if isinstance(maps, Tensor) else maps
        each = tuple(0 if value is None else value for value in values)
        if form == "averaged logits":
            return cls(SoftenedMaps(kept), lattice, each, "probabilities", interpolation, border, temperature)
        return cls(kept, lattice, each, form, interpolation, border, temperature)

    def renamed(self, meaning: Mapping[int, int]) -> ClassMaps:
        """The same maps, each for the value that `meaning` assigns to its own."""
        return replace(self, each=tuple(meaning[value] for value in self.each))

    @property
    def values(self) -> tuple[int, ...]:
        """The label values, ascending, 0 (background) first."""
        return tuple(sorted({0, *self.each}))


@dataclass(frozen=True)
class Target:
    """The voxels to fill: [start, stop), (z, y, x), of an LPS-upright view with `spacing_mm`."""

    spacing_mm: Triple
    start: Shape
    stop: Shape

    @property
    def shape(self) -> Shape:
        """Voxels along (z, y, x)."""
        z, y, x = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    @property
    def place(self) -> tuple[slice, slice, slice]:
        """Where they lie in an array (z, y, x) of the view."""
        z, y, x = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x
