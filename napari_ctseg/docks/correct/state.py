"""What the Correct & export dock shows: values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from napari_ctseg.docks.correct.review.state import ReviewState
from napari_ctseg.journal.folder import Kept
from napari_ctseg.viewer.review import Mark


class Tool(StrEnum):
    """napari's tools by napari's names."""

    PAN = "pan_zoom"
    PAINT = "paint"
    ERASE = "erase"
    FILL = "fill"
    PICK = "pick"


class Operation(StrEnum):
    """Operations on one class, each one undo step."""

    FILL_HOLES = "fill holes"
    DROP_ISLANDS = "drop islands"
    EXPAND = "expand"
    SHRINK = "shrink"
    SMOOTH = "smooth"
    FILL_BETWEEN = "fill between slices"
    COPY_UP = "copy to next slice"


@dataclass(frozen=True)
class ClassRow:
    """One class. dice, slice_dice : against the truth, in all and in this slice; None where there is no
    truth, NaN where undefined. mark : of the review.
    """

    value: int
    name: str
    colour: str
    locked: bool = False
    volume_ml: float = 0.0
    dice: float | None = None
    slice_dice: float | None = None
    mark: Mark | None = None


@dataclass(frozen=True)
class MaskChoice:
    """Which mask is corrected, and what its reference is.

    layers : the label layers that can be chosen. truth : the layer that the metrics are against, None when
    there is none. reference : the study's truth, corrected or not. locked, reference_locked : whether
    napari's padlock is closed on the layer, on the reference. in_use : why another viewer keeps the layer
    from being changed here.
    """

    layers: tuple[str, ...] = ()
    layer: str | None = None
    truth: str | None = None
    locked: bool = False
    reference: str | None = None
    reference_locked: bool = False
    in_use: str = ""

    @property
    def why_not(self) -> str:
        """Why nothing can be painted, "" when it can."""
        if not self.layers:
            return "Run a model, open a label map, or add an empty mask first."
        if self.layer is None:
            return (
                f"{self.reference} is the reference; correct a copy, or unlock it."
                if self.reference
                else "Choose a mask first."
            )
        return self.in_use or (
            f"{self.layer} is locked; correct a copy, or unlock it." if self.locked else ""
        )

    @property
    def to_copy(self) -> str | None:
        """The locked layer of which a copy can be corrected instead."""
        if self.layer is None:
            return self.reference
        return self.layer if self.locked else None

    @property
    def padlock(self) -> str | None:
        """The layer that the padlock button is about: the corrected one where it is locked, else the
        reference.
        """
        return self.layer if self.locked else self.reference

    @property
    def padlock_closed(self) -> bool:
        """Whether that padlock is closed."""
        return self.locked or self.reference_locked

    @property
    def reference_at_risk(self) -> bool:
        """Whether the reference can be changed."""
        return self.reference is not None and not self.reference_locked


@dataclass(frozen=True)
class BrushState:
    """napari's tools. tool : None for a mode that has no button. step_mm : the smallest change of the
    diameter. in_3d : a ball instead of a disc.
    """

    tool: Tool | None = Tool.PAN
    diameter_mm: float = 10.0
    step_mm: float = 1.0
    in_3d: bool = False
    only_background: bool = False


@dataclass(frozen=True)
class HuLimits:
    """The image values that the brush is limited to. why_not : why it cannot be limited, "" when it can."""

    on: bool = False
    low_hu: float = -50.0
    high_hu: float = 200.0
    why_not: str = ""


@dataclass(frozen=True)
class ClassList:
    """The classes of the mask. selected : the value that is painted. note : what a user has to know about the
    numbers.
    """

    rows: tuple[ClassRow, ...] = ()
    selected: int = 0
    note: str = ""

    @property
    def selected_row(self) -> ClassRow | None:
        """The row of the class that is painted, None for the background."""
        return next((row for row in self.rows if row.value == self.selected), None)


@dataclass(frozen=True)
class OperationSizes:
    """margin_mm : of expand, shrink and smooth. island_ml : parts below this volume are islands."""

    margin_mm: float = 3.0
    island_ml: float = 1.0


@dataclass(frozen=True)
class GrowState:
    """Grow from seeds. stroke : what the brush paints, INSIDE or OUTSIDE; None while nothing is grown.
    reach_mm : how far beyond the strokes the shape may go. computing : a new shape is under way. drawing :
    the mouse draws the box. slices : the first and last one of the box, None without it. depth : how many
    slices there are along its axis.
    """

    stroke: int | None = None
    reach_mm: float = 15.0
    volume_ml: float = 0.0
    computing: bool = False
    drawing: bool = False
    slices: tuple[int, int] | None = None
    depth: int = 0


@dataclass(frozen=True)
class PreviewState:
    """A change that is shown and not made yet. tool : its name, "" for none. ready : it can be applied."""

    tool: str = ""
    ready: bool = False


@dataclass(frozen=True)
class RefineState:
    """A class at another volume. why_not : why it cannot be, "" when it can. present_ml : its volume before.
    most_ml : of all voxels that can belong to it. threshold : on the probabilities, 0 to 1.
    """

    why_not: str = ""
    present_ml: float = 0.0
    most_ml: float = 0.0
    volume_ml: float = 0.0
    threshold: float = 0.5

    @property
    def percent(self) -> float:
        """The volume in % of the present one."""
        return 100 * self.volume_ml / self.present_ml if self.present_ml else 100.0


@dataclass(frozen=True)
class PropagateState:
    """slices : how many change on either side."""

    slices: int = 3


@dataclass(frozen=True)
class SnapState:
    """points : set so far. along : the edge map that the line follows, "" for the image's gradient."""

    points: int = 0
    along: str = ""


