"""What the Correct & export dock shows: values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from napari_ctseg.journal.folder import Kept


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
    GROW = "grow"
    SHRINK = "shrink"
    SMOOTH = "smooth"
    FILL_BETWEEN = "fill between slices"
    COPY_UP = "copy to next slice"


@dataclass(frozen=True)
class ClassRow:
    """One class. dice, slice_dice : against the truth, in all and in this slice; None where there is no
    truth, NaN where undefined.
    """

    value: int
    name: str
    colour: str
    locked: bool = False
    volume_ml: float = 0.0
    dice: float | None = None
    slice_dice: float | None = None


@dataclass(frozen=True)
class CorrectState:
    """truth : the layer that the metrics are against, None when there is none. reference : the study's truth,
    corrected or not. locked, reference_locked : whether napari's padlock is closed on the layer, on the
    reference. in_use : why another viewer keeps the layer from being changed here. window_why_not : why the
    brush cannot be limited to HU. brush_step_mm : the smallest change of the brush's size. kept : edits of an
    earlier time that wait to be restored. steps : what was done, oldest first, undone steps last. step : how
    many of them are done.
    """

    layers: tuple[str, ...] = ()
    layer: str | None = None
    truth: str | None = None
    locked: bool = False
    reference: str | None = None
    reference_locked: bool = False
    in_use: str = ""
    tool: Tool | None = Tool.PAN
    brush_mm: float = 10.0
    brush_step_mm: float = 1.0
    brush_3d: bool = False
    window_on: bool = False
    window_low_hu: float = -50.0
    window_high_hu: float = 200.0
    window_why_not: str = ""
    only_background: bool = False
    classes: tuple[ClassRow, ...] = ()
    selected: int = 0
    margin_mm: float = 3.0
    island_ml: float = 1.0
    working: str = ""
    exporting: bool = False
    kept: tuple[Kept, ...] = ()
    steps: tuple[str, ...] = ()
    step: int = 0
    saved: str = ""
    note: str = ""
    message: str = ""
    details: str = ""

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
    def which(self) -> str:
        """Which layer the tools change, and what becomes of the reference."""
        if self.in_use:
            return self.in_use
        if self.layer is None:
            return (
                f"“{self.reference}” is the reference (truth) and locked. No other mask is open."
                if self.reference
                else ""
            )
        if self.layer == self.reference:
            return (
                f"“{self.layer}” is the reference (truth) and locked."
                if self.locked
                else f"“{self.layer}” is the reference (truth) and unlocked: the tools edit the truth itself."
            )
        if self.locked:
            return f"“{self.layer}” is locked."
        compared = (
            f"It is compared with the reference “{self.truth}”."
            if self.truth
            else "There is no truth to compare it with."
        )
        if self.reference and not self.reference_locked:
            compared += f" “{self.reference}” is unlocked: napari's tools can edit it."
        return f"The tools edit “{self.layer}”. {compared}"

    @property
    def reference_at_risk(self) -> bool:
        """Whether the reference can be changed."""
        return self.reference is not None and not self.reference_locked

    @property
    def operation_why_not(self) -> str:
        """Why no operation can be done on the selected class."""
        if self.why_not or self.working:
            return self.why_not or f"Busy: {self.working}."
        row = next((row for row in self.classes if row.value == self.selected), None)
        if row is None:
            return "Choose a class first."
        return f"{row.name} is locked; unlock it first." if row.locked else ""
