"""The toggle between napari's mouse and that of a radiology viewer: one for a window, remembered."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_ctseg import notices
from napari_ctseg.keys import bind
from napari_ctseg.keys import table as keys
from napari_ctseg.preferences import Preferences, PreferencesError
from napari_ctseg.viewer import orientation
from napari_ctseg.viewer.mouse.canvas_mouse import CanvasMouse
from napari_ctseg.viewer.proxies import unwrapped

if TYPE_CHECKING:
    import napari
    from napari.components import ViewerModel
    from napari.layers import Image

SECTION, SETTING = "viewer", "radiology_mouse"


class RadiologyMouse:
    """Wheel for slices, Ctrl+wheel for zoom, middle button for pan, right button for the window, double click
    for one large plane; `mouse_of` returns the one object of a viewer.

    changed : it was switched on or off. enlarged : a canvas was double-clicked. targets : the images whose
    window the right button sets; the Window dock puts its own choice here.
    """

    changed = Signal(bool)
    enlarged = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._preferences = Preferences()
        self._canvases: list[CanvasMouse] = []
        image = orientation.attach(viewer).image
        self.targets: Callable[[], list[Image]] = lambda: [shown] if (shown := image()) is not None else []
        self._claims: list[weakref.WeakMethod[Callable[[Any], bool]]] = []
        self.is_on = bool(self._preferences.get(SECTION, SETTING, False))
        self.serve(viewer)
        bind(viewer, keys.MOUSE, self.toggle)

    def serve(self, model: ViewerModel) -> None:
        """Act on another canvas that shows the viewer's layers."""
        canvas = CanvasMouse(model, lambda: self.targets(), self.enlarged.emit)
        self._canvases.append(canvas)
        canvas.turn(self.is_on)

    def leave(self, model: ViewerModel) -> None:
        """Act on a canvas no longer; its mouse is napari's."""
        for canvas in [one for one in self._canvases if one.model is model]:
            canvas.turn(False)
            self._canvases.remove(canvas)

    def claim(self, takes: Callable[[Any], bool]) -> None:
        """Ask `takes`, a method, whether its owner takes the left button at a press on the main canvas."""
        self._claims.append(weakref.WeakMethod(takes))

    def release(self, takes: Callable[[Any], bool]) -> None:
        """Ask it no longer."""
        self._claims.remove(weakref.WeakMethod(takes))

    def is_claimed(self, event: Any) -> bool:
        """Whether one of them takes the left button that is pressed now."""
        return any(takes(event) for claim in self._claims if (takes := claim()) is not None)

    def toggle(self) -> None:
        """Switch between this and napari's own mouse."""
        self.turn(not self.is_on)

    def turn(self, on: bool) -> None:
        """Switch it on or off, and remember that."""
        if on == self.is_on:
            return
        self.is_on = on
        for canvas in self._canvases:
            canvas.turn(on)
        try:
            self._preferences.set(SECTION, SETTING, on)
        except PreferencesError as error:
            notices.warning(str(error))
        self.changed.emit(on)


_MICE: weakref.WeakKeyDictionary[Any, RadiologyMouse] = weakref.WeakKeyDictionary()


def mouse_of(viewer: napari.viewer.Viewer) -> RadiologyMouse:
    """The one RadiologyMouse of a viewer, made at the first call."""
    viewer = unwrapped(viewer)
    orientation.attach(viewer)  # which asks for the mouse, too
    if viewer not in _MICE:
        _MICE[viewer] = RadiologyMouse(viewer)
    return _MICE[viewer]
