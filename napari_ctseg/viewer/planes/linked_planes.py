"""Shows and hides the two planes next to a viewer's own canvas, and remembers the layout."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_ctseg import notices
from napari_ctseg.keys import bind
from napari_ctseg.keys import table as keys
from napari_ctseg.preferences import Preferences, PreferencesError
from napari_ctseg.viewer import orientation
from napari_ctseg.viewer.layers import source_of
from napari_ctseg.viewer.mouse import mouse_of
from napari_ctseg.viewer.planes.layout import Layout, layout_named
from napari_ctseg.viewer.planes.place import order_for, slice_axis
from napari_ctseg.viewer.proxies import unwrapped

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from napari_ctseg.viewer.planes.view import PlanesView

SECTION, SETTING, ZOOM_SETTING = "viewer", "planes", "synchronous_zoom"


class LinkedPlanes:
    """The planes of one viewer; `planes_of` returns the one object of a viewer. Hidden, they cost nothing: no
    canvas, no copy of a layer, no listener.

    changed : the layout is another one.
    """

    changed = Signal(Layout)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = weakref.ref(viewer)
        self._preferences = Preferences()
        self._remembered = layout_named(self._preferences.get(SECTION, SETTING, Layout.ONE.value))
        self._view: PlanesView | None = None
        self.layout = Layout.ONE
        self._before_enlarged = Layout.ONE
        self.synchronous_zoom = bool(self._preferences.get(SECTION, ZOOM_SETTING, False))
        bind(viewer, keys.LAYOUT, self.next_layout)
        mouse_of(viewer).enlarged.connect(self.enlarge)
        if (window := getattr(viewer, "window", None)) is not None:
            from napari_ctseg.viewer.planes.widgets.menu import PlanesMenu

            PlanesMenu(window.view_menu, self, mouse_of(viewer))
        if self._remembered is not Layout.ONE:
            viewer.layers.events.inserted.connect(self._first_volume)

    @property
    def models(self) -> tuple[Any, ...]:
        """The viewer models of the two planes next to the viewer's own; none while they are hidden."""
        return () if self._view is None else self._view.models

    @property
    def pointed(self) -> Any:
        """The viewer model whose canvas the pointer was on last."""
        return self._viewer() if self._view is None else self._view.pointed

    @property
    def view(self) -> PlanesView | None:
        """The canvases; None while they are hidden."""
        return self._view

    def layers_for(self, layer: Layer) -> tuple[Layer, ...]:
        """The copies of one of the viewer's layers in the other planes; none while they are hidden."""
        sides = () if self._view is None else (plane.layer_for(layer) for plane in self._view.planes)
        return tuple(side for side in sides if side is not None)

    def next_layout(self) -> None:
        """One plane, one large and two small, three alike, and round again."""
        self.show(self.layout.next)

    def show(self, layout: Layout) -> None:
        """Arrange the planes, and remember that. Without a volume or a window there is one canvas."""
        viewer = self._viewer()
        if viewer is None or layout is self.layout:
            return
        if layout is not Layout.ONE and not self._can_be_shown(viewer):
            notices.info("Open a CT or MR volume first: there are no other planes to show.")
            return
        self._arrange(viewer, layout)
        self._remember(SETTING, layout.value)

    def enlarge(self, model: Any) -> None:
        """Show the plane of `model` alone; if one is shown alone, the planes from before."""
        viewer = self._viewer()
        if viewer is None:
            return
        if self.layout is Layout.ONE:
            self.show(self._before_enlarged)
            return
        self._before_enlarged, axis = self.layout, slice_axis(model)
        if model is not viewer:
            viewer.dims.order = order_for(axis, viewer.dims.ndim)
        self.show(Layout.ONE)

    def set_synchronous_zoom(self, on: bool) -> None:
        """Whether zooming in one plane zooms in all three."""
        self.synchronous_zoom = on
        if self._view is not None:
            self._view.set_synchronous_zoom(on)
        self._remember(ZOOM_SETTING, on)

    def _arrange(self, viewer: napari.viewer.Viewer, layout: Layout) -> None:
        from napari_ctseg.viewer.planes.view import PlanesView

        if layout is Layout.ONE and self._view is not None:
            view, self._view = self._view, None
            view.close_planes()
        elif layout is not Layout.ONE and self._view is None:
            self._view = PlanesView(viewer, self._closed)
            self._view.set_synchronous_zoom(self.synchronous_zoom)
        if self._view is not None:
            self._view.arrange(layout)
        self.layout = layout
        self.changed.emit(layout)

    def _can_be_shown(self, viewer: napari.viewer.Viewer) -> bool:
        return getattr(viewer, "window", None) is not None and viewer.dims.ndim >= 3 and bool(viewer.layers)

    def _first_volume(self, event: Any) -> None:
        """The layout of the last session, as soon as there is a volume to show in it."""
        viewer, layer = self._viewer(), event.value
        if viewer is None or layer.ndim < 3 or source_of(layer) is None:
            return
        viewer.layers.events.inserted.disconnect(self._first_volume)
        if self.layout is Layout.ONE and self._can_be_shown(viewer):
            self._arrange(viewer, self._remembered)

    def _closed(self) -> None:
        """The window closes; the next one has the layout that is remembered."""
        if (viewer := self._viewer()) is not None:
            self._arrange(viewer, Layout.ONE)

    def _remember(self, setting: str, value: Any) -> None:
        try:
            self._preferences.set(SECTION, setting, value)
        except PreferencesError as error:
            notices.warning(str(error))


_PLANES: weakref.WeakKeyDictionary[Any, LinkedPlanes] = weakref.WeakKeyDictionary()


def planes_of(viewer: napari.viewer.Viewer) -> LinkedPlanes:
    """The one LinkedPlanes of a viewer, made at the first call."""
    viewer = unwrapped(viewer)
    orientation.attach(viewer)  # which asks for the planes, too
    if viewer not in _PLANES:
        _PLANES[viewer] = LinkedPlanes(viewer)
    return _PLANES[viewer]
