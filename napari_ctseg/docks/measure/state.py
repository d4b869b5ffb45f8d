"""What the Measure dock shows: values only."""

from __future__ import annotations

from dataclasses import dataclass

from ctseg_imaging.measurements import Kind

NO_IMAGE = "Open a CT or MR (File > Open, or drop it on the canvas) to measure on it."


@dataclass(frozen=True)
class ShapeRow:
    """One measurement. slice : "axial 12". size : with its unit. mean : of a region, with SD and
    unit. on_canvas : the text next to the shape.
    """

    kind: Kind
    slice: str
    size: str
    mean: str
    on_canvas: str
    in_full: str


@dataclass(frozen=True)
class LabelRow:
    """One label of the mask. volume : in ml. mean : with SD and unit, "–" without an image on its grid."""

    value: int
    name: str
    colour: str
    volume: str
    mean: str


@dataclass(frozen=True)
class MeasureState:
    """image : the layer that is measured, None without one. refused : why it cannot be measured. tool : what
    the next drag draws, None: the pointer adjusts. selected : number of a row. mask : the label layer whose
    labels are listed. labels_note : what a user has to know about them.
    """

    image: str | None = None
    refused: str = ""
    unit: str = ""
    tool: Kind | None = None
    keep_tool: bool = False
    rows: tuple[ShapeRow, ...] = ()
    selected: int | None = None
    can_undo: bool = False
    mask: str | None = None
    labels: tuple[LabelRow, ...] = ()
    counting: bool = False
    labels_note: str = ""
    message: str = ""
    details: str = ""

    @property
    def why_not(self) -> str:
        """Why nothing can be drawn, "" when it can."""
        return NO_IMAGE if self.image is None else self.refused

    @property
    def why_not_save(self) -> str:
        """Why nothing can be saved."""
        if self.why_not:
            return self.why_not
        return "" if self.rows or self.labels else "Measure something first."
