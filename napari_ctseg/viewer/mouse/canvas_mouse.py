"""Wheel, buttons and double click of one canvas, in place of napari's own."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components._viewer_mouse_bindings import dims_scroll, double_click_to_zoom
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

LEFT, RIGHT, MIDDLE = 1, 2, 3
ZOOM_PER_NOTCH = 1.1
PIXELS_PER_FOLD = 200.0  # of drag: the width changes by a factor of e, the level by one width
TOWARDS = (1, -1, -1)  # wheel away from the user: to the head, the front, the patient's right
OWN_RIGHT_BUTTON = ("paint", "polygon")  # modes in which napari itself uses the right button
Drag = Generator[None, None, None]


class CanvasMouse:
    """What the mouse does on one viewer model while it is switched on, in 2D; in 3D it is napari's."""

    def __init__(
        self, model: ViewerModel, targets: Callable[[], list[Image]], enlarge: Callable[[Any], None]
    ) -> None:
        self._model, self._targets, self._enlarge = weakref.ref(model), targets, enlarge
        self._turned = 0.0  # part of a notch that the wheel was turned

    @property
    def model(self) -> ViewerModel | None:
        """The viewer model it acts on."""
        return self._model()

    def turn(self, on: bool) -> None:
        """Put the callbacks in place of napari's, or napari's back."""
        if (model := self._model()) is None:
            return
        for callbacks, theirs, ours in (
            (model.mouse_wheel_callbacks, dims_scroll, self._wheel),
            (model.mouse_double_click_callbacks, double_click_to_zoom, self._double_click),
        ):
            _replace(callbacks, theirs, ours) if on else _replace(callbacks, ours, theirs)
        if on and self._press not in model.mouse_drag_callbacks:
            model.mouse_drag_callbacks.append(self._press)
        elif not on and self._press in model.mouse_drag_callbacks:
            model.mouse_drag_callbacks.remove(self._press)

    def _wheel(self, model: Any, event: Any) -> None:
        if model.dims.ndisplay == 3 or model.dims.ndim < 3:
            dims_scroll(model, event)
        elif "Control" in event.modifiers:
            zoom_about(model, event.position, ZOOM_PER_NOTCH ** float(event.delta[1]))
            event.handled = True
        elif not event.modifiers:
            event.handled = True  # vispy's camera would zoom
            self._turned += float(event.delta[1])
            notches = int(self._turned)
            self._turned -= notches
            step_slices(model, notches)

    def _double_click(self, model: Any, event: Any) -> None:
        if model.dims.ndisplay == 3:
            double_click_to_zoom(model, event)
        elif is_free(model):
            self._enlarge(model)

    def _press(self, model: Any, event: Any) -> Drag:
        if model.dims.ndisplay == 3 or event.handled:
            return
        if event.button == MIDDLE:
            yield from _alone(model, event, _pan(model, event, np.array(event.position)))
        elif event.button == RIGHT and mode_of(model) not in OWN_RIGHT_BUTTON:
            drag = _window(self._targets(), event, np.array(event.pos, float))
            yield from _alone(model, event, drag)


def mode_of(model: Any) -> str:
    """The active layer's mode, "pan_zoom" where no layer is active."""
    layer = model.layers.selection.active
    return "pan_zoom" if layer is None else str(layer.mode)


def is_free(model: Any) -> bool:
    """Whether no tool of napari's has the left button."""
    return mode_of(model) == "pan_zoom"


def step_slices(model: Any, notches: int) -> None:
    """Go `notches` slices on through the plane that is shown."""
    axis = model.dims.order[-3]
    spatial = axis - (model.dims.ndim - 3)
    towards = TOWARDS[spatial] if spatial >= 0 else 1
    if notches:
        model.dims.set_current_step(axis, model.dims.current_step[axis] + towards * notches)


def zoom_about(model: Any, position: Any, factor: float) -> None:
    """Zoom in by `factor`; the world `position` stays where it is on the canvas."""
    camera = model.scene.camera
    here = np.asarray(position)[list(model.dims.displayed)]
    centre = np.asarray(camera.center)[-2:]
    camera.zoom *= factor
    camera.center = tuple(centre + (here - centre) * (1 - 1 / factor))


@contextmanager
def camera_at_rest(model: Any) -> Iterator[None]:
    """The canvas neither pans nor zooms by itself within."""
    camera = model.scene.camera
    before = camera.mouse_pan, camera.mouse_zoom
    camera.mouse_pan = camera.mouse_zoom = False
    try:
        yield
    finally:
        camera.mouse_pan, camera.mouse_zoom = before


def _alone(model: Any, event: Any, drag: Drag) -> Drag:
    """A drag that neither napari's camera nor the active layer's tool sees: brush and eraser would draw with
    any button.
    """
    layer = model.layers.selection.active
    tools = [] if layer is None else list(layer.mouse_drag_callbacks)
    event.handled = True
    with camera_at_rest(model):
        if layer is not None:
            layer.mouse_drag_callbacks.clear()
        try:
            yield  # napari offers the press to the layer now
        finally:
            if layer is not None:
                layer.mouse_drag_callbacks[:0] = tools
        yield from drag


def _pan(model: Any, event: Any, grabbed: NDArray[Any]) -> Drag:
    """The world point that was pressed follows the pointer."""
    camera = model.scene.camera
    shown = list(model.dims.displayed)
    while True:
        moved = np.asarray(event.position)[shown] - grabbed[shown]
        camera.center = tuple(np.asarray(camera.center)[-2:] - moved)
        if event.type != "mouse_move":  # the release; napari drops some moves before it
            return
        yield


def _window(images: list[Any], event: Any, start: NDArray[Any]) -> Drag:
    """Across for the width, up and down for the level: up is brighter. start : the pixel that was pressed."""
    before = [(image, *map(float, image.contrast_limits)) for image in images]
    while True:
        across, down = np.array(event.pos, float) - start
        for image, low, high in before:
            width = (high - low) * math.exp(across / PIXELS_PER_FOLD)
            level = (high + low) / 2 + (high - low) * down / PIXELS_PER_FOLD
            set_limits(image, level - width / 2, level + width / 2)
        if event.type != "mouse_move":
            return
        yield


def set_limits(image: Any, low: float, high: float) -> None:
    """Set contrast limits, making room in the layer's range first: napari cuts them off otherwise."""
    lowest, highest = image.contrast_limits_range
    image.contrast_limits_range = (min(low, lowest), max(high, highest))
    image.contrast_limits = (low, high)


def _replace(callbacks: list[Any], old: Any, new: Any) -> None:
    if new not in callbacks:
        at = callbacks.index(old) if old in callbacks else len(callbacks)
        callbacks[at : at + 1] = [new]
