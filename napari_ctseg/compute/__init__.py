"""Long computing in a process of its own, so that nothing it does can take the viewer down with it."""

from napari_ctseg.compute.client import elsewhere, preload, shut_down

__all__ = ["elsewhere", "preload", "shut_down"]
