"""The mask that the Correct dock follows, as its brush, its steps and its operations see it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ctseg_imaging.geometry import Match
from napari_ctseg.docks.correct.classes import class_rows
from napari_ctseg.docks.correct.followed_mask import FollowedMask
from napari_ctseg.docks.correct.state import (
    BrushState,
    CorrectState,
    GrowState,
    HuLimits,
    OperationSizes,
    PropagateState,
)
from napari_ctseg.docks.dock_controller import DockController
from napari_ctseg.viewer.layers import slice_of, source_of
from napari_ctseg.viewer.review import marks_of

if TYPE_CHECKING:
    from napari.layers import Labels as LabelsLayer

    from napari_ctseg.preferences import Preferences

OFF_GRID = "Image and mask have different grids; this tool needs an image on the mask's grid."


class MaskDock(DockController[CorrectState]):
    """A dock with one mask that is corrected. followed : that mask, None while there is none."""

    NAME = "correct"
    followed: FollowedMask | None = None

    @property
    def layer(self) -> LabelsLayer | None:
        """The layer of the mask."""
        return None if self.followed is None else self.followed.layer

    @property
    def image_why_not(self) -> str:
        """Why no operation on the class can look at the image, "" when it can."""
        if self.state.operation_why_not:
            return self.state.operation_why_not
        image = self.study.image
        if image is None or image not in self.viewer.layers:
            return "Open an image first."
        return "" if self.on_grid(self.viewer.layers[image]) else OFF_GRID

    def on_grid(self, image: Any) -> bool:
        """Whether an image layer has the mask's grid."""
        ours = None if self.layer is None else source_of(self.layer)
        theirs = source_of(image)
        return bool(ours and theirs and theirs.shown.matches(ours.shown) in (Match.SAME, Match.ROUNDING))

    @abstractmethod
    def choose(self, name: str) -> None:
        """Correct the mask of this name."""

    def show(self, state: CorrectState) -> None:
        """Keep `state` and draw it, unless nothing changed."""
        if state != self.state or not state.mask.layers:
            super().show(state)

    def show_error(self, error: Exception, **changes: Any) -> None:
        """Show what went wrong; what was under way has ended."""
        ended = {"working": "", "export": replace(self.state.export, running=False)}
        super().show_error(error, **{**ended, **changes})

    def show_numbers(self, event: Any = None) -> None:
        """The rows of the classes from layer, locks, counts and slider."""
        if (followed := self.followed) is not None:
            here = slice_of(self.viewer, followed.truth) if followed.judged else None
            marks = marks_of(followed.layer).classes
            rows = class_rows(followed.labels, followed.painting.rules.locked, followed.live, here, marks)
            self.update(classes=replace(self.state.classes, rows=rows, note=followed.note))


def remembered(preferences: Preferences) -> CorrectState:
    """The state at the start, with the sizes and limits of the last session."""
    brush, hu, sizes = BrushState(), HuLimits(), OperationSizes()

    def last(key: str, default: float) -> float:
        return float(preferences.get(MaskDock.NAME, key, default))

    return CorrectState(
        brush=replace(brush, diameter_mm=last("brush_mm", brush.diameter_mm)),
        hu=replace(hu, low_hu=last("window_low_hu", hu.low_hu), high_hu=last("window_high_hu", hu.high_hu)),
        grow=GrowState(reach_mm=last("reach_mm", GrowState().reach_mm)),
        propagate=PropagateState(int(last("propagate_slices", PropagateState().slices))),
        sizes=OperationSizes(last("margin_mm", sizes.margin_mm), last("island_ml", sizes.island_ml)),
    )
