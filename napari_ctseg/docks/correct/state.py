"""What the Correct & export dock shows: values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from napari_ctseg.recovery import Kept


class Tool(StrEnum):
    """napari's tools by napari's names."""

    PAN = "pan_zoom"
    PAINT = "paint"
    ERASE = "erase"
    FILL = "fill"
    PICK = "pick"


class Operation(StrEnum):
    """What is done to one class at a time, each one undo step."""

    FILL_HOLES = "fill holes"
    DROP_ISLANDS = "drop islands"
    GROW = "grow"
    SHRINK = "shrink"
    SMOOTH = "smooth"
    FILL_BETWEEN = "fill between slices"
    COPY_UP = "copy to next slice"


@dataclass(frozen=True)
class ClassRow:
    """One class. dice, slice_dice : against the truth, in all and in this slice; None where there is no truth, NaN where undefined."""

    value: int
    name: str
    colour: str
    locked: bool = False
    volume_ml: float = 0.0
    dice: float | None = None
    slice_dice: float | None = None


@dataclass(frozen=True)
class CorrectState:
    """truth : the layer that the metrics are against, None when there is none. window_why_not : why the brush cannot be limited to HU.
    brush_step_mm : the smallest change of the brush's size. kept : edits of an earlier time that wait to be restored."""

    layers: tuple[str, ...] = ()
    layer: str | None = None
    truth: str | None = None
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
    saved: str = ""
    note: str = ""
    message: str = ""
    details: str = ""

    @property
    def why_not(self) -> str:
        """Why nothing can be painted, "" when it can."""
        if not self.layers:
            return "Run a model or open a label map first; or begin an empty mask."
        return "" if self.layer is not None else "Choose a mask first."

    @property
    def operation_why_not(self) -> str:
        """Why no operation can be done on the selected class."""
        if self.why_not or self.working:
            return self.why_not or f"Busy: {self.working}."
        row = next((row for row in self.classes if row.value == self.selected), None)
        if row is None:
            return "Choose a class first."
        return f"{row.name} is locked; unlock it first." if row.locked else ""
