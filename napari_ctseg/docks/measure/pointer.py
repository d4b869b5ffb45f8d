"""The mouse on the canvas: draws with the tool in hand, and moves handles when there is none."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ctseg_imaging.geometry import Float
from ctseg_imaging.measurements import DrawnShape, Kind
from napari_ctseg.docks.measure.plane import Plane
from napari_ctseg.docks.measure.shapes.forming import BODY, CLICKED, formed, moved, shifted, taken_at
from napari_ctseg.viewer.mouse import mouse_of

if TYPE_CHECKING:
    import napari

REACH_PX = 8.0  # how near to a handle or a line a press has to be
STILL_PX = 4.0  # a press that moves less is a click
CLOSES = {Kind.ANGLE: 3}  # with this many points a shape is complete by itself
Drag = Generator[None, None, None]


class Canvas(Protocol):
    """What the mouse works on: the controller."""

    @property
    def tool(self) -> Kind | None:
        """What is drawn by the next drag."""

    def plane(self) -> Plane | None:
        """The slice that can be drawn on now."""

    def on_plane(self, world: Any) -> Float:
        """A point of the viewer's world in mm within that slice."""

    def shapes_here(self) -> tuple[tuple[int, DrawnShape], ...]:
        """The shapes on that slice that may be moved now, with their numbers."""

    def begin(self, shape: DrawnShape | None, number: int | None = None) -> bool:
        """A step begins: a new shape, or the change of one; False where it cannot."""

    def change(self, shape: DrawnShape) -> None:
        """The shape of the step looks like this now."""

    def finish(self) -> None:
        """The step is complete."""

    def cancel(self) -> None:
        """The step is taken back."""

    def select(self, number: int | None) -> None:
        """Mark a shape."""


