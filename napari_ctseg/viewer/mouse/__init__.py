"""The mouse as in a radiology viewer, and as napari has it."""

from napari_ctseg.viewer.mouse.radiology import RadiologyMouse, mouse_of

__all__ = ["RadiologyMouse", "mouse_of"]
