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
    STOPPING = "stopping"  # asked to stop; it writes and scores its bundle
    DONE = "done"
    FAILED = "failed"


class Source(StrEnum):
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
class FineTuneState:
    """losses : (step, smoothed loss). validations : (step, mean Dice of the network on its own grid). spent : share of the budget.
    better : whether the mean rose on the held-out cases; None when that cannot be said. added : the bundle's name in Run model."""

    bundles: tuple[str, ...] = ()
    base: str | None = None
    source: Source = Source.LAYERS
    cases: tuple[CaseRow, ...] = ()
    folder: Path | None = None
    trainable: Trainable = Trainable.ALL
    minutes: float = 30.0
    hold_out: HoldOut = HoldOut.SHARE
    name: str = ""
    phase: Phase = Phase.IDLE
    job: Path | None = None
    stage: str = ""
    losses: tuple[tuple[int, float], ...] = ()
    validations: tuple[tuple[int, float], ...] = ()
    step: int = 0
    spent: float | None = None
    seconds_left: float | None = None
    memory_mb: float | None = None
    scores: tuple[Score, ...] = ()
    better: bool | None = None
    added: str | None = None
    warnings: tuple[str, ...] = ()
    message: str = ""
    details: str = ""

    @property
    def busy(self) -> bool:
        """Whether a training is under way."""
        return self.phase in (Phase.PREPARING, Phase.RUNNING, Phase.STOPPING)

    @property
    def why_not(self) -> str:
        """Why Start cannot be pressed, "" when it can."""
        if self.busy:
            return "A training is under way; stop it first."
        if not self.bundles:
            return "No model is installed that can be trained further; add one with \"napari-ctseg bundle add PATH\"."
        if self.base is None:
            return "Choose a model first."
        if self.source is Source.LAYERS and not any(case.ticked for case in self.cases):
            return "Open an image and correct its mask first, or choose a dataset folder." if not self.cases else "Tick a case first."
        if self.source is Source.FOLDER and self.folder is None:
            return "Choose a dataset folder first."
        return "" if self.name.strip() else "Give the new model a name first."
