"""Refine in the Correct & export dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QSlider

from napari_ctseg import parts
from napari_ctseg.docks.correct.previews.refining import Refining
from napari_ctseg.docks.correct.previews.widgets.preview_section import PreviewSection
from napari_ctseg.keys import table as keys

if TYPE_CHECKING:
    from napari_ctseg.docks.correct.state import ClassRow, CorrectState, RefineState

BEGIN = (
    "Changes the volume of the class by the model's probabilities; voxels that you corrected stay. "
    f"Key: {keys.REFINE.name}"
)
PERCENT = "Volume in % of the present one."
MOST_PERCENT = 300


class RefineSection(PreviewSection):
    """Volume in % and ml, and the threshold on the probabilities."""

    def __init__(self) -> None:
        self.percent = QSlider(Qt.Orientation.Horizontal)
        self.percent.setRange(0, MOST_PERCENT)
        self.percent.setToolTip(PERCENT)
        self.volume = parts.number("Volume of the class.", 0, 100_000, 0.1, " ml", 2)
        self.threshold = parts.number("The lowest probability of a voxel of the class.", 0, 1, 0.01, "", 3)
        fields = parts.form(("Volume", self.volume), ("Threshold", self.threshold))
        super().__init__("Refine…", BEGIN, Refining.TOOL, self.percent, fields)

    def connect_to(self, refining: Refining) -> None:
        """Pass changes on to `refining`."""
        self.follow(refining)
        self.percent.valueChanged.connect(refining.set_percent)
        self.volume.valueChanged.connect(refining.set_volume)
        self.threshold.valueChanged.connect(refining.set_threshold)

    def draw(self, state: CorrectState) -> None:
        """Show what is chosen."""
        refine = state.refine
        told = _told(refine, state.classes.selected_row)
        self.show_preview(state.preview, told, state.operation_why_not or refine.why_not)
        for box, value in (
            (self.percent, round(refine.percent)),
            (self.volume, refine.volume_ml),
            (self.threshold, refine.threshold),
        ):
            with QSignalBlocker(box):
                box.setEnabled(refine.most_ml > 0)
                box.setValue(value)


def _told(refine: RefineState, on: ClassRow | None) -> str:
    name = "" if on is None else on.name
    if not refine.most_ml:
        return f"{name}: reading the probabilities…"
    return f"{name}: {refine.volume_ml:.1f} ml, {refine.percent:.0f} % of {refine.present_ml:.1f} ml."
