"""Clicks on the canvas as pixels of the slice that is shown."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_ctseg.viewer.mouse import mouse_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels as LabelsLayer

STILL_PX = 4.0  # a press that moves less is a click; a longer one pans


class Clicked(Protocol):
    """What is clicked for. axis, index : the slice. pixel : (row, column) in it."""

    def set_point(self, axis: int, index: int, pixel: tuple[int, int]) -> None:
        """A click."""

    def follow(self, axis: int, index: int, pixel: tuple[int, int]) -> None:
        """The pointer moved."""

    def apply(self) -> None:
        """A double click."""


class Clicks:
    """Turns the viewer's mouse events into clicks on `layer` until `close`."""

    def __init__(self, viewer: napari.viewer.Viewer, layer: LabelsLayer, clicked: Clicked) -> None:
        self._viewer, self._layer, self._clicked = viewer, layer, clicked
        viewer.mouse_drag_callbacks.append(self._pressed)
        viewer.mouse_move_callbacks.append(self._moved)
        self._double_clicks = list(viewer.mouse_double_click_callbacks)
        viewer.mouse_double_click_callbacks[:] = [self._double_clicked]
        mouse_of(viewer).claim(self._takes)

    def close(self) -> None:
        """Give the mouse back."""
        self._viewer.mouse_drag_callbacks.remove(self._pressed)
        self._viewer.mouse_move_callbacks.remove(self._moved)
        self._viewer.mouse_double_click_callbacks[:] = self._double_clicks
        mouse_of(self._viewer).release(self._takes)

    def _takes(self, event: Any) -> bool:
        return self._at(event.position) is not None

    def _pressed(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        at, start = self._at(event.position), np.array(event.pos)
        if event.button != 1 or at is None:
            return
        far, more = False, True
        while more:
            yield
            more = event.type == "mouse_move"
            far |= bool(np.linalg.norm(np.array(event.pos) - start) >= STILL_PX)
        if not far:
            self._clicked.set_point(*at)

    def _moved(self, viewer: Any, event: Any) -> None:
        if not event.is_dragging and (at := self._at(event.position)) is not None:
            self._clicked.follow(*at)

    def _double_clicked(self, viewer: Any, event: Any) -> None:
        self._clicked.apply()

    def _at(self, world: Any) -> tuple[int, int, tuple[int, int]] | None:
        """Axis, index and pixel under a point of the viewer; None outside of the mask and in 3D."""
        if self._viewer.dims.ndisplay != 2:
            return None
        shape = self._layer.data.shape
        index = [round(float(i)) for i in self._layer.world_to_data(world)[-3:]]
        if any(not 0 <= i < n for i, n in zip(index, shape, strict=True)):
            return None
        axis = self._viewer.dims.not_displayed[-1] - (self._viewer.dims.ndim - 3)
        row, column = (i for k, i in enumerate(index) if k != axis)
        return axis, index[axis], (row, column)
