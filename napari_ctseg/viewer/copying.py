"""A copy of a locked layer that can be corrected while the layer itself stays as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_ctseg.viewer.layers import label_map_of, source_of
from napari_ctseg.viewer.painting import edits_of
from napari_ctseg.viewer.review import keep_marks, marks_of
from napari_ctseg.viewer.showing import keep_probabilities, show_labels
from napari_ctseg.viewer.study import study_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels as LabelsLayer


def correct_copy(viewer: napari.viewer.Viewer, name: str) -> LabelsLayer:
    """Add a copy of the label layer `name` as the study's edited mask, in the same tool. The layer itself is
    hidden below it: through a half-transparent copy one would not see what is erased.
    """
    layer = viewer.layers[name]
    source, label_map = source_of(layer), label_map_of(layer)
    copy = replace(label_map, array=label_map.array.copy(), source=None)
    added = show_labels(
        viewer, copy, f"{name} corrected", None if source is None else source.provenance, role="edited"
    )
    keep_probabilities(added, None if source is None else source.probabilities)
    keep_marks(added, marks_of(layer))
    edits_of(added).append({"operation": "copied to be corrected"})
    added.mode, added.selected_label = layer.mode, layer.selected_label
    layer.visible = False
    study_of(viewer).edited = added.name
    return added
