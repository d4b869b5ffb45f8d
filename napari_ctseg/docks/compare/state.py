"""What the Compare dock shows: values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.metrics.reports.case_report import EMPTY_IN_BOTH, empty_note
from ctseg_imaging.metrics.surfaces import TIE
from napari_ctseg.docks.compare.components.listed import ComponentList


class Phase(StrEnum):
    """Where the comparison stands."""

    EMPTY = "empty"  # nothing to compare yet
    COUNTING = "counting"  # the first count, or resampling
    READY = "ready"
    FAILED = "failed"


class Surface(StrEnum):
    """How far the surface distances of a label are."""

    WAITING = "waiting"  # the label was changed since, or never measured
    FRESH = "fresh"


@dataclass(frozen=True)
class Row:
    """One label. Ratios in [0, 1], NaN where undefined; hd95_mm and nsd as measured last, even when they wait
    to be measured again.
    """

    value: int
    name: str
    colour: str
    dice: float
    volume_pred_ml: float
    volume_truth_ml: float
    hd95_mm: float | None = None
    nsd: float | None = None
    surface: Surface = Surface.WAITING

    @property
    def difference_ml(self) -> float:
        """Predicted minus true volume."""
        return self.volume_pred_ml - self.volume_truth_ml

    @property
    def note(self) -> str:
        """Which side has no voxels of the label, as the reports word it; "" if both have some."""
        return empty_note(self.volume_truth_ml, self.volume_pred_ml)

    @property
    def measured(self) -> bool:
        """Whether there is anything to measure."""
        return self.note != EMPTY_IN_BOTH


@dataclass(frozen=True, eq=False)
class DiceCurve:
    """Dice of one label in each slice; NaN where neither side has it."""

    value: int
    name: str
    colour: str
    dice: NDArray[np.float64]


@dataclass(frozen=True)
class PairChoice:
    """Which two layers are compared. layers : those that can be chosen. truth_guessed : no layer is known to
    be the truth, `truth` is only the newest that may be.
    """

    layers: tuple[str, ...] = ()
    prediction: str | None = None
    truth: str | None = None
    truth_guessed: bool = False

    @property
    def names(self) -> tuple[str | None, str | None]:
        """Prediction and truth."""
        return self.prediction, self.truth

    @property
    def empty(self) -> str:
        """What to do first where there are no two layers to compare; "" where there are."""
        if not self.layers:
            return (
                "Open a truth (File > Open) and run a model, or open two label maps; they are compared here."
            )
        if len(self.layers) == 1:
            return (
                f"“{self.layers[0]}” is open. Run a model, or open another label map (File > Open), to "
                "compare the two."
            )
        return ""

    @property
    def which(self) -> str:
        """Which layer is measured against which."""
        if self.why_not:
            return ""
        if self.truth_guessed:
            return (
                f"The truth is not known; “{self.truth}” is assumed. Choose another layer under Truth if "
                "that is wrong."
            )
        return f"“{self.prediction}” is compared with the reference “{self.truth}”."

    @property
    def why_not(self) -> str:
        """Why the two cannot be compared, "" when they can."""
        if len(self.layers) < 2:
            return "Two label layers are needed, a prediction and a truth."
        if self.prediction is None or self.truth is None:
            return "Choose a prediction and a truth first."
        if self.prediction == self.truth:
            return "Prediction and truth are the same layer; choose two."
        return ""


@dataclass(frozen=True)
class Overlays:
    """What is drawn on the layers. distance : whether the surface distance of the label in focus is shown.
    limit_mm : the ends of its colour scale, None while it is not there. focus : the label that overlays and
    plot are about, None: all.
    """

    contours: bool = False
    errors: bool = False
    distance: bool = False
    limit_mm: float | None = None
    focus: int | None = None


@dataclass(frozen=True, eq=False)
class Scores:
    """The numbers of the pair. note : what a user has to know about them. tolerance_mm : of the NSD.
    measuring : whether surface distances are being measured. spacing_mm : (z, y, x) of the truth. doubts :
    what looks wrong in the truth.
    """

    rows: tuple[Row, ...] = ()
    curves: tuple[DiceCurve, ...] = ()
    mean_dice: float = float("nan")
    note: str = ""
    tolerance_mm: float = 2.0
    measuring: bool = False
    spacing_mm: tuple[float, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def tolerance_note(self) -> str:
        """What a tolerance below the size of a voxel means, "" for a larger one."""
        if not self.spacing_mm or self.tolerance_mm >= max(self.spacing_mm) * (1 - TIE):
            return ""
        sides = " x ".join(f"{mm:g}" for mm in reversed(self.spacing_mm))
        return (
            f"The NSD tolerance is smaller than a voxel ({sides} mm): a surface that is one voxel off along "
            "its longest side counts as wrong."
        )


class WorseBy(StrEnum):
    """What the order of the worst slices goes by."""

    DICE = "by Dice"  # the mean over the labels
    AREA = "by wrong area"  # of voxels with another label than in the truth


@dataclass(frozen=True)
class SlicePosition:
    """The slice that is shown, along the truth's axis 0, feet to head; counted from 0. worse_by : the order
    of the worst slices.
    """

    index: int = 0
    count: int = 0
    worse_by: WorseBy = WorseBy.DICE


@dataclass(frozen=True, eq=False)
class CompareState:
    """One value for each section of the dock. saving : whether the report is being written. message : what
    just happened or why not.
    """

    pair: PairChoice = PairChoice()
    phase: Phase = Phase.EMPTY
    overlays: Overlays = Overlays()
    scores: Scores = Scores()
    slices: SlicePosition = SlicePosition()
    components: ComponentList = field(default_factory=ComponentList)
    saving: bool = False
    message: str = ""
    details: str = ""

    @property
    def why_not(self) -> str:
        """Why there is nothing to act on, "" when there is."""
        if self.pair.why_not:
            return self.pair.why_not
        if self.phase is Phase.COUNTING:
            return "Still counting."
        return "" if self.phase is Phase.READY else self.message or "Nothing has been compared yet."
