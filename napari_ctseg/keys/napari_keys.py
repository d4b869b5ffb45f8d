"""napari's own keys that matter for reading and correcting, as the user has set them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_ctseg.keys.gesture import Gesture, Group, Place

ACTIONS = (  # napari's name of the action, what it does, where
    ("napari:increment_dims_left", "Previous slice", Place.WINDOW),
    ("napari:increment_dims_right", "Next slice", Place.WINDOW),
    ("napari:roll_axes", "Next of axial, sagittal, coronal", Place.WINDOW),
    ("napari:reset_view", "Fits the image to the canvas", Place.WINDOW),
    ("napari:toggle_selected_visibility", "Shows or hides the selected layer", Place.WINDOW),
    ("napari:hold_for_pan_zoom", "Pans and zooms while it is held", Place.WINDOW),
    ("napari:activate_labels_paint_mode", "Paint", Place.LABELS),
    ("napari:activate_labels_erase_mode", "Erase", Place.LABELS),
    ("napari:activate_labels_fill_mode", "Fill", Place.LABELS),
    ("napari:activate_labels_polygon_mode", "Polygon", Place.LABELS),
    ("napari:activate_labels_picker_mode", "Picks the label under the pointer", Place.LABELS),
    ("napari:activate_labels_pan_zoom_mode", "Pan and zoom", Place.LABELS),
    ("napari:decrease_brush_size", "Smaller brush", Place.LABELS),
    ("napari:increase_brush_size", "Larger brush", Place.LABELS),
    ("napari:decrease_label_id", "Previous label", Place.LABELS),
    ("napari:increase_label_id", "Next label", Place.LABELS),
    ("napari:new_label", "A label that is not used yet", Place.LABELS),
    ("napari:toggle_preserve_labels", "Protects the other labels, or not", Place.LABELS),
)
FIXED = (
    Gesture(("Ctrl+Z",), "Undo", Group.NAPARI, Place.LABELS),
    Gesture(("Ctrl+Shift+Z",), "Redo", Group.NAPARI, Place.LABELS),
)


def napari_gestures(shortcuts: Mapping[str, Sequence[Any]]) -> tuple[Gesture, ...]:
    """shortcuts : napari's bindings by the name of the action; an action without one is left out."""
    found = [
        Gesture(tuple(map(str, shortcuts[action])), does, Group.NAPARI, place)
        for action, does, place in ACTIONS
        if shortcuts.get(action)
    ]
    return (*found, *FIXED)


def set_by_the_user() -> tuple[Gesture, ...]:
    """As napari's preferences have them."""
    from napari.settings import get_settings

    return napari_gestures(get_settings().shortcuts.shortcuts)


def by_default() -> tuple[Gesture, ...]:
    """As napari comes."""
    from napari.utils.shortcuts import default_shortcuts

    return napari_gestures(default_shortcuts)
