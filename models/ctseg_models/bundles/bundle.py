"""A trained model on disk, whatever its format, and what loading one gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ctseg_imaging.geometry import Shape
from ctseg_imaging.geometry import Triple as Triple  # for the formats
from ctseg_imaging.volume import Labels, Volume

if TYPE_CHECKING:
    from torch import Tensor

    from ctseg_models.inference.lattice import Box, Lattice
    from ctseg_models.inference.maps import Maps
    from ctseg_models.inference.sliding_window import Tiling
    from ctseg_models.inference.stepwise import Arithmetic
    from ctseg_models.inference.upright import Upright

Kind = Literal["ctseg", "torchscript", "onnx", "nnunet", "monai"]
Form = Literal["probabilities", "softmax logits", "averaged logits", "regions"]
Interpolation = Literal["linear", "nearest"]
LARGEST_LABEL = 65535  # that a mask holds, as uint16
# (1, C, z, y, x) normalised input to (K, z, y, x) float32 class maps in steps (yields the share of work done since the last).
Steps = Callable[["Tensor", "Arithmetic"], "Generator[float, None, Tensor]"]


@dataclass(frozen=True, eq=False)
class Written:
    """Labels that a bundle wrote by itself. values : of each map, 0 first. named : whether the bundle's names are those of its labels."""

    maps: Maps
    values: tuple[int, ...]
    named: bool


@dataclass(frozen=True, eq=False)
class Prepared:
    """What one network is to see of one volume, along the axes of its upright view (z, y, x).

    x : (1, C, z, y, x) float32, normalised and padded. lattice : where the kept part of x lies. tiling : windows over all of x; None:
    the whole array at once. keep : [start, stop) of x that counts, where the rest is padding; None: all of it. interpolation : how the
    maps come back to the volume's grid, per axis. border : what voxels of the volume outside of the lattice are: background, or as the
    nearest inside. steps, mirror_axes : instead of the stage's, where the network's own axes depend on how the volume is stored.
    brought : takes the maps to a lattice of their own, where no interpolation along axes does. written : takes the only map that the
    steps give, of labels, which are known only then; such steps take the whole array and no smaller windows.
    """

    x: Tensor
    lattice: Lattice
    tiling: Tiling | None = None
    keep: tuple[Shape, Shape] | None = None
    interpolation: tuple[Interpolation, Interpolation, Interpolation] = ("linear", "linear", "linear")
    border: Literal["background", "repeat"] = "background"
    steps: Steps | None = None
    mirror_axes: tuple[int, ...] | None = None
    brought: Callable[[Maps], tuple[Maps, Lattice]] | None = None
    written: Callable[[Tensor], Written] | None = None


@dataclass(frozen=True)
class Layout:
    """What a run will have to compute, known without doing any of it. size : of the whole input; window : of one step of the network; both
    (z, y, x) of the view. windows : how many."""

    size: Shape
    window: Shape
    windows: int = 1


# The volume in its view, a box in mm of it, and whether the box is the whole volume; yields shares of the work.
Prepare = Callable[["Upright", "Box", bool], "Generator[float, None, Prepared]"]


@dataclass(frozen=True, eq=False)
class LoadedStage:
    """One network in memory. prepare : how a volume becomes its input. steps : how it is run, along the view's axes.

    values : the label value of each class map, 0 first; a value may occur twice (merged) or be None (background). form : what the maps
    are: probabilities; logits, which are blended and resampled as such before the softmax; or logits of one sigmoid for each region
    (nnU-Net), without a map of the background, in the order of painting: a later region covers an earlier one where p > 0.5. flops :
    multiply-adds x 2 for an input of (z, y, x); 0: not known. layout : the sizes for a box of a volume. parameters : how many, 0: not
    known. edges : how many edge maps (0..1) follow the class maps. margin_mm : of a localiser, around what it finds. spacing_mm : what
    the network wants; None: it depends on the volume. mirror_axes : the view's axes along which the network may be mirrored. key : names
    the weights, for what is remembered. temperature : logits are divided by it for a probability (calibration); labels do not change.
    half : whether `steps` heeds the arithmetic; False: it computes as its file says. on_cpu : gives the same stage on the processor, where
    this one is on a GPU.
    """

    name: Literal["localise", "segment"]
    prepare: Prepare
    steps: Steps
    values: tuple[int | None, ...]
    flops: Callable[[Shape], float]
    layout: Callable[[Upright, Box], Layout]
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


@dataclass(frozen=True, eq=False)
class Bundle(ABC):
    """A trained model on disk.

    name : how the person names it. path : its folder or file. channels : what each channel of a volume has to be, in order.
    spacing_mm : (z, y, x) at which the last stage works, None when it resizes to a fixed shape. card : Markdown.
    sha256 : of SHA256SUMS (kind "ctseg") or of the file with its side file.
    """

    name: str
    path: Path
    kind: Kind
    labels: Labels
    channels: tuple[str, ...]
    modality: str
    spacing_mm: Triple | None
    card: str
    sha256: str
    version: str

    @property
    def needs_trust(self) -> tuple[str, ...]:
        """What code of the bundle's own would run, one sentence each; () : none. Told without running anything."""
        return ()

    @abstractmethod
    def verify(self) -> None:
        """Raises BundleError when a file is missing or is not what its hash says."""

    @abstractmethod
    def load(self, device: str = "cpu") -> Model:
        """The networks, ready on `device`. Raises BundleError when the weights do not fit or their hash is wrong."""

    def warnings_for(self, volume: Volume) -> tuple[str, ...]:
        """What in `volume` lies outside of what the bundle was trained for, one sentence each."""
        said = []
        if volume.modality and self.modality and volume.modality != self.modality:
            said.append(f"The image is {volume.modality}, and {self.name} was trained on {self.modality}.")
        if self.modality == "CT":
            sample = volume.array[..., ::8, ::4, ::4]
            if sample.size and sample.min() > -200:
                said.append("The image has no values below -200, so that it may not be in Hounsfield units.")
        if self.spacing_mm is not None:
            coarse = max(volume.geometry.spacing_mm) / max(self.spacing_mm)
            if coarse > 2.5:
                said.append(f"The voxels are {max(volume.geometry.spacing_mm):.1f} mm long, and {self.name} was trained at "
                            f"{max(self.spacing_mm):.1f} mm; expect coarse borders.")
        if volume.geometry.is_oblique:
            said.append("The volume is oblique; the network sees its nearest upright frame.")
        return tuple(said)
