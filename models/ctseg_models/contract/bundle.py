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
LARGEST_LABEL = 65535  # a mask is uint16 at most


@dataclass(frozen=True, eq=False, repr=False)
class Bundle(ABC):
    """A trained model on disk, in any of the formats. Reading one runs nothing of it and loads no weights."""

    name: str
    path: Path  # its folder or file
    kind: BundleFormat
    labels: Labels
    channels: tuple[str, ...]  # what each channel of a volume has to be, in order
    modality: str  # as DICOM writes it ("CT", "MR"), "" where the bundle does not say
    spacing_mm: Triple | None  # (z, y, x) of the last stage; None where it resizes to a fixed shape
    card: str  # Markdown
    sha256: str  # of SHA256SUMS (kind "ctseg"), or of the file together with its side file
    version: str

    @property
    def needs_trust(self) -> tuple[str, ...]:
        """One phrase for each piece of code of the bundle's own that loading it would run; () if none."""
        return ()

    @abstractmethod
    def verify(self) -> None:
        """Raises BundleError when a file is missing or does not match its hash."""

    @abstractmethod
    def load(self, device: str = "cpu") -> Model:
        """The networks, ready on `device` ("cpu", "cuda", "cuda:1").

        Raises BundleError when the weights do not fit or do not match their hash, and TrustNeeded for code
        that the user has not allowed.
        """

    def __repr__(self) -> str:
        """Without the card and the settings of its stages, which fill pages."""
        spacing = (
            ""
            if self.spacing_mm is None
            else f", spacing_mm=({', '.join(f'{a:g}' for a in self.spacing_mm)})"
        )
        names = [label.name for label in self.labels]
        return (
            f"Bundle({self.name!r}, kind={self.kind!r}, modality={self.modality!r}{spacing}, labels={names})"
        )

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
                    f"trained at {max(self.spacing_mm):.1f} mm; expect coarse borders."
                )
        if volume.geometry.is_oblique:
            texts.append("The volume is oblique; the network sees its nearest upright frame.")
        return tuple(RunWarning(WarningKind.IMAGE, text) for text in texts)
