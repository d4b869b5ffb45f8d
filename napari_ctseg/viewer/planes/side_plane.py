"""One more plane of a viewer: a viewer model whose layers, slice and tools follow the viewer's."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.components import ViewerModel

from napari_ctseg.viewer.orientation import PLANES, Radiological
from napari_ctseg.viewer.planes.mirrored_layer import MirroredLayer, can_be_mirrored
from napari_ctseg.viewer.planes.place import order_for

if TYPE_CHECKING:
    from napari.layers import Image, Layer


class PlaneMarks(Radiological):
    """Letters and corner text of a small canvas: the window level is on the viewer's own."""

    def corner_text(self, viewer: ViewerModel, image: Image) -> str:
        """Slice, place and value."""
        plane, place, _, value = super().corner_text(viewer, image).split("\n")
        return "\n".join((plane, place, value))


class SidePlane:
    """Follows `main` until `close`. axis : of the plane, 0 z (axial), 1 y (coronal), 2 x (sagittal)."""

    def __init__(self, main: ViewerModel, axis: int) -> None:
        self._main, self.axis = weakref.ref(main), axis
        self.model = ViewerModel(title=PLANES[axis], ndisplay=2)
        self.model.theme = main.theme
        self._mirrors: dict[Layer, MirroredLayer] = {}
        for layer in main.layers:
            self._insert(layer)
        self._marks = PlaneMarks(self.model)
        self.turn(axis)
        self._activate()
        self._connections: list[tuple[Any, Callable[..., None]]] = []
        layers, dims = main.layers.events, main.dims.events
        self._follow(self._inserted, layers.inserted)
        self._follow(self._removed, layers.removed)
        self._follow(self._reordered, layers.reordered)
        self._follow(self._activate, main.layers.selection.events.active)
        self._follow(self._main_moved, dims.point)
        self._follow(self._moved, self.model.dims.events.point)
        self._follow(self._themed, main.events.theme)

    def close(self) -> None:
        """Follow no longer, and let go of the layers."""
        for event, callback in self._connections:
            event.disconnect(callback)
        self._connections = []
        for mirror in self._mirrors.values():
            mirror.close()
        self._mirrors = {}
        self.model.layers.clear()
        self.model._layer_slicer.shutdown()

    def turn(self, axis: int) -> None:
        """Show the plane across spatial `axis`."""
        self.axis = axis
        if self.model.dims.ndim >= 3:
            self.model.dims.order = order_for(axis, self.model.dims.ndim)
            self._main_moved()

    def fit(self, event: Any = None) -> None:
        """Show the whole slice."""
        self.model.reset_view()

    def layer_for(self, layer: Layer) -> Layer | None:
        """This plane's copy of one of the viewer's layers."""
        mirror = self._mirrors.get(layer)
        return None if mirror is None else mirror.side

    def _follow(self, callback: Callable[..., None], event: Any) -> None:
        event.connect(callback)
        self._connections.append((event, callback))

    # ---- layers

    def _inserted(self, event: Any) -> None:
        first = not self._mirrors
        self._insert(event.value)
        self._reordered()
        self.turn(self.axis)
        if first:
            self.fit()

    def _insert(self, layer: Layer) -> None:
        if can_be_mirrored(layer):
            mirror = self._mirrors[layer] = MirroredLayer(layer)
            self.model.layers.append(mirror.side)

    def _removed(self, event: Any) -> None:
        if (mirror := self._mirrors.pop(event.value, None)) is not None:
            mirror.close()
            self.model.layers.remove(mirror.side)

    def _reordered(self, event: Any = None) -> None:
        if (main := self._main()) is None:
            return
        wanted = [self._mirrors[layer].side for layer in main.layers if layer in self._mirrors]
        for place, layer in enumerate(wanted):
            if self.model.layers[place] is not layer:
                self.model.layers.move(self.model.layers.index(layer), place)

    def _activate(self, event: Any = None) -> None:
        """The tool of the viewer's active layer is in hand here, too."""
        if (main := self._main()) is not None:
            active = main.layers.selection.active
            self.model.layers.selection.active = None if active is None else self.layer_for(active)

    # ---- slice

    def _own_axes(self) -> list[int]:
        """The axes that are not shown here: the plane's own, and any before the three of space."""
        return [axis for axis in self.model.dims.order[:-2] if axis < self.model.dims.ndim]

    def _main_moved(self, event: Any = None) -> None:
        main = self._main()
        if main is not None and main.dims.ndim == self.model.dims.ndim:
            _copy_point(main.dims, self.model.dims, self._own_axes())

    def _moved(self, event: Any = None) -> None:
        main = self._main()
        if main is not None and main.dims.ndim == self.model.dims.ndim:
            _copy_point(self.model.dims, main.dims, self._own_axes())

    def _themed(self, event: Any = None) -> None:
        if (main := self._main()) is not None:
            self.model.theme = main.theme


def _copy_point(source: Any, target: Any, axes: list[int]) -> None:
    """Set `axes` alone: napari would slice every layer again for the others, too."""
    point = list(target.point)
    for axis in axes:
        point[axis] = source.point[axis]
    if tuple(point) != tuple(target.point):
        target.point = tuple(point)
