"""The left button while planes are linked: a click, or a drag of the crosshair, moves all three."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from napari_ctseg.viewer.mouse import RadiologyMouse
from napari_ctseg.viewer.mouse.canvas_mouse import LEFT, camera_at_rest, is_free
from napari_ctseg.viewer.planes.place import go_to

REACH_PX = 6.0  # how near to a line a press has to be to take hold of it
STILL_PX = 4.0  # a press that moves less is a click
Drag = Generator[None, None, None]


class CrosshairMouse:
    """Serves one canvas until `close`. place : the viewer model whose point is moved."""

    def __init__(self, model: Any, place: Any, mouse: RadiologyMouse) -> None:
        self._model, self._place, self._mouse = model, place, mouse
        model.mouse_drag_callbacks.append(self._press)

    def close(self) -> None:
        """Give the left button back."""
        self._model.mouse_drag_callbacks.remove(self._press)

    def _press(self, model: Any, event: Any) -> Drag:
        if event.button != LEFT or event.modifiers or model.dims.ndisplay != 2 or not is_free(model):
            return
        if model is self._place and self._mouse.is_claimed(event):
            return
        yield from self._pull(event) if self._mouse.is_on or self._is_near(event) else self._click(event)

    def _pull(self, event: Any) -> Drag:
        """The crosshair follows the pointer."""
        event.handled = True
        with camera_at_rest(self._model):
            going = True
            while going:
                go_to(self._place, event.position)
                yield
                going = event.type == "mouse_move"
            go_to(self._place, event.position)  # of the release: napari drops some moves before it

    def _click(self, event: Any) -> Drag:
        """The crosshair comes to a click; a drag stays napari's and pans."""
        start, position, still, going = np.array(event.pos), event.position, True, True
        while going:
            yield
            still = still and float(np.linalg.norm(np.array(event.pos) - start)) < STILL_PX
            going = event.type == "mouse_move"
        if still:
            go_to(self._place, position)

    def _is_near(self, event: Any) -> bool:
        shown = list(self._model.dims.displayed)
        away = np.abs(np.asarray(event.position)[shown] - np.asarray(self._place.dims.point)[shown])
        return bool(away.min() * float(self._model.scene.camera.zoom) <= REACH_PX)
