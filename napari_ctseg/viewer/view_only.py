"""Masks on an image that is open for viewing only: napari's own "New labels" makes them, and nothing may be
measured on them either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ctseg.viewer.layers import KEY, source_of

if TYPE_CHECKING:
    import napari


def mark(viewer: napari.viewer.Viewer, layer: Any) -> None:
    """Give labels without a source that of the view-only image on whose voxels they lie, so
    `label_map_of` refuses them.
    """
    if not hasattr(layer, "n_edit_dimensions") or KEY in layer.metadata:
        return
    for image in viewer.layers:
        source = (
            source_of(image)
            if image is not layer and image.ndim == 3 and hasattr(image.data, "shape")
            else None
        )
        if source is not None and source.view_only and _lie_together(image, layer):
            layer.metadata[KEY] = source
            return


def _lie_together(image: Any, layer: Any) -> bool:
    return bool(
        np.shape(image.data) == np.shape(layer.data)
        and np.allclose(image.scale, layer.scale)
        and np.allclose(image.translate, layer.translate)
    )