class Pointer:
    """Turns the viewer's mouse events into steps of drawing until `close`."""

    def __init__(self, viewer: napari.viewer.Viewer, canvas: Canvas) -> None:
        self._viewer, self._canvas = viewer, canvas
        self._points: Float = np.zeros((0, 2))  # set so far by a tool that is clicked
        self._plane: Plane | None = None
        self._kept_double_clicks: list[Any] | None = None
        viewer.mouse_drag_callbacks.append(self._pressed)
        viewer.mouse_move_callbacks.append(self._hovered)
        mouse_of(viewer).claim(self._takes)

    def close(self) -> None:
        """Give the mouse back."""
        self.stop()
        self._viewer.mouse_drag_callbacks.remove(self._pressed)
        self._viewer.mouse_move_callbacks.remove(self._hovered)
        mouse_of(self._viewer).release(self._takes)

    @property
    def is_clicking(self) -> bool:
        """Whether a shape that is drawn by clicks is begun."""
        return len(self._points) > 0

    def stop(self) -> None:
        """Forget the points that were clicked; napari's double click is its own again."""
        self._points, self._plane = np.zeros((0, 2)), None
        if self._kept_double_clicks is not None:
            self._viewer.mouse_double_click_callbacks[:] = self._kept_double_clicks
            self._kept_double_clicks = None

    def close_shape(self) -> None:
        """End a polygon with the points clicked so far; with fewer than three there is none."""
        if not self.is_clicking:
            return
        points, plane, kind = self._points, self._plane, self._canvas.tool
        self.stop()
        if kind is None or plane is None or len(points) < 3:
            self._canvas.cancel()
            return
        self._canvas.change(formed(kind, plane, points))
        self._canvas.finish()

    def step_back(self) -> bool:
        """Take the last clicked point back; False if none was clicked."""
        if not self.is_clicking:
            return False
        if len(self._points) == 1:
            self.stop()
            self._canvas.cancel()
        else:
            self._points = self._points[:-1]
            self._follow(self._points[-1])
        return True

    # ---- the mouse

    def _takes(self, event: Any) -> bool:
        """Whether a press draws or takes a shape: the crosshair of linked planes stays where it is then."""
        plane = self._canvas.plane()
        if plane is None or self._canvas.tool is not None:
            return plane is not None
        at = self._canvas.on_plane(event.position)
        return self._taken(plane, at, self._mm(REACH_PX))[1] is not None

    def _pressed(self, viewer: Any, event: Any) -> Drag:
        plane = self._canvas.plane()
        if event.button != 1 or plane is None:
            return
        tool = self._canvas.tool
        if tool is None:
            yield from self._adjust(plane, event)
            return
        pan = viewer.scene.camera.mouse_pan
        viewer.scene.camera.mouse_pan, event.handled = False, True
        try:
            yield from self._click(tool, plane, event) if tool in CLICKED else self._drag(tool, plane, event)
        finally:
            viewer.scene.camera.mouse_pan = pan

    def _drag(self, tool: Kind, plane: Plane, event: Any) -> Drag:
        """From the press to the release; the last move before that may be missing, vispy drops some."""
        ends = np.repeat(self._canvas.on_plane(event.position)[None], 2, axis=0)
        begun, more = False, True
        while more:
            yield
            more, event.handled = event.type == "mouse_move", True
            if self._canvas.plane() != plane:
                return  # the slice was turned away under the drag
            ends[1] = self._canvas.on_plane(event.position)
            shape = formed(tool, plane, ends, "Shift" in event.modifiers)
            if begun:
                self._canvas.change(shape)
            elif self._away(ends[0], ends[1]):
                begun = self._canvas.begin(shape)
        if begun:
            self._canvas.finish()

    def _click(self, tool: Kind, plane: Plane, event: Any) -> Drag:
        """Each press sets a point; a drag sets one at its end too."""
        at = self._canvas.on_plane(event.position)
        if self.is_clicking:
            self._set(tool, at)
        else:
            self._plane, self._points = plane, at[None]
            self._kept_double_clicks = list(self._viewer.mouse_double_click_callbacks)
            self._viewer.mouse_double_click_callbacks[:] = [lambda viewer, event: self.close_shape()]
            self._canvas.begin(formed(tool, plane, self._points))
        more = True
        while more:
            yield
            more, event.handled = event.type == "mouse_move", True
            if self._canvas.plane() != plane:
                return
            last = self._canvas.on_plane(event.position)
            if more:
                self._follow(last)
        if self.is_clicking and self._away(at, last):
            self._set(tool, last)

    def _adjust(self, plane: Plane, event: Any) -> Drag:
        at, reach = self._canvas.on_plane(event.position), self._mm(REACH_PX)
        number, handle = self._taken(plane, at, reach)
        if number is None or handle is None:
            return
        camera, pan = self._viewer.scene.camera, self._viewer.scene.camera.mouse_pan
        camera.mouse_pan, event.handled = False, True
        self._canvas.select(number)
        try:
            yield from self._carry(plane, event, number, handle)
        finally:
            camera.mouse_pan = pan

    def _carry(self, plane: Plane, event: Any, number: int, handle: int) -> Drag:
        """Shape `number` follows the pointer by one of its handles, or as a whole."""
        at, before = self._canvas.on_plane(event.position), dict(self._canvas.shapes_here())[number]
        begun, more = False, True
        while more:
            yield
            more, event.handled = event.type == "mouse_move", True
            if self._canvas.plane() != plane:
                return
            to = self._canvas.on_plane(event.position)
            if not begun and self._away(at, to):
                begun = self._canvas.begin(None, number)
            if begun and handle == BODY:
                self._canvas.change(shifted(before, plane, to - at))
            elif begun:
                self._canvas.change(moved(before, plane, handle, to, "Shift" in event.modifiers))
        if begun:
            self._canvas.finish()

    def _hovered(self, viewer: Any, event: Any) -> None:
        plane = self._canvas.plane()
        if plane is None:
            return
        if self.is_clicking:
            if not event.is_dragging:
                self._follow(self._canvas.on_plane(event.position))
        elif self._canvas.tool is None and not event.is_dragging:
            here = self._canvas.shapes_here()
            if here:
                at = self._canvas.on_plane(event.position)
                _, handle = self._taken(plane, at, self._mm(REACH_PX))
                style = "standard" if handle is None else "pointing"
                if viewer.cursor.style != style:
                    viewer.cursor.style = style

    # ---- inside

    def _set(self, tool: Kind, at: Float) -> None:
        """One more point; the shape is finished where it needs no other."""
        assert self._plane is not None
        self._points = np.concatenate([self._points, at[None]])
        self._canvas.change(formed(tool, self._plane, self._points))
        if len(self._points) == CLOSES.get(tool):
            self.stop()
            self._canvas.finish()

    def _follow(self, at: Float) -> None:
        """Draw what is clicked so far, with the pointer as its next point."""
        tool = self._canvas.tool
        if self._plane is not None and tool is not None:
            self._canvas.change(formed(tool, self._plane, np.concatenate([self._points, at[None]])))

    def _taken(self, plane: Plane, at: Float, reach: float) -> tuple[int | None, int | None]:
        """The topmost shape near a point, and by which handle; a handle goes before a line."""
        found = [
            (number, handle)
            for number, shape in reversed(self._canvas.shapes_here())
            if (handle := taken_at(shape, plane, at, reach)) is not None
        ]
        return next(((n, h) for n, h in found if h != BODY), found[0] if found else (None, None))

    def _away(self, start: Float, now: Float) -> bool:
        return float(np.linalg.norm(now - start)) >= self._mm(STILL_PX)

    def _mm(self, pixels: float) -> float:
        return pixels / float(self._viewer.scene.camera.zoom)
