"""The Shapes layer that the measurements are drawn on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ctseg_imaging.geometry import Float, Geometry, Match
from ctseg_imaging.measurements import DrawnShape, Kind
from ctseg_imaging.measurements.shapes import as_points
from napari_ctseg.docks.measure.measured_image import MeasuredImage
from napari_ctseg.viewer.layers import AXES, MEASURED, UNITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import napari
    from napari.layers import Shapes

NAME = "Measurements"
COLOUR, SELECTED = (
    "#F0E442",
    "#56B4E9",
)  # Okabe & Ito: distinguishable for colour-blind readers, clear on grey
LINE_PX, TEXT_PX, GAP_PX = 2.0, 9, 14  # on the screen: width of lines, size of text, text below its shape
DRAWN_AS = {
    Kind.RULER: "path",
    Kind.ANGLE: "path",
    Kind.RECIST: "path",
    Kind.ELLIPSE: "ellipse",
    Kind.RECTANGLE: "rectangle",
    Kind.POLYGON: "polygon",
}
TAKEN_AS = {"line": Kind.RULER, "ellipse": Kind.ELLIPSE, "rectangle": Kind.RECTANGLE, "polygon": Kind.POLYGON}
ALIKE = (Match.SAME, Match.ROUNDING)
APART = 1e-3  # voxels between the way out and back of a RECIST pair's short diameter, so its ends are square


def as_drawn(shape: DrawnShape) -> tuple[Float, str]:
    """The vertices and the type by which napari draws a shape."""
    points = shape.array
    if shape.kind is Kind.RECIST:
        a, b, c, d = points
        crossing = a + np.clip(np.dot(c - a, b - a) / max(np.dot(b - a, b - a), 1e-12), 0, 1) * (b - a)
        aside = (b - a) * APART / max(float(np.linalg.norm(b - a)), 1e-12)
        points = np.stack([a, crossing, c, c + aside, d + aside, d, crossing, b])
    return points, DRAWN_AS[shape.kind]


def as_taken(vertices: Float, drawn_as: str, kind: str, axis: int) -> DrawnShape | None:
    """The shape that napari draws; None if it is not a measurement. kind, axis : as noted, "" and -1 for what
    napari's own tools drew.
    """
    points = np.asarray(vertices, np.float64)[:, -3:]
    axis = int(np.ptp(points, axis=0).argmin()) if axis < 0 else axis
    if kind == Kind.RECIST and len(points) == 8:
        points = points[[0, 7, 2, 5]]
    elif kind not in set(Kind) or DRAWN_AS[Kind(kind)] != drawn_as:
        kind = Kind.ANGLE if drawn_as == "path" and len(points) == 3 else TAKEN_AS.get(drawn_as, Kind.RULER)
    try:
        points[:, axis] = np.round(points[:, axis])
        return DrawnShape(Kind(kind), axis, as_points(points))
    except ValueError:
        return None


class ShapesLayer:
    """changed : called when napari's own tools changed the layer."""

    def __init__(self, layer: Shapes, image: MeasuredImage, changed: Callable[[], None]) -> None:
        self.layer, self._changed, self._own = layer, changed, 0
        self._scale = float(image.layer.scale[1])
        layer.events.data.connect(self._data_changed)

    @classmethod
    def found(
        cls, viewer: napari.viewer.Viewer, image: MeasuredImage, changed: Callable[[], None]
    ) -> ShapesLayer | None:
        """The layer of measurements on the grid of an image, if the viewer has one."""
        for layer in viewer.layers:
            grid = layer.metadata.get(MEASURED) if hasattr(layer, "shape_type") else None
            if isinstance(grid, Geometry) and image.shown.geometry.matches(grid) in ALIKE:
                return cls(layer, image, changed)
        return None

    @classmethod
    def made(
        cls, viewer: napari.viewer.Viewer, image: MeasuredImage, changed: Callable[[], None]
    ) -> ShapesLayer:
        """A new layer on the grid of an image."""
        layer = viewer.add_shapes(
            ndim=3,
            name=NAME,
            face_color="transparent",
            edge_color=COLOUR,
            opacity=1.0,
            features={"label": [], "kind": [], "axis": []},
            text={"string": "{label}", "size": TEXT_PX, "color": COLOUR, "anchor": "lower_left"},
            metadata={MEASURED: image.shown.geometry},
            scale=image.layer.scale,
            translate=image.layer.translate,
            units=UNITS,
            axis_labels=AXES,
        )
        layer.mode = "pan_zoom"
        return cls(layer, image, changed)

    def close(self) -> None:
        """Follow the layer no longer."""
        self.layer.events.data.disconnect(self._data_changed)

    def shapes(self) -> tuple[DrawnShape, ...]:
        """What is drawn; other shapes than measurements are left out."""
        table = self.layer.features
        kinds, axes = (table[name].tolist() if name in table else [] for name in ("kind", "axis"))
        found = []
        for k, (vertices, drawn_as) in enumerate(zip(self.layer.data, self.layer.shape_type, strict=True)):
            kind = kinds[k] if k < len(kinds) and isinstance(kinds[k], str) else ""
            axis = int(axes[k]) if kind and k < len(axes) and axes[k] == axes[k] else -1
            found.append(as_taken(vertices, drawn_as, kind, axis))
        return tuple(shape for shape in found if shape is not None)

    def draw(self, shapes: Sequence[DrawnShape], labels: Sequence[str], selected: int | None) -> None:
        """Draw all shapes again."""
        with self._by_us():
            self.layer.data = []
            if shapes:
                data = [as_drawn(shape) for shape in shapes]
                self.layer.add(
                    data, edge_width=self._edge_width(), edge_color=COLOUR, face_color="transparent"
                )
            self._label(shapes, labels)
            self._colour(len(shapes), selected)

    def move(self, number: int, shapes: Sequence[DrawnShape], labels: Sequence[str]) -> None:
        """Draw one shape at its new place, as fast as napari's own tools do: 60 times a second."""
        with self._by_us():
            vertices, drawn_as = as_drawn(shapes[number])
            self.layer._data_view.edit(number, vertices, new_type=drawn_as)
            self._label(shapes, labels)
            self.layer.refresh(thumbnail=False)

    def select(self, count: int, selected: int | None) -> None:
        """Mark one shape by its colour."""
        with self._by_us():
            self._colour(count, selected)

    def fit_zoom(self, zoom: float) -> None:
        """Lines and the gap to the text keep their size on the screen. zoom : pixels a mm."""
        width = self._edge_width(zoom)
        self.layer.text.translation = (0, GAP_PX / (zoom * self._scale), 0)
        with self._by_us():
            self.layer.current_edge_width = width
            if self.layer.nshapes:
                self.layer.edge_width = [width] * self.layer.nshapes

    def _edge_width(self, zoom: float | None = None) -> float:
        if zoom is not None:
            return LINE_PX / (zoom * self._scale)
        return float(self.layer.current_edge_width)

    def _label(self, shapes: Sequence[DrawnShape], labels: Sequence[str]) -> None:
        self.layer.features = {
            "label": list(labels),
            "kind": [str(shape.kind) for shape in shapes],
            "axis": [shape.axis for shape in shapes],
        }

    def _colour(self, count: int, selected: int | None) -> None:
        if count:
            self.layer.edge_color = [SELECTED if k == selected else COLOUR for k in range(count)]

    @contextmanager
    def _by_us(self) -> Iterator[None]:
        self._own += 1
        try:
            yield
        finally:
            self._own -= 1

    def _data_changed(self, event: Any) -> None:
        if not self._own and str(event.action).lower() in ("added", "changed", "removed"):
            self._changed()
