"""The shapes on one image: drawn by the pointer, measured, and kept in the image's layer of measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ctseg_imaging.geometry import Float
from ctseg_imaging.measurements import DrawnShape, Kind
from napari_ctseg.docks.measure.measured_image import MeasuredImage
from napari_ctseg.docks.measure.plane import Plane
from napari_ctseg.docks.measure.rows import shape_row
from napari_ctseg.docks.measure.shapes.drawing import Drawing
from napari_ctseg.docks.measure.shapes_layer import ShapesLayer
from napari_ctseg.docks.measure.state import ShapeRow

if TYPE_CHECKING:
    import napari


class Sheet:
    """image : what is measured, None without one. tool : what the next drag draws. rows : one a shape.
    selected : number of a shape. changed : called after every change. finished : called when a shape is
    complete.
    """

    def __init__(
        self, viewer: napari.viewer.Viewer, changed: Callable[[], None], finished: Callable[[], None]
    ) -> None:
        self._viewer, self._changed, self._finished = viewer, changed, finished
        self.image: MeasuredImage | None = None
        self.layer: ShapesLayer | None = None
        self.tool: Kind | None = None
        self.drawing = Drawing()
        self.rows: tuple[ShapeRow, ...] = ()
        self.selected: int | None = None
        self._number: int | None = None  # of the shape of the step under way
        self._plane: Plane | None = None  # that it is drawn on

    # ---- image and layer

    def find_layer(self) -> bool:
        """Take the layer on the image's grid that the viewer has, if any; True if it is another one."""
        found = None if self.image is None else ShapesLayer.found(self._viewer, self.image, self._taken_over)
        if found is not None and self.layer is not None and found.layer is self.layer.layer:
            found.close()
            return False
        changed = found is not None or self.layer is not None
        self.close()
        self._use(found)
        return changed

    def make_layer(self) -> ShapesLayer:
        """The layer to draw on, made where there is none."""
        assert self.image is not None
        if self.layer is None:
            self._use(ShapesLayer.made(self._viewer, self.image, self._taken_over))
        assert self.layer is not None
        return self.layer

    def close(self) -> None:
        """Let go of the layer, which stays in the viewer."""
        if self.layer is not None:
            self.layer.close()
        self.layer = None

    @property
    def in_front(self) -> bool:
        """Whether the layer is the active one, seen, and none of napari's own tools is chosen."""
        layer = None if self.layer is None else self.layer.layer
        active = self._viewer.layers.selection.active
        return layer is not None and active is layer and bool(layer.visible) and str(layer.mode) == "pan_zoom"

    def fit_zoom(self) -> None:
        """Lines keep their width on the screen."""
        if self.layer is not None:
            self.layer.fit_zoom(float(self._viewer.scene.camera.zoom))

    # ---- what the pointer asks and does

    def plane(self) -> Plane | None:
        """The slice in front, where it can be drawn on."""
        return self.image.plane(self._viewer) if self.image is not None and self.in_front else None

    def on_plane(self, world: Any) -> Float:
        """A point of the viewer's world in mm within that slice."""
        plane = self.plane()
        assert self.image is not None and plane is not None
        return plane.clipped(plane.flat_mm(self.image.index_at(world)))

    def shapes_here(self) -> tuple[tuple[int, DrawnShape], ...]:
        """The shapes of the slice in front, with their numbers."""
        if (plane := self.plane()) is None:
            return ()
        return tuple((k, shape) for k, shape in enumerate(self.drawing.shapes) if plane.holds(shape))

    def begin(self, shape: DrawnShape | None, number: int | None = None) -> bool:
        """A step begins: a new shape, or the change of shape `number`; False where it would leave the
        image.
        """
        plane = self.plane()
        if plane is None or (shape is not None and not plane.contains(shape)):
            return False
        self.drawing.begin()
        self._number, self._plane = number, plane
        if shape is not None:
            self.drawing.add([shape])
            self._number = len(self.drawing.shapes) - 1
            self._redraw(self._number)
        return True

    def change(self, shape: DrawnShape) -> None:
        """The shape of the step looks like this now; it alone is measured again. One that leaves the image
        stays as it was.
        """
        k, plane = self._number, self._plane
        if k is None or plane is None or self.layer is None or self.image is None:
            return
        if not self.drawing.under_way or not plane.contains(shape):
            return
        self.drawing.replace(k, shape)
        self.rows = (*self.rows[:k], shape_row(shape, self.image), *self.rows[k + 1 :])
        self.layer.move(k, self.drawing.shapes, self._labels())
        self._changed()

    def finish(self) -> None:
        """The step is complete."""
        self.drawing.commit()
        self._redraw(self._number)
        self._finished()

    @property
    def turned_away(self) -> bool:
        """Whether the slice of the current step has been left."""
        return self.drawing.under_way and self.plane() != self._plane

    def cancel(self) -> None:
        """Take the step under way back."""
        if self.drawing.under_way:
            self.drawing.cancel()
            self._redraw(None)

    def select(self, number: int | None) -> None:
        """Mark a shape."""
        self.selected = number
        if self.layer is not None:
            self.layer.select(len(self.drawing.shapes), number)
        self._changed()

    # ---- what the dock does

    def add(self, shapes: Iterable[DrawnShape]) -> None:
        """Add shapes: one undo step."""
        self.make_layer()
        self.drawing.begin()
        self.drawing.add(shapes)
        self.drawing.commit()
        self._redraw(None)

    def remove(self, number: int) -> None:
        """Remove a shape: one undo step."""
        self.drawing.begin()
        self.drawing.remove(number)
        self.drawing.commit()
        self._redraw(None)

    def undo(self) -> None:
        """Take back the step under way, or the last one."""
        self.drawing.undo()
        self._redraw(None)

    def measure(self) -> None:
        """Measure all shapes again."""
        image = self.image
        self.rows = () if image is None else tuple(shape_row(one, image) for one in self.drawing.shapes)

    # ---- inside

    def _use(self, layer: ShapesLayer | None) -> None:
        self.layer, self._number = layer, None
        self.drawing = Drawing(() if layer is None else layer.shapes())
        self.fit_zoom()
        self._redraw(None)

    def _taken_over(self) -> None:
        """napari's own tools changed the layer: one undo step."""
        if self.layer is not None:
            self.drawing.begin()
            self.drawing.shapes = self.layer.shapes()
            self.drawing.commit()
            self._redraw(None)

    def _redraw(self, selected: int | None) -> None:
        self._number = self._number if self.drawing.under_way else None
        self.selected = selected
        self.measure()
        if self.layer is not None:
            self.layer.draw(self.drawing.shapes, self._labels(), selected)
        self._changed()

    def _labels(self) -> list[str]:
        return [row.on_canvas for row in self.rows]
