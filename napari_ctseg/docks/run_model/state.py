"""What the Run model dock shows: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from ctseg_models.contract.run_warning import RunWarning


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
    """A model as the dock lists it.

    about : the first paragraph of its card. channels : what it reads, in order. warnings : what in the image
    lies outside of its training. needs_trust : why it would run code of its own, () when it does not; trusted
    : the user's decision, None while it is looked up. mirror_axes : along how many axes it may be mirrored,
    None when only its loading would tell. localises : whether it finds out where to look. described : the
    network file whose side file could be written again, None where there is none. files : the same for two
    names of one model.
    """

    name: str
    labels: tuple[str, ...] = ()
    modality: str = ""
    about: str = ""
    card: str = ""
    warnings: tuple[str, ...] = ()
    kind: str = "ctseg"
    channels: tuple[str, ...] = ("CT",)
    needs_trust: tuple[str, ...] = ()
    trusted: bool | None = None
    mirror_axes: int | None = None
    localises: bool = False
    described: Path | None = None
    files: str = ""

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

    mean : probability inside. sure : share of it above 0.9. disagreement : mean of the models' inside, or of
    the entropy where that was asked for (`entropy`); None when neither was.
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
    side file (`rewrite`), what that says.
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
class RunModelState:
    """images : what a channel can be read from (a layer, or one channel of it). sources : one for every
    channel the chosen models want. weights : of chosen models, 1 where none is given. unable : device or
    precision -> why it cannot be had. errand : what is done next to running (a model being added), "" when
    nothing. questions, form, replacing : what waits for an answer. share : of the whole run, 0 to 1, None
    when not known. seconds_left : None when not known. result : name of the labels layer. to_fix : the
    network file whose side file may be why the last run or adding failed.
    """

    images: tuple[str, ...] = ()
    image: str | None = None
    bundles: tuple[BundleInfo, ...] = ()
    chosen: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    source_fault: str = ""
    combine: Combine = Combine.MEAN
    weights: Mapping[str, float] = field(default_factory=dict)
    device: str = "cpu"
    precision: str = "auto"
    unable: Mapping[str, str] = field(default_factory=dict)
    region: RegionChoice = RegionChoice.LOCALISER
    boxes: tuple[str, ...] = ()
    box: str | None = None
    mirroring: bool = False
    edge_map: bool = False
    entropy: bool = False
    errand: str = ""
    questions: tuple[TrustQuestion, ...] = ()
    form: FormNeeded | None = None
    replacing: Replacement | None = None
    expected: str = ""
    estimating: bool = False
    phase: Phase = Phase.IDLE
    stage: str = ""
    share: float | None = None
    seconds_left: float | None = None
    message: str = ""
    details: str = ""
    result: str | None = None
    to_fix: Path | None = None
    cautions: tuple[RunWarning, ...] = ()
    confidence: tuple[Confidence, ...] = ()

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
        return self.region if self.region in self.regions else RegionChoice.WHOLE

    @property
    def wanted(self) -> tuple[str, ...]:
        """The channels that the chosen models read."""
        return self.members[0].channels if self.members else ()

    @property
    def weighted(self) -> bool:
        """Whether weights mean anything."""
        return len(self.chosen) > 1 and self.combine is not Combine.STAPLE

    @property
    def why_not(self) -> str:
        """Why Run cannot be pressed, "" when it can."""
        if self.image is None:
            return "Open an image first."
        if not self.bundles:
            return "No model is there yet: press Add model…, or drop its folder or file here."
        if not self.chosen:
            return "Tick a model first."
        if len({len(info.channels) for info in self.members}) > 1:
            return "The ticked models read different numbers of images; run them one by one."
        if self.source_fault:
            return self.source_fault
        if len(twice := self.same_files) > 1:
            return (
                f"{' and '.join(twice)} are the same model under two names; untick one, it would only "
                "count twice."
            )
        if self.region is RegionChoice.BOX and self.box is None:
            return "Draw a box first."
        return self.unable.get(self.device, "") or self.unable.get(self.precision, "")

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
            return "Not trained with mirroring: left and right organs would be mixed up."
        return ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the chosen models say about the image."""
        said = [warning for info in self.members for warning in info.warnings]
        twice = sorted({source for source in self.sources if source and self.sources.count(source) > 1})
        said += [f'"{source}" is chosen for more than one channel.' for source in twice]
        return tuple(dict.fromkeys(said))
