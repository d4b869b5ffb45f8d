"""A layer that shows another one's data in a second viewer model, and is drawn on in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer, Points, Shapes, Vectors
from numpy.typing import NDArray

from napari_ctseg.viewer.layers import MIRROR, can_be_painted
from napari_ctseg.viewer.planes.strokes import MirroredStrokes

if TYPE_CHECKING:
    from napari.utils.events import Event

ALL = ("visible", "opacity", "blending", "scale", "translate", "affine", "units")
FOLLOWED: dict[type[Layer], tuple[str, ...]] = {
    Image: ("contrast_limits_range", "contrast_limits", "gamma", "colormap", "interpolation2d"),
    Labels: (
        *("colormap", "contour", "show_selected_label", "selected_label", "brush_size"),
        *("n_edit_dimensions", "preserve_labels", "contiguous", "mode"),
    ),
    Vectors: ("edge_color", "edge_width", "length", "vector_style", "out_of_slice_display"),
    Points: ("size", "face_color", "border_color", "symbol", "out_of_slice_display"),
    Shapes: ("edge_color", "edge_width", "face_color"),
}
SET_HERE = ("selected_label", "brush_size")  # by a tool on the mirrored layer: the picker, Alt with the mouse


def can_be_mirrored(layer: Layer) -> bool:
    """Whether the layer can be shown in other planes: surfaces and tracks cannot."""
    return type(layer) in FOLLOWED


class MirroredLayer:
    """`side` shows what `main` shows until `close`; both have the same array."""

    def __init__(self, main: Layer) -> None:
        data, state, kind = main.as_layer_data_tuple()
        state["metadata"] = {**state["metadata"], MIRROR: True}
        self.main, self.side = main, Layer.create(data, state, kind)
        self.side._update_thumbnail = _no_thumbnail
        self._drawn: NDArray[Any] | None = None  # what the last refresh drew, if nothing else was since
        self._connections: list[tuple[Any, Callable[..., None]]] = []
        paints = can_be_painted(main)
        self._strokes = MirroredStrokes(main, self.side) if paints else None
        for name in (*ALL, *FOLLOWED[type(main)]):
            self._mirror(name)
        if isinstance(main, Labels):
            for name in FOLLOWED[Labels]:
                self._copy(name)
            self.side.editable = paints
            for event in (self.side.events.set_data, self.side.events.labels_update):
                self._connect(event, self._forget)
            for name in SET_HERE:
                self._connect(getattr(self.side.events, name), lambda event, name=name: self._set_main(name))
        self._connect(main.events.data, self._data_changed)
        self._connect(main.events.refresh, self._refresh)

    def close(self) -> None:
        """Follow no longer."""
        for event, callback in self._connections:
            event.disconnect(callback)
        self._connections = []
        if self._strokes is not None:
            self._strokes.close()

    def _connect(self, event: Any, callback: Callable[..., None]) -> None:
        event.connect(callback)
        self._connections.append((event, callback))

    def _mirror(self, name: str) -> None:
        self._connect(getattr(self.main.events, name), lambda event: self._copy(name))

    def _copy(self, name: str) -> None:
        if name == "mode" and self.side.editable is False:
            return
        setattr(self.side, name, getattr(self.main, name))

    def _set_main(self, name: str) -> None:
        value = getattr(self.side, name)
        if getattr(self.main, name) != value:
            setattr(self.main, name, value)

    def _data_changed(self, event: Event) -> None:
        if isinstance(self.main, Shapes):
            self.side.data = (self.main.data, self.main.shape_type)
        elif self.side.data is self.main.data:
            self._refresh()
        else:
            self.side.data = self.main.data

    def _refresh(self, event: Any = None) -> None:
        """The array was changed in place, perhaps only outside the slice that is shown here."""
        drawn = self._drawn
        now = _slice_of_array(self.side)
        if now is not None and drawn is not None and np.array_equal(now, drawn):
            return
        self.side.refresh(thumbnail=False, highlight=False, extent=False)
        now = _slice_of_array(self.side)
        self._drawn = None if now is None else now.copy()

    def _forget(self, event: Any = None) -> None:
        """Something else is drawn now than at the last refresh."""
        self._drawn = None


def _slice_of_array(layer: Layer) -> NDArray[Any] | None:
    """What the array has now in the slice that is shown; None where the layer does not show it as it is."""
    if not isinstance(layer, Labels) or not isinstance(layer.data, np.ndarray) or layer._slice.empty:
        return None
    raw: NDArray[Any] = layer._slice.image.raw
    return raw if np.may_share_memory(raw, layer.data) else None


def _no_thumbnail() -> None:
    """No layer list shows one."""
