"""The layers of a structure that is grown: strokes inside and outside of it, and the outline it would get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctseg_imaging.editing import INSIDE, OUTSIDE
from napari_ctseg.docks.correct.previews.outline import Outline, helper_layer
from napari_ctseg.viewer.painting import Painting

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels as LabelsLayer

STROKES_NAME = "strokes"
# Okabe & Ito: distinguishable for colour-blind readers.
STROKE_COLOURS: dict[int | None, str] = {INSIDE: "#56B4E9", OUTSIDE: "#D55E00"}


class Strokes:
    """Adds both layers over `mask`, ready to paint inside; `close` takes them away.

    painting : of the strokes, with the undo steps of their own.
    """

    def __init__(self, viewer: napari.viewer.Viewer, mask: LabelsLayer) -> None:
        self._viewer = viewer
        self.preview = Outline(viewer, mask)
        self.layer = helper_layer(viewer, mask, STROKES_NAME, STROKE_COLOURS)
        self.layer.brush_size = mask.brush_size
        self.painting = Painting.of(self.layer)
        self.paint(INSIDE)

    @property
    def open(self) -> bool:
        """Whether the strokes are still in the viewer."""
        return self.layer in self._viewer.layers

    @property
    def stroke(self) -> int:
        """What the brush paints: INSIDE or OUTSIDE."""
        return int(self.layer.selected_label)

    def paint(self, stroke: int) -> None:
        """Take up the brush for strokes inside or outside."""
        self._viewer.layers.selection.active = self.layer
        self.layer.selected_label = stroke
        self.layer.mode = "paint"

    def close(self) -> None:
        """Take both layers out of the viewer."""
        self.preview.close()
        if self.open:
            self._viewer.layers.remove(self.layer)
