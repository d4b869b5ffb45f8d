"""Volumes, masks, predictions, boxes and drawings added to the viewer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ctseg_imaging.geometry import AxisView, Geometry
from ctseg_imaging.volume import LabelMap, Volume, Window
from napari_ctseg.viewer.layers import (
    AXES,
    BOXES,
    EDGES,
    KEY,
    MADE,
    ROLE,
    UNITS,
    _transform,
    label_data,
    shown_box,
    volume_data,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari
    from napari.layers import Image, Shapes, Vectors
    from napari.layers import Labels as LabelsLayer
    from numpy.typing import NDArray

    from ctseg_models.contract.prediction import Prediction, RoiBox


BOX_LINE_MM = 1.0


def show_volume(
    viewer: napari.viewer.Viewer, volume: Volume, name: str, window: Window | None = None
) -> Image:
    """Add a volume as an image (one a channel) and return the first; the viewer turns radiological."""
    _prepare(viewer)
    added = [viewer.add_image(data, **settings) for data, settings, _ in volume_data(volume, name, window)]
    first: Image = added[0]
    return first


def show_labels(
    viewer: napari.viewer.Viewer,
    label_map: LabelMap,
    name: str,
    provenance: Mapping[str, Any] | None = None,
    role: str | None = None,
) -> LabelsLayer:
    """Add a label map with its names and colours. role : in the study; None: a prediction with provenance,
    else the truth.
    """
    _prepare(viewer)
    data, settings, _ = label_data(label_map, name, provenance)
    if role is not None:
        settings["metadata"][ROLE] = role
    layer: LabelsLayer = viewer.add_labels(data, **settings)
    if label_map.labels.values:
        layer.selected_label = label_map.labels.values[0]
    return layer


def add_prediction(viewer: napari.viewer.Viewer, prediction: Prediction, name: str) -> LabelsLayer:
    """Add a model's result: labels named after it, its boxes as lines, edge map and disagreement as hidden
    images.
    """
    differs = (
        "entropy"
        if prediction.provenance.get("settings", {}).get("disagreement") == "entropy"
        else "disagreement"
    )
    for volume, what, colormap in (
        (prediction.edge_map, "edges", "magma"),
        (prediction.disagreement, differs, "inferno"),
    ):
        if volume is not None:
            image = show_volume(viewer, volume, f"{name} {what}", Window(what, 1.0, 0.5))
            image.visible, image.colormap, image.blending = False, colormap, "additive"
            image.metadata.update({MADE: True, EDGES: volume is prediction.edge_map})
    layer = show_labels(viewer, prediction.labels, name, prediction.provenance)
    keep_probabilities(layer, prediction.probabilities)
    if prediction.roi_boxes:
        show_boxes(viewer, prediction.roi_boxes, prediction.labels.geometry, f"{name} box")
    viewer.layers.selection.active = layer
    return layer


def keep_probabilities(layer: LabelsLayer, probabilities: Volume | None) -> None:
    """Keep a model's probabilities with its labels, for as long as the layer lives."""
    layer.metadata[KEY] = replace(layer.metadata[KEY], probabilities=probabilities)


def show_boxes(
    viewer: napari.viewer.Viewer, boxes: Sequence[RoiBox], geometry: Geometry, name: str
) -> Vectors:
    """Draw index boxes of a stored grid as outlines, one in every slice of the shown plane that crosses a
    box.

    As lines and not as shapes, which napari makes and triangulates one after the other. Those of one plane
    only: napari shows a line in every slice that its start touches, and so the coronal ones would fill the
    first axial slice. In 3D the twelve edges of each.
    """
    view = AxisView.of(geometry)
    shown = view.geometry(geometry)
    corners = [shown_box(view, geometry.shape, box.start, box.stop) for box in boxes]

    def sides() -> NDArray[Any]:
        if viewer.dims.ndisplay == 3:
            return np.concatenate([_edges(low, high) for low, high in corners])
        leading = viewer.dims.ndim - 3
        across = next((axis for axis in range(3) if axis + leading not in viewer.dims.displayed), 0)
        return np.concatenate([_outlines(low, high, across) for low, high in corners])

    layer: Vectors = viewer.add_vectors(
        sides(),
        vector_style="line",
        edge_color="#F0E442",
        edge_width=BOX_LINE_MM / shown.spacing_mm[2],
        name=name,
        metadata={BOXES: tuple(boxes)},
        **_transform(shown),
    )

    def turn() -> None:
        layer.data = sides()

    def forget() -> None:
        if layer not in viewer.layers:
            for event in turns:
                event.disconnect(turn)
            viewer.layers.events.removed.disconnect(forget)

    turns = viewer.dims.events.order, viewer.dims.events.ndisplay, viewer.dims.events.ndim
    for event in turns:
        event.connect(turn)
    viewer.layers.events.removed.connect(forget)
    return layer


def add_drawing(viewer: napari.viewer.Viewer, image: Image, name: str) -> Shapes:
    """An empty shapes layer on an image's grid, ready to draw rectangles."""
    layer: Shapes = viewer.add_shapes(
        ndim=3,
        name=name,
        face_color="transparent",
        edge_color="#56B4E9",
        edge_width=BOX_LINE_MM / float(image.scale[2]),
        scale=image.scale,
        translate=image.translate,
        units=UNITS,
        axis_labels=AXES,
    )
    layer.mode = "add_rectangle"
    return layer


def _outlines(low: Sequence[int], high: Sequence[int], axis: int) -> NDArray[Any]:
    """(4 n, 2, 3) starts and ways of the sides of [low, high), its outer faces cut by each of the n slices
    across `axis`.

    At the low border of the grid they stay at the voxel centres: half a voxel outside, napari would start its
    slider there and stop between slices ever after.
    """
    first, second = (a for a in range(3) if a != axis)
    slices = np.arange(low[axis], high[axis])
    corners = np.empty((len(slices), 4, 3))
    corners[:, :, axis] = slices[:, None]
    corners[:, :, first] = np.array([low[first], low[first], high[first], high[first]]) - 0.5
    corners[:, :, second] = np.array([low[second], high[second], high[second], low[second]]) - 0.5
    kept = np.maximum(corners, 0)
    return np.stack([kept, np.roll(kept, -1, axis=1) - kept], axis=2).reshape(-1, 2, 3)


def _edges(low: Sequence[int], high: Sequence[int]) -> NDArray[Any]:
    """(12, 2, 3) starts and ways of the edges of [low, high), along its outer faces as in `_outlines`."""
    first, last = np.maximum(np.array(low) - 0.5, 0), np.array(high) - 0.5
    found = []
    for axis in range(3):
        for corner in range(4):
            others = [a for a in range(3) if a != axis]
            start, way = first.copy(), np.zeros(3)
            for bit, other in enumerate(others):
                start[other] = (last if corner >> bit & 1 else first)[other]
            way[axis] = last[axis] - first[axis]
            found.append((start, way))
    return np.array(found)


def _prepare(viewer: napari.viewer.Viewer) -> None:
    from napari_ctseg.recovery.autosave import autosave_of
    from napari_ctseg.viewer import orientation

    orientation.attach(viewer)
    autosave_of(viewer)
