"""The outlines of two label maps as lines on every canvas of a viewer."""

from napari_ctseg.viewer.contours.contours import Contours

__all__ = ["Contours"]
