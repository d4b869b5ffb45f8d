"""One configuration of nnU-Net's plans, ready to run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ctseg_imaging.volume import Labels
from ctseg_models.bundles.nnunet.documents import Intensities


@dataclass(frozen=True)
class Normalisation:
    """The normalisation of one channel. masked : statistics and change only inside the nonzero region
    (z-scores).
    """

    scheme: str
    masked: bool
    intensities: Intensities | None


@dataclass(frozen=True)
class Resampling:
    """order : of the splines. force_separate : whether the coarsest axis is resampled apart; None: where it
    is much coarser.
    """

    order: int
    force_separate: bool | None


@dataclass(frozen=True)
class Heads:
    """What the network's maps mean.

    values : in the order of the maps. names : by label value. foreground : values of a label map.
    """

    form: Literal["softmax logits", "regions"]
    values: tuple[int, ...]
    names: dict[int, str]
    foreground: tuple[int, ...]

    @property
    def labels(self) -> Labels:
        """The labels as the viewer and the writers use them."""
        return Labels.from_names(self.names)


@dataclass(frozen=True)
class NNUNetPlan:
    """One configuration, checked: everything here can be run.

    previous : the configuration whose labels are further input channels. transpose : the stored axis of each
    axis of the plans. to_ras : the image is first turned to the RAS axes. network : its class name.
    architecture : arguments of the network's class. source : the file, for messages.
    """

    configuration: str
    patch: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    transpose: tuple[int, int, int]
    to_ras: bool
    normalisations: tuple[Normalisation, ...]
    data: Resampling
    seg: Resampling
    logits: Resampling
    network: str
    architecture: dict[str, Any]
    heads: Heads
    previous: str | None
    source: Path

    @property
    def flat(self) -> bool:
        """Whether it segments slices along the plans' first axis."""
        return len(self.patch) == 2

    @property
    def inputs(self) -> int:
        """Channels of the network: images, then the labels of the previous stage one by one."""
        return len(self.normalisations) + (len(self.heads.foreground) if self.previous else 0)
