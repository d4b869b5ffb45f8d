"""What the plugin's menu entries and the command palette call."""

from __future__ import annotations

import napari

from napari_ctseg.viewer.mouse import mouse_of
from napari_ctseg.viewer.planes.linked_planes import planes_of


def next_layout() -> None:
    """One plane, one large and two small, three alike, and round again."""
    if (viewer := napari.current_viewer()) is not None:
        planes_of(viewer).next_layout()


def toggle_radiology_mouse() -> None:
    """Switch between the radiology mouse and napari's own."""
    if (viewer := napari.current_viewer()) is not None:
        mouse_of(viewer).toggle()


def toggle_synchronous_zoom() -> None:
    """Whether zooming in one plane zooms in all three."""
    if (viewer := napari.current_viewer()) is not None:
        planes = planes_of(viewer)
        planes.set_synchronous_zoom(not planes.synchronous_zoom)
