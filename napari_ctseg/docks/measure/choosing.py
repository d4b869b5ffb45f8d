"""Which image and which mask the dock is about, what is under the cursor, and the keys of its layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ctseg.docks.measure import words
from napari_ctseg.docks.measure.measured_image import MeasuredImage
from napari_ctseg.keys import bind, release
from napari_ctseg.keys import table as keys
from napari_ctseg.viewer.layers import is_label_map
from napari_ctseg.viewer.study import Study

if TYPE_CHECKING:
    import napari

    from napari_ctseg.docks.measure.controller import MeasureController

OF_THE_LAYER = (keys.REMOVE_SHAPE, keys.UNDO_SHAPE, keys.END_TOOL, keys.CLOSE_SHAPE)
MASKS = ("edited", "prediction", "truth")  # the study's roles, the first that is there


def image(viewer: napari.viewer.Viewer, study: Study, before: Any) -> Any:
    """The image to measure: the active one, else the one before, the study's, the topmost visible one."""
    images = [layer for layer in viewer.layers if _is_image(layer)]
    named = next((layer for layer in images if layer.name == study.image), None)
    visible = [layer for layer in reversed(images) if layer.visible]
    wanted = (viewer.layers.selection.active, before, named, *visible)
    return next((layer for layer in wanted if layer is not None and layer in images), None)


def mask(viewer: napari.viewer.Viewer, study: Study) -> Any:
    """The mask whose labels are listed: the active one, else the study's."""
    active = viewer.layers.selection.active
    if active is not None and is_label_map(active):
        return active
    names = [getattr(study, role) for role in MASKS]
    found = [viewer.layers[name] for name in names if name is not None and name in viewer.layers]
    return next((layer for layer in found if is_label_map(layer)), None)


def probe(viewer: napari.viewer.Viewer, measured: MeasuredImage | None) -> str:
    """The value under the cursor and its place in the patient, "" off the image."""
    position = viewer.cursor.position
    if measured is None or len(position) != viewer.dims.ndim:
        return ""
    index = measured.index_at(position)
    value = measured.value_at(index)
    if value is None:
        return ""
    digits = 0 if measured.unit == "HU" or abs(value) >= 100 else 3
    place = words.position(measured.shown.geometry.index_to_lps(np.asarray(index)))
    return f"{words.number(value, digits)} {measured.unit}".rstrip() + f" at {place} mm"


def bind_keys(layer: Any, controller: MeasureController) -> None:
    """The keys of the layer of measurements, in place of napari's own."""
    acts = (
        controller.delete,
        controller.undo,
        controller.escape,
        controller.pointer.close_shape,
    )
    for gesture, act in zip(OF_THE_LAYER, acts, strict=True):
        bind(layer, gesture, act)


def release_keys(layer: Any) -> None:
    """The keys are napari's own again."""
    for gesture in OF_THE_LAYER:
        release(layer, gesture)


def _is_image(layer: Any) -> bool:
    return bool(
        hasattr(layer, "contrast_limits")
        and hasattr(layer, "rgb")
        and layer.ndim == 3
        and not layer.rgb
        and not layer.multiscale
    )
