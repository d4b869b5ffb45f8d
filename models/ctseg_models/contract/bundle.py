"""A trained model on disk, whatever its format, and what loading one gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ctseg_imaging.geometry import Triple
from ctseg_imaging.volume import Labels, Volume
from ctseg_models.contract.run_warning import RunWarning, WarningKind
from ctseg_models.contract.stage import Model

BundleFormat = Literal["ctseg", "torchscript", "onnx", "nnunet", "monai"]
LARGEST_LABEL = 65535  # that a mask holds, as uint16


@dataclass(frozen=True, eq=False)
class Bundle(ABC):
    """A trained model on disk.

    name : how the user names it. path : its folder or file. channels : what each channel of a volume has
    to be, in order. spacing_mm : (z, y, x) at which the last stage works, None when it resizes to a fixed
    shape. card : Markdown. sha256 : of SHA256SUMS (kind "ctseg") or of the file with its side file.
    """

    name: str
    path: Path
    kind: BundleFormat
    labels: Labels
    channels: tuple[str, ...]
    modality: str
    spacing_mm: Triple | None
    card: str
    sha256: str
    version: str

    @property
    def needs_trust(self) -> tuple[str, ...]:
        """What code of the bundle's own would run, one sentence each; () : none. Told without running
        anything.
        """
        return ()

    @abstractmethod
    def verify(self) -> None:
        """Raises BundleError when a file is missing or is not what its hash says."""

    @abstractmethod
    def load(self, device: str = "cpu") -> Model:
        """The networks, ready on `device`. Raises BundleError when the weights do not fit or their hash is
        wrong.
        """

    def warnings_for(self, volume: Volume) -> tuple[RunWarning, ...]:
        """In what `volume` differs from the images that the bundle was trained on."""
        texts = []
        if volume.modality and self.modality and volume.modality != self.modality:
            texts.append(f"The image is {volume.modality}, and {self.name} was trained on {self.modality}.")
        if self.modality == "CT":
            sample = volume.array[..., ::8, ::4, ::4]
            if sample.size and sample.min() > -200:
                texts.append("The image has no values below -200, so it may not be in Hounsfield units.")
        if self.spacing_mm is not None:
            coarse = max(volume.geometry.spacing_mm) / max(self.spacing_mm)
            if coarse > 2.5:
                texts.append(
                    f"The voxels are {max(volume.geometry.spacing_mm):.1f} mm long, and {self.name} was "
                    "trained at "
                    f"{max(self.spacing_mm):.1f} mm; expect coarse borders."
                )
        if volume.geometry.is_oblique:
            texts.append("The volume is oblique; the network sees its nearest upright frame.")
        return tuple(RunWarning(WarningKind.IMAGE, text) for text in texts)