@dataclass(frozen=True)
class AcceptState:
    """sources : the label layers that a class can be accepted from. source : the one that is."""

    sources: tuple[str, ...] = ()
    source: str | None = None


@dataclass(frozen=True)
class UndoSteps:
    """lines : what was done, oldest first, undone steps last. done : how many of them are done."""

    lines: tuple[str, ...] = ()
    done: int = 0


@dataclass(frozen=True)
class ExportState:
    """unsaved : how much of the mask is saved for recovery only, in words."""

    running: bool = False
    unsaved: str = ""


@dataclass(frozen=True)
class CorrectState:
    """One value for each section of the dock. kept : edits of an earlier time that wait to be restored.
    working : what is being computed.
    """

    mask: MaskChoice = MaskChoice()
    brush: BrushState = BrushState()
    hu: HuLimits = HuLimits()
    classes: ClassList = ClassList()
    sizes: OperationSizes = OperationSizes()
    grow: GrowState = GrowState()
    preview: PreviewState = PreviewState()
    refine: RefineState = RefineState()
    propagate: PropagateState = PropagateState()
    snap: SnapState = SnapState()
    accept: AcceptState = AcceptState()
    review: ReviewState = field(default_factory=ReviewState)
    steps: UndoSteps = UndoSteps()
    export: ExportState = ExportState()
    kept: tuple[Kept, ...] = ()
    working: str = ""
    message: str = ""
    details: str = ""

    @property
    def edit_why_not(self) -> str:
        """Why no operation can be done on any class."""
        if self.mask.why_not or self.working:
            return self.mask.why_not or f"Busy: {self.working}."
        if self.grow.stroke is not None:
            return "Accept or discard the grown outline first."
        if self.preview.tool:
            return f"Apply or cancel {self.preview.tool} first."
        return ""

    @property
    def operation_why_not(self) -> str:
        """Why no operation can be done on the selected class."""
        if self.edit_why_not:
            return self.edit_why_not
        row = self.classes.selected_row
        if row is None:
            return "Choose a class first."
        return f"{row.name} is locked; unlock it first." if row.locked else ""

    @property
    def export_why_not(self) -> str:
        """Why the mask cannot be exported; a locked mask, or one that another viewer edits, can."""
        if self.mask.why_not and not (self.mask.locked or self.mask.in_use):
            return self.mask.why_not
        return "An export is running." if self.export.running else ""
