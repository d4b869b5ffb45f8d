"""What the Run model dock shows: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_models.contract.run_warning import RunWarning

if TYPE_CHECKING:
    from ctseg_models.inference import Estimate


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
    STAPLE = "staple"


DEVICES = ("cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class BundleInfo:
    """A model as the dock lists it."""

    name: str
    labels: tuple[str, ...] = ()
    modality: str = ""
    about: str = ""  # the first paragraph of its card
    card: str = ""
    warnings: tuple[str, ...] = ()  # how the image differs from what it was trained on
    kind: str = "ctseg"
    channels: tuple[str, ...] = ("CT",)  # what it reads, in order
    needs_trust: tuple[str, ...] = ()  # why it would run code of its own, () if it does not
    trusted: bool | None = None  # the user's decision, None while it is looked up
    mirror_axes: int | None = None  # along how many axes it may be mirrored; None: not known unloaded
    localises: bool = False  # whether it finds by itself where to look
    described: Path | None = None  # its network file, if the side file can be rewritten
    files: str = ""  # the same for two names of one model

    @property
    def locked(self) -> bool:
        """Whether it asks before it runs."""
        return bool(self.needs_trust) and self.trusted is not True


@dataclass(frozen=True)
class TrustQuestion:
    """What a user has to decide: code of this model, from this folder or file, for these reasons. digest :
    of the files meant.
    """

    name: str
    path: str
    reasons: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class Confidence:
    """How sure a result is of one label.

    mean : probability inside. sure : share of the voxels above 0.9. disagreement : mean disagreement inside
    or, with `entropy`, mean entropy; None without such a map.
    """

    name: str
    volume_ml: float
    mean: float
    sure: float
    disagreement: float | None = None
    entropy: bool = False


@dataclass(frozen=True)
class FormNeeded:
    """A network file whose side file is to be written. guess : what could be read from it; of one that has a
    side file (`rewrite`), its fields.
    """

    network: Path
    guess: Mapping[str, Any]
    rewrite: bool = False


@dataclass(frozen=True)
class Replacement:
    """source : what the user wants to add. target : the model of theirs that it would replace."""

    source: Path
    target: Path


@dataclass(frozen=True)
class RunOptions:
    """How the chosen models run."""

    combine: Combine = Combine.MEAN
    weights: Mapping[str, float] = field(default_factory=dict)  # of chosen models; 1 if not given
    device: str = "cpu"
    precision: str = "auto"
    region: RegionChoice = RegionChoice.LOCALISER
    box: str | None = None
    mirroring: bool = False
    edge_map: bool = False
    probabilities: bool = False  # kept with the mask, of a single model
    entropy: bool = False


@dataclass(frozen=True)
class RunProgress:
    """How far a run is."""

    stage: str = ""
    share: float | None = None  # of the whole run, 0 to 1; None if not known
    seconds_left: float | None = None


@dataclass(frozen=True)
class RunSummary:
    """The messages of the last run about its result."""

    cautions: tuple[RunWarning, ...] = ()
    confidence: tuple[Confidence, ...] = ()


@dataclass(frozen=True)
class RunModelState:
    """What can be chosen, what is chosen, and what became of it."""

    images: tuple[str, ...] = ()  # what a channel can be read from: a layer, or one channel of it
    image: str | None = None
    bundles: tuple[BundleInfo, ...] = ()
    chosen: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()  # one image for every channel that the chosen models read
    source_fault: str = ""
    options: RunOptions = RunOptions()
    boxes: tuple[str, ...] = ()
    unable: Mapping[str, str] = field(default_factory=dict)  # device or precision: why not available
    errand: str = ""  # what is done with a model (added, verified, exported), "" for nothing
    questions: tuple[TrustQuestion, ...] = ()  # before a run; they wait for an answer
    asked: FormNeeded | Replacement | None = None  # the same, before a model is added or rewritten
    estimate: Estimate | None = None  # for the current choices
    estimating: bool = False
    phase: Phase = Phase.IDLE
    progress: RunProgress = RunProgress()
    summary: RunSummary = RunSummary()
    message: str = ""
    details: str = ""
    to_fix: Path | None = None  # the network whose side file may be why a run or adding it failed

    @property
    def busy(self) -> bool:
        """Whether a run is under way or waits for its turn."""
        return self.phase in (Phase.RUNNING, Phase.WAITING)

    @property
    def members(self) -> tuple[BundleInfo, ...]:
        """The chosen models."""
        return tuple(info for info in self.bundles if info.name in self.chosen)

    @property
    def regions(self) -> tuple[RegionChoice, ...]:
        """Where the chosen models can look; those without a localiser take the whole volume by themselves."""
        found = any(info.localises for info in self.members)
        return tuple(RegionChoice) if found else (RegionChoice.WHOLE, RegionChoice.BOX)

    @property
    def looks_in(self) -> RegionChoice:
        """The region as it will be."""
        return self.options.region if self.options.region in self.regions else RegionChoice.WHOLE

    @property
    def wanted(self) -> tuple[str, ...]:
        """The channels that the chosen models read."""
        return self.members[0].channels if self.members else ()

    @property
    def weighted(self) -> bool:
        """Whether weights mean anything."""
        return len(self.chosen) > 1 and self.options.combine is not Combine.STAPLE

    @property
    def why_not(self) -> str:
        """Why Run cannot be pressed, "" when it can."""
        if self.image is None:
            return "Open an image first."
        if not self.bundles:
            return "No models installed. Press Add model…, or drop a model folder or file here."
        if not self.chosen:
            return "Tick a model first."
        if len({len(info.channels) for info in self.members}) > 1:
            return "The ticked models need different numbers of images; run them one at a time."
        if self.source_fault:
            return self.source_fault
        if len(twice := self.same_files) > 1:
            return (
                f"{' and '.join(twice)} are the same model under two names; untick one, as it would count "
                "twice."
            )
        if self.options.region is RegionChoice.BOX and self.options.box is None:
            return "Draw a box first."
        return self.unable.get(self.options.device, "") or self.unable.get(self.options.precision, "")

    @property
    def same_files(self) -> tuple[str, ...]:
        """The names of chosen models whose files are the same, () where all differ."""
        for info in self.members:
            same = tuple(other.name for other in self.members if other.files and other.files == info.files)
            if len(same) > 1:
                return same
        return ()

    @property
    def why_no_mirroring(self) -> str:
        """Why the choice of mirroring is grey, "" when it is not."""
        if not self.members:
            return "Tick a model first."
        if all(info.mirror_axes == 0 for info in self.members):
            return "Not trained with mirroring: left and right organs would be confused."
        return ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of the chosen models about the image."""
        found = [warning for info in self.members for warning in info.warnings]
        twice = sorted({source for source in self.sources if source and self.sources.count(source) > 1})
        found += [f'"{source}" is chosen for more than one channel.' for source in twice]
        return tuple(dict.fromkeys(found))
