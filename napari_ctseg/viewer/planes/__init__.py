"""Linked orthogonal planes: two more canvases next to napari's own."""

from napari_ctseg.viewer.planes.layout import Layout
from napari_ctseg.viewer.planes.linked_planes import LinkedPlanes, planes_of

__all__ = ["Layout", "LinkedPlanes", "planes_of"]
