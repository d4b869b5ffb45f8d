"""What the Run model dock shows: values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """Where the dock stands."""

    IDLE = "idle"
    WAITING = "waiting"  # for another task, or for a cancelled one that has not ended yet
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class RegionChoice(StrEnum):
    """Where the networks look."""

    LOCALISER = "Found by the model"
    WHOLE = "Whole volume"
    BOX = "A box I drew"


class Combine(StrEnum):
    """How several models become one answer."""

    MEAN = "mean"
    VOTE = "vote"


DEVICES = ("cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class BundleInfo:
    """A model as the dock lists it. about : the first paragraph of its card. warnings : what in the image lies outside of its training."""

    name: str
    labels: tuple[str, ...] = ()
    modality: str = ""
    about: str = ""
    card: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunModelState:
    """share : of the whole run, 0 to 1, None when not known. seconds_left : None when not known. result : name of the labels layer."""

    images: tuple[str, ...] = ()
    image: str | None = None
    bundles: tuple[BundleInfo, ...] = ()
    chosen: tuple[str, ...] = ()
    combine: Combine = Combine.MEAN
    device: str = "cpu"
    precision: str = "auto"
    region: RegionChoice = RegionChoice.LOCALISER
    boxes: tuple[str, ...] = ()
    box: str | None = None
    edge_map: bool = False
    expected: str = ""
    estimating: bool = False
    phase: Phase = Phase.IDLE
    stage: str = ""
    share: float | None = None
    seconds_left: float | None = None
    message: str = ""
    details: str = ""
    result: str | None = None

    @property
    def busy(self) -> bool:
        """Whether a run is under way or waits for its turn."""
        return self.phase in (Phase.RUNNING, Phase.WAITING)

    @property
    def why_not(self) -> str:
        """Why Run cannot be pressed, "" when it can."""
        if self.image is None:
            return "Open an image first."
        if not self.bundles:
            return "No model is installed; add one with \"napari-ctseg bundle add PATH\"."
        if not self.chosen:
            return "Tick a model first."
        if self.region is RegionChoice.BOX and self.box is None:
            return "Draw a box first."
        return ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the chosen models say about the image."""
        said = [warning for info in self.bundles if info.name in self.chosen for warning in info.warnings]
        return tuple(dict.fromkeys(said))
