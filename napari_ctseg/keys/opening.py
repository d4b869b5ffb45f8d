"""F1 in a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ctseg.keys.binding import bind
from napari_ctseg.keys.table import HELP

if TYPE_CHECKING:
    import napari

PLUGIN, DOCK = "napari-ctseg", "Keys"


def take_help_key(viewer: napari.viewer.Viewer) -> None:
    """F1 shows the list of keys in front of the other docks."""
    if getattr(viewer, "window", None) is not None:
        bind(viewer, HELP, lambda: show_keys(viewer))


def show_keys(viewer: napari.viewer.Viewer) -> None:
    """Open the dock with the list of keys, or bring it to the front."""
    dock, _ = viewer.window.add_plugin_dock_widget(PLUGIN, DOCK, tabify=True)
    dock.setWindowTitle(DOCK)
    dock.show()
    dock.raise_()
