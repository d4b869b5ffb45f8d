"""What the Fine-tune dock shows: values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Phase(StrEnum):
    """Where the training stands."""

    IDLE = "idle"
    PREPARING = "preparing"  # writing the cases, starting the process
    RUNNING = "running"
    PAUSING = "pausing"  # asked to pause; it writes a checkpoint after its step
    PAUSED = "paused"  # no process; the checkpoint waits
    STOPPING = "stopping"  # asked to stop; it writes and scores its bundle
    DONE = "done"
    FAILED = "failed"


class CaseSource(StrEnum):
    """Where the cases come from."""

    LAYERS = "The open layers"
    FOLDER = "A dataset folder"


class Trainable(StrEnum):
    """What is trained; the values are the recipe's."""

    ALL = "all"
    DECODER = "decoder"
    HEAD = "head"


class HoldOut(StrEnum):
    """Which cases are kept apart for the score before and after."""

    SHARE = "A fifth of the cases"
    VALIDATION = "The dataset's validation list"
    NONE = "None"


@dataclass(frozen=True)
class RecipeRow:
    """A recipe that trains from scratch. localises : all labels count as one region. needs_features : a file
    with VGG-19's weights.
    """

    name: str
    description: str
    modality: str = "CT"
    localises: bool = False
    needs_features: bool = False


@dataclass(frozen=True)
class CaseRow:
    """An open image with the mask on its grid that it would be trained on."""

    image: str
    mask: str
    ticked: bool = True


@dataclass(frozen=True)
class Score:
    """Dice of one label on the held-out cases, before and after; None where it does not count."""

    label: str
    before: float | None
    after: float | None


@dataclass(frozen=True)
class CurvePoint:
    """Dice of the network on its own grid, after `step` steps. dice : per label, then "mean"; None where none
    could be counted.
    """

    step: int
    dice: tuple[tuple[str, float | None], ...]

    def of(self, label: str) -> float | None:
        """The Dice of one label, or of "mean"."""
        return dict(self.dice).get(label)


@dataclass(frozen=True)
class BaseChoice:
    """What is started from. base, recipe : one of them, or none. features : the file with VGG-19's weights,
    where the recipe needs it.
    """

    bundles: tuple[str, ...] = ()
    recipes: tuple[RecipeRow, ...] = ()
    base: str | None = None
    recipe: str | None = None
    features: Path | None = None

    @property
    def from_scratch(self) -> RecipeRow | None:
        """The recipe that is chosen, None when a model is trained further."""
        return next((row for row in self.recipes if row.name == self.recipe), None)

    @property
    def needs_features(self) -> bool:
        """Whether the recipe needs the file with VGG-19's weights."""
        return self.from_scratch is not None and self.from_scratch.needs_features

    @property
    def why_not(self) -> str:
        """Why nothing can be trained, "" when it can."""
        if self.needs_features and self.features is None:
            return "This recipe needs the file with the VGG-19 weights; choose it first."
        if self.from_scratch is None and self.base is None:
            return "Choose a model to train further, or a recipe to train from scratch."
        return ""


@dataclass(frozen=True)
class CaseChoice:
    """What is trained on. rows : the open layers. folder : the dataset's."""

    source: CaseSource = CaseSource.LAYERS
    rows: tuple[CaseRow, ...] = ()
    folder: Path | None = None

    @property
    def why_not(self) -> str:
        """Why there is nothing to train on, "" when there is."""
        if self.source is CaseSource.FOLDER:
            return "" if self.folder is not None else "Choose a dataset folder first."
        if not self.rows:
            return "Open an image and correct its mask first, or choose a dataset folder."
        return "" if any(row.ticked for row in self.rows) else "Tick a case first."


@dataclass(frozen=True)
class Options:
    """How it is trained. name : of the new model."""

    trainable: Trainable = Trainable.ALL
    minutes: float = 30.0
    hold_out: HoldOut = HoldOut.SHARE
    name: str = ""


@dataclass(frozen=True)
class JobProgress:
    """Where the job is. folder : the job's. spent : share of the budget. resumable : whether the job ended
    with a checkpoint and without a model.
    """

    folder: Path | None = None
    stage: str = ""
    step: int = 0
    spent: float | None = None
    seconds_left: float | None = None
    memory_mb: float | None = None
    resumable: bool = False


@dataclass(frozen=True)
class LearningCurves:
    """losses : (step, smoothed loss). labels : (name, colour) of the job. samples : the newest picture
    of each pictured held-out case.
    """

    losses: tuple[tuple[int, float], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    validations: tuple[CurvePoint, ...] = ()
    samples: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """better : whether the mean rose on the held-out cases; None when that is unknown. added : the
    bundle's name in Run model.
    """

    scores: tuple[Score, ...] = ()
    better: bool | None = None
    added: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class FineTuneState:
    """What is chosen, and where the training stands."""

    start: BaseChoice = BaseChoice()
    cases: CaseChoice = CaseChoice()
    options: Options = Options()
    phase: Phase = Phase.IDLE
    job: JobProgress = JobProgress()
    curves: LearningCurves = LearningCurves()
    outcome: Outcome = Outcome()
    message: str = ""
    details: str = ""

    @property
    def busy(self) -> bool:
        """Whether a training is under way in a process."""
        return self.phase in (Phase.PREPARING, Phase.RUNNING, Phase.PAUSING, Phase.STOPPING)

    @property
    def why_no_choice(self) -> str:
        """Why what is trained cannot be changed, "" when it can."""
        if self.phase is Phase.PAUSED:
            return "A training is paused."
        return "A training is running." if self.busy else ""

    @property
    def why_not(self) -> str:
        """Why Start cannot be pressed, "" when it can."""
        if self.busy:
            return "A training is running; stop it first."
        if self.phase is Phase.PAUSED:
            return "A training is paused; resume it, or stop it to make a model from its checkpoint."
        nameless = "" if self.options.name.strip() else "Give the new model a name first."
        return self.start.why_not or self.cases.why_not or nameless

    @property
    def why_no_pause(self) -> str:
        """Why Pause cannot be pressed, "" when it can."""
        return {
            Phase.RUNNING: "",
            Phase.PREPARING: "It is starting.",
            Phase.PAUSING: "It will pause after the current step.",
            Phase.STOPPING: "It is stopping.",
        }.get(self.phase, "No training is running.")

    @property
    def why_no_stop(self) -> str:
        """Why Stop cannot be pressed, "" when it can."""
        return {
            Phase.RUNNING: "",
            Phase.PAUSED: "",
            Phase.PREPARING: "It is starting.",
            Phase.PAUSING: "It is pausing.",
            Phase.STOPPING: "It is stopping.",
        }.get(self.phase, "No training is running.")
