"""A brush on a mirrored labels layer: it paints into the layer itself, by its rules and into its undo steps.

The tools of napari's Labels layer end in `_apply_mask_to_data` and in the methods that belong to one stroke;
the mirrored layer uses those of the layer that it mirrors, which `Painting` guards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ctseg.viewer.painting import Painting
from napari_ctseg.viewer.painting.brush_rules import Index

if TYPE_CHECKING:
    from napari.layers import Labels

LENT = (
    *("block_history", "_begin_stroke", "_commit_stroke", "_abort_stroke", "_save_history"),
    *("data_setitem", "undo", "redo"),
)


class MirroredStrokes:
    """Lends `side` the methods of `main`, and draws in each what was painted in the other until `close`."""

    def __init__(self, main: Labels, side: Labels) -> None:
        self._main, self._side, self._painting = main, side, Painting.of(main)
        for name in LENT:
            setattr(side, name, getattr(main, name))
        side._apply_mask_to_data = self._apply
        self._painting.painted.connect(self._painted)

    def close(self) -> None:
        """Draw no more."""
        self._painting.painted.disconnect(self._painted)

    def _apply(
        self, data: NDArray[Any], mask: NDArray[np.bool_], new_label: int, volume_slice: Index
    ) -> NDArray[np.bool_] | None:
        changed: NDArray[np.bool_] | None = self._main._apply_mask_to_data(
            data, mask, new_label, volume_slice
        )
        if changed is not None:
            self._painting.painted_on = self._side
        return changed

    def _painted(self, where: Index) -> None:
        painted_on = self._painting.painted_on
        if painted_on is self._side:
            draw_again(self._main, where)
        else:
            draw_again(self._side, where)


def draw_again(layer: Labels, where: Index) -> None:
    """Bring the part of the canvas that shows `where` of the array in line with the array."""
    slice_input = layer._slice_input
    if not layer.visible or not layer.loaded or layer._slice.empty:
        return
    at = layer._get_pt_not_disp()
    if any(not where[axis].start <= at[axis] < where[axis].stop for axis in slice_input.not_displayed):
        return
    where = layer._expand_updated_slice_for_contour(where)
    shown = tuple(where[axis] for axis in slice_input.displayed)
    image = layer._slice.image
    if not isinstance(layer.data, np.ndarray):  # what is shown is a copy
        within = tuple(part if k in slice_input.displayed else int(at[k]) for k, part in enumerate(where))
        image.raw[shown] = layer.data[within].transpose(np.argsort(np.argsort(slice_input.displayed)))
    colours = layer._raw_to_displayed(image.raw, data_slice=shown)
    image.view[shown] = colours
    layer.events.labels_update(data=colours, offset=[part.start for part in shown])
