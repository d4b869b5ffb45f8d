"""Every key of the plugin in one table; the bindings, the list under F1 and docs/keys.md are made from it."""

from napari_ctseg.keys.binding import bind, bind_each, release
from napari_ctseg.keys.gesture import Gesture, Group, Place

__all__ = ["Gesture", "Group", "Place", "bind", "bind_each", "release"]
