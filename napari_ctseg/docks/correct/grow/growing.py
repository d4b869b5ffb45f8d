"""Grow from seeds in the Correct dock: strokes, a preview after each of them, and one undo step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.editing import INSIDE, OUTSIDE, box_of_seeds, grow_from_seeds
from ctseg_imaging.editing.morphology import Slices
from ctseg_imaging.geometry import Triple
from napari_ctseg.background.threads import LatestCall, ThreadedCall
from napari_ctseg.docks.correct.grow.box import GrowBox, box_of
from napari_ctseg.docks.correct.grow.box_layers import BoxLayers
from napari_ctseg.docks.correct.grow.strokes import Strokes
from napari_ctseg.docks.correct.mask_dock import MaskDock
from napari_ctseg.keys import bind
from napari_ctseg.keys import table as keys
from napari_ctseg.viewer.painting import set_mask

if TYPE_CHECKING:
    from napari.layers import Labels as LabelsLayer

OUTSIDE_IMAGE = "The rectangle lies outside of the mask; draw it over the structure."


@dataclass(frozen=True, eq=False)
class Grown:
    """The shape of the strokes of one moment. box : where mask lies in the layer, None without strokes."""

    box: Slices | None = None
    mask: NDArray[np.bool_] | None = None

    @property
    def voxels(self) -> int:
        """How many voxels it has."""
        return 0 if self.mask is None else int(self.mask.sum())


class Growing:
    """Grows the selected class of the dock's mask from strokes on its image."""

    def __init__(self, dock: MaskDock, aside: ThreadedCall) -> None:
        self._dock, self._call = dock, LatestCall(aside, self._failed)
        self._strokes: Strokes | None = None
        self._target: tuple[LabelsLayer, int] | None = None
        self._layers: BoxLayers | None = None
        self._box: GrowBox | None = None
        self._grown = Grown()

    # ---- what the user does

    def begin(self) -> None:
        """Add the layer of strokes; with one already there, go on painting inside."""
        dock, layer = self._dock, self._dock.layer
        if self._strokes is not None:
            self.paint(INSIDE)
            return
        if layer is None or (why_not := self.why_not()):
            dock.update(message=dock.state.operation_why_not if layer is None else why_not)
            return
        self._target, self._grown = (layer, dock.state.classes.selected), Grown()
        self._strokes = strokes = Strokes(dock.viewer, layer)
        strokes.painting.touched.connect(self._touched)
        strokes.layer.events.selected_label.connect(self._show)
        self._layers, self._box = BoxLayers(dock.viewer, layer), None
        self._layers.drawn.connect(self._drawn)
        bind(strokes.layer, keys.SWAP_STROKES, self.swap)
        bind(strokes.layer, keys.GROW_IN_BOX, self.draw_box)
        bind(strokes.layer, keys.ACCEPT_GROWN, self.accept)
        bind(strokes.layer, keys.DISCARD_GROWN, self.discard)
        self._show()

    def paint(self, stroke: int) -> None:
        """Paint INSIDE or OUTSIDE."""
        if self._strokes is not None and self._layers is not None:
            self._layers.stop_drawing()
            self._strokes.paint(stroke)
            self._show()

    def swap(self) -> None:
        """Paint outside after inside, and the reverse."""
        if self._strokes is not None:
            self.paint(INSIDE if self._strokes.stroke == OUTSIDE else OUTSIDE)

    def set_reach(self, reach_mm: float) -> None:
        """How far beyond the strokes the shape may go."""
        self._dock.update(grow=replace(self._dock.state.grow, reach_mm=reach_mm))
        self._dock.remember("reach_mm", reach_mm)
        self._touched()

    def draw_box(self) -> None:
        """Draw a rectangle; the shape stays in it, and in the slices that are in reach of this one."""
        if self._layers is not None:
            self._layers.draw()
            self._show()

    def set_slices(self, first: int, last: int) -> None:
        """The first and the last slice of the box."""
        if self._box is not None and (first, last) != self._box.slices:
            self._set_box(self._box.between(first, last))

    def remove_box(self) -> None:
        """Grow within reach of the strokes again."""
        self._set_box(None)

    def accept(self) -> None:
        """Add the shape to the class as one undo step; the strokes go."""
        if self._strokes is None or self._target is None or not self._call.idle:
            return
        (layer, value), grown = self._target, self._grown
        record: dict[str, Any] = {"operation": "grow from seeds", "label": value}
        if self._box is None:
            record["mm"] = self._dock.state.grow.reach_mm
        else:
            record["box"] = [self._box.start, self._box.stop]
        self.discard()
        if layer not in self._dock.viewer.layers or grown.box is None:
            return
        wanted = np.asarray(layer.data) == value
        wanted[grown.box] |= grown.mask
        changed = set_mask(layer, value, wanted, record)
        self._dock.update(message=f"Grow from seeds: {changed} voxels changed.")

    def discard(self) -> None:
        """Take the strokes and the preview away; a shape under way is dropped."""
        if (strokes := self._strokes) is None:
            return
        layers, self._layers, self._box = self._layers, None, None
        self._strokes, self._grown = None, Grown()
        strokes.painting.touched.disconnect(self._touched)
        if layers is not None:
            layers.close()
        strokes.close()
        if self._target is not None and self._target[0] in self._dock.viewer.layers:
            self._dock.viewer.layers.selection.active = self._target[0]
        self._target = None
        self._show()

    # ---- what happens elsewhere

    def refresh(self) -> None:
        """Give up where the strokes or the mask are gone or another mask is corrected."""
        if self._strokes is not None and not (self._strokes.open and self._same_mask()):
            self.discard()
        if self._box is not None and self._layers is not None and not self._layers.shown:
            self._set_box(None)
        self._show()

    def why_not(self) -> str:
        """Why nothing can be grown, "" when it can."""
        return self._dock.image_why_not

    # ---- inside

    def _same_mask(self) -> bool:
        return self._target is not None and self._dock.layer == self._target[0]

    def _drawn(self, corners: NDArray[np.floating]) -> None:
        if self._strokes is None or self._target is None:
            return
        layer, dims = self._target[0], self._dock.viewer.dims
        axis = dims.not_displayed[-1] - (dims.ndim - 3) if dims.ndisplay == 2 else 0
        reach = round(self._dock.state.grow.reach_mm / float(layer.scale[axis]))
        z, y, x = layer.data.shape
        box = box_of(corners, (z, y, x), axis, reach)
        self.paint(self._strokes.stroke)
        if box is None:
            self._dock.update(message=OUTSIDE_IMAGE, details="")
        else:
            self._set_box(box)

    def _set_box(self, box: GrowBox | None) -> None:
        if self._layers is not None:
            self._box = None  # while its layer is replaced
            self._layers.show(box)
            self._box = box
            self._touched()

    def _touched(self, slices: tuple[int, ...] = ()) -> None:
        """Grow again, from the strokes as they are when the computation begins."""
        if self._strokes is None or self._target is None:
            return
        dock, strokes = self._dock, self._strokes
        image = dock.viewer.layers[dock.study.image].data
        seeds, reach_mm, box = strokes.layer.data, dock.state.grow.reach_mm, self._box
        z, y, x = (float(step) for step in self._target[0].scale)
        self._call.ask(
            lambda: _grown(image, seeds, (z, y, x), reach_mm, box), lambda grown: self._done(strokes, grown)
        )
        self._show()

    def _done(self, strokes: Strokes, grown: Grown) -> None:
        if self._strokes is strokes:
            self._grown = grown
            strokes.preview.draw(grown.box, grown.mask)
        self._show()

    def _failed(self, error: Exception) -> None:
        self._dock.show_error(error)
        self._show()

    def _show(self, event: Any = None) -> None:
        strokes, layer = self._strokes, self._dock.layer
        voxel_ml = 0.0 if layer is None else float(np.prod(layer.scale)) / 1000
        grow = replace(
            self._dock.state.grow,
            stroke=None if strokes is None else strokes.stroke,
            computing=not self._call.idle and strokes is not None,
            volume_ml=self._grown.voxels * voxel_ml,
            drawing=self._layers is not None and self._layers.drawing,
            slices=None if self._box is None else self._box.slices,
            depth=0 if self._box is None or layer is None else layer.data.shape[self._box.axis],
        )
        self._dock.update(grow=grow)


def _grown(
    image: Any, strokes: NDArray[np.uint8], spacing_mm: Triple, reach_mm: float, within: GrowBox | None
) -> Grown:
    """What grows from the strokes. image : (z, y, x), any kind of array on the grid of the strokes. within :
    the box in which it stays; strokes outside of that count for nothing.
    """
    if within is not None:
        z, y, x = strokes.shape
        framed = within.framed((z, y, x))
        seeds, inner = np.zeros_like(strokes[framed]), within.within(framed)
        seeds[inner] = strokes[framed][inner]
        return Grown(framed, grow_from_seeds(np.asarray(image[framed]), seeds, spacing_mm))
    box = box_of_seeds(strokes, reach_mm, spacing_mm)
    if box is None:
        return Grown()
    return Grown(box, grow_from_seeds(np.asarray(image[box]), strokes[box].copy(), spacing_mm))
