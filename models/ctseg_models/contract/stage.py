"""A loaded bundle: its stages, how each is run, and what its maps mean."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ctseg_imaging.geometry import Shape, Triple
from ctseg_imaging.volume import Labels
from ctseg_models.contract.measured import Measured

if TYPE_CHECKING:
    from torch import Tensor

    from ctseg_models.contract.arithmetic import Arithmetic
    from ctseg_models.contract.lattice import Lattice, ViewBox
    from ctseg_models.contract.maps import Maps
    from ctseg_models.contract.tiling import Tiling
    from ctseg_models.contract.upright import Upright


Form = Literal["probabilities", "softmax logits", "averaged logits", "regions"]
Interpolation = Literal["linear", "nearest"]
# (1, C, z, y, x) normalised input to (K, z, y, x) float32 class maps; yields the share of the work done since
# the last yield.
NetworkSteps = Callable[["Tensor", "Arithmetic"], "Generator[float, None, Tensor]"]


@dataclass(frozen=True, eq=False)
class BundleLabels:
    """Labels that a bundle's own postprocessing made, as maps of 0 and 1."""

    maps: Maps
    values: tuple[int, ...]  # of each map, 0 first
    named: bool  # whether the bundle's metadata names these labels


@dataclass(frozen=True, eq=False)
class Prepared:
    """The input of one network for one volume, along the axes (z, y, x) of its upright view."""

    x: Tensor  # (1, C, z, y, x) float32, normalised and padded
    lattice: Lattice  # of the kept part of x
    tiling: Tiling | None = None  # windows over all of x; None: the whole array at once
    keep: tuple[Shape, Shape] | None = None  # [start, stop) of x without its padding; None: all of it
    # How the maps are brought to the volume's grid, for each axis.
    interpolation: tuple[Interpolation, Interpolation, Interpolation] = ("linear", "linear", "linear")
    # Voxels of the volume outside the lattice are background, or as the nearest voxel inside.
    border: Literal["background", "repeat"] = "background"
    # Instead of the stage's, where the network's axes depend on how the volume is stored.
    steps: NetworkSteps | None = None
    mirror_axes: tuple[int, ...] | None = None
    # Moves the maps to a lattice of their own, where interpolation along the axes would not be right.
    brought: Callable[[Maps], tuple[Maps, Lattice]] | None = None
    # Makes labels of the only map that the steps give; such steps take the whole array, no smaller windows.
    written: Callable[[Tensor], BundleLabels] | None = None


@dataclass(frozen=True)
class RunSize:
    """The sizes of a run, known before it; (z, y, x) of the view."""

    size: Shape  # of the whole input
    window: Shape  # that the network sees at once
    windows: int = 1


# From the volume's view, a box in mm and whether that is the whole volume; yields shares of the work.
Prepare = Callable[["Upright", "ViewBox", bool], "Generator[float, None, Prepared]"]


@dataclass(frozen=True, eq=False)
class LoadedStage:
    """One network in memory, and how it is run along the axes (z, y, x) of a volume's upright view.

    The forms of its maps: probabilities; logits, which are blended and resampled as such before the softmax;
    or "regions" (nnU-Net), the logits of one sigmoid each, without a background map and in the order of
    painting: a later region covers an earlier one where p > 0.5.
    """

    name: Literal["localise", "segment"]
    prepare: Prepare
    steps: NetworkSteps
    # The label value of each class map, 0 first; one value may occur twice (merged), None is background.
    values: tuple[int | None, ...]
    flops: Callable[[Shape], float]  # two per multiply-add for an input of (z, y, x); 0: not known
    layout: Callable[[Upright, ViewBox], RunSize]  # the sizes for a box of a volume
    form: Form = "probabilities"
    parameters: int = 0  # how many; 0: not known
    edges: int = 0  # how many edge maps (0..1) follow the class maps
    margin_mm: float = 0.0  # of a localiser, around its foreground
    spacing_mm: Triple | None = None  # that the network was trained at; None: it depends on the volume
    mirror_axes: tuple[int, ...] = ()  # the view's axes along which the input may be mirrored
    key: str = ""  # identifies the weights in caches; "": not cached
    temperature: float = 1.0  # logits are divided by it for probabilities (calibration); labels do not change
    half: bool = True  # whether `steps` follows the Arithmetic; False: it computes as its file defines
    # Loads the same stage on the processor, where this one is on a GPU.
    on_cpu: Callable[[], LoadedStage] | None = None
    measured: Measured = field(default_factory=Measured)


@dataclass(frozen=True, eq=False)
class Model:
    """A bundle in memory: one stage, or a localiser and a segmenter."""

    stages: tuple[LoadedStage, ...]
    labels: Labels
    device: str
