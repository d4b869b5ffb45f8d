"""What a loaded bundle gives the runner: its stages, and what their maps mean."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ctseg_imaging.geometry import Shape, Triple
from ctseg_imaging.volume import Labels

if TYPE_CHECKING:
    from torch import Tensor

    from ctseg_models.contract.arithmetic import Arithmetic
    from ctseg_models.contract.lattice import Lattice, ViewBox
    from ctseg_models.contract.maps import Maps
    from ctseg_models.contract.tiling import Tiling
    from ctseg_models.contract.upright import Upright


Form = Literal["probabilities", "softmax logits", "averaged logits", "regions"]
Interpolation = Literal["linear", "nearest"]
# (1, C, z, y, x) normalised input to (K, z, y, x) float32 class maps in steps (yields the share of work done
# since the last).
NetworkSteps = Callable[["Tensor", "Arithmetic"], "Generator[float, None, Tensor]"]


@dataclass(frozen=True, eq=False)
class BundleLabels:
    """Labels that a bundle wrote by itself. values : of each map, 0 first. named : whether the bundle's
    names are those of its labels.
    """

    maps: Maps
    values: tuple[int, ...]
    named: bool


@dataclass(frozen=True, eq=False)
class Prepared:
    """What one network is to see of one volume, along the axes of its upright view (z, y, x).

    x : (1, C, z, y, x) float32, normalised and padded. lattice : where the kept part of x lies. tiling :
    windows over all of x; None: the whole array at once. keep : [start, stop) of x that counts, where the
    rest is padding; None: all of it. interpolation : how the maps come back to the volume's grid, per
    axis. border : what voxels of the volume outside of the lattice are: background, or as the nearest
    inside. steps, mirror_axes : instead of the stage's, where the network's own axes depend on how the
    volume is stored. brought : takes the maps to a lattice of their own, where no interpolation along axes
    does. written : takes the only map that the steps give, of labels, which are known only then; such
    steps take the whole array and no smaller windows.
    """

    x: Tensor
    lattice: Lattice
    tiling: Tiling | None = None
    keep: tuple[Shape, Shape] | None = None
    interpolation: tuple[Interpolation, Interpolation, Interpolation] = ("linear", "linear", "linear")
    border: Literal["background", "repeat"] = "background"
    steps: NetworkSteps | None = None
    mirror_axes: tuple[int, ...] | None = None
    brought: Callable[[Maps], tuple[Maps, Lattice]] | None = None
    written: Callable[[Tensor], BundleLabels] | None = None


@dataclass(frozen=True)
class RunSize:
    """What a run will have to compute, known without doing any of it. size : of the whole input; window :
    of one step of the network; both (z, y, x) of the view. windows : how many.
    """

    size: Shape
    window: Shape
    windows: int = 1


# The volume in its view, a box in mm of it, and whether the box is the whole volume; yields shares of the
# work.
Prepare = Callable[["Upright", "ViewBox", bool], "Generator[float, None, Prepared]"]


@dataclass(frozen=True, eq=False)
class LoadedStage:
    """One network in memory. prepare : how a volume becomes its input. steps : how it is run, along the
    view's axes.

    values : the label value of each class map, 0 first; a value may occur twice (merged) or be None
    (background). form : what the maps are: probabilities; logits, which are blended and resampled as such
    before the softmax; or logits of one sigmoid for each region (nnU-Net), without a map of the
    background, in the order of painting: a later region covers an earlier one where p > 0.5. flops :
    multiply-adds x 2 for an input of (z, y, x); 0: not known. layout : the sizes for a box of a volume.
    parameters : how many, 0: not known. edges : how many edge maps (0..1) follow the class maps. margin_mm
    : of a localiser, around what it finds. spacing_mm : what the network wants; None: it depends on the
    volume. mirror_axes : the view's axes along which the network may be mirrored. key : names the weights,
    for what is remembered. temperature : logits are divided by it for a probability (calibration); labels
    do not change. half : whether `steps` heeds the arithmetic; False: it computes as its file says. on_cpu
    : gives the same stage on the processor, where this one is on a GPU.
    """

    name: Literal["localise", "segment"]
    prepare: Prepare
    steps: NetworkSteps
    values: tuple[int | None, ...]
    flops: Callable[[Shape], float]
    layout: Callable[[Upright, ViewBox], RunSize]
    form: Form = "probabilities"
    parameters: int = 0
    edges: int = 0
    margin_mm: float = 0.0
    spacing_mm: Triple | None = None
    mirror_axes: tuple[int, ...] = ()
    key: str = ""
    temperature: float = 1.0
    half: bool = True
    on_cpu: Callable[[], LoadedStage] | None = None


@dataclass(frozen=True, eq=False)
class Model:
    """A bundle in memory: one stage, or a localiser and a segmenter."""

    stages: tuple[LoadedStage, ...]
    labels: Labels
    device: str
