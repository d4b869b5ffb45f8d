"""Volume <-> napari layer: the only place that knows both geometries.

A layer's data is the `AxisView` of the stored array (z to superior, y to posterior, x to left), a view and
never a copy: a brush on the layer paints into the stored array. Layers lie in world millimetres (z, y, x) of
LPS, so layers on other lattices overlay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.geometry import AxisView, Geometry
from ctseg_imaging.volume import PALETTE, LabelMap, Labels, ViewOnlyVolume, Volume, Window
from ctseg_imaging.windowing import default_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari
    from napari.layers import Image, Layer
    from napari.layers import Labels as LabelsLayer
    from numpy.typing import NDArray


KEY = "ctseg"
BOXES, MADE = "ctseg_boxes", "ctseg_made"  # metadata of a model's boxes, and of images that a model made
EDGES = "ctseg_edge_map"  # metadata of a layer with an edge map of a network
MIRROR = "ctseg_mirror"  # metadata of a layer that shows another one's data in a linked plane
MEASURED = "ctseg_measured"  # metadata of a layer of measurements: the grid that they were drawn on
ROLE = "ctseg_role"  # metadata of a mask that is not a truth although no model made it: its role in the study
VIEW_ONLY = " (view only)"  # at the end of the name of a layer whose volume must not be measured
AXES = ("z", "y", "x")
UNITS = ("mm", "mm", "mm")
LayerData = tuple[Any, dict[str, Any], str]


@dataclass(frozen=True, eq=False)
class LayerSource:
    """Where a layer's array comes from, under `layer.metadata["ctseg"]`.

    geometry : of the stored array. view : stored -> shown. header, source, modality, windows, notes : as in
    Volume. labels : of a label map. provenance : of a prediction, plain JSON; empty for what a user made.
    probabilities : (classes, z, y, x) of a prediction on a grid of their own, background first, then in the
    order of labels. view_only : why the image may only be looked at, as in ViewOnlyVolume; "" for an exact
    one.
    """

    geometry: Geometry
    view: AxisView
    header: Any = None
    source: Path | None = None
    modality: str = ""
    windows: tuple[Window, ...] = ()
    notes: tuple[str, ...] = ()
    labels: Labels | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    probabilities: Volume | None = None
    view_only: str = ""

    @classmethod
    def of_volume(cls, volume: Volume) -> LayerSource:
        """What a volume's layer remembers."""
        return cls(
            volume.geometry,
            AxisView.of(volume.geometry),
            volume.header,
            volume.source,
            volume.modality,
            volume.windows,
            volume.notes,
            view_only=volume.why if isinstance(volume, ViewOnlyVolume) else "",
        )

    @classmethod
    def of_labels(cls, label_map: LabelMap, provenance: Mapping[str, Any] | None = None) -> LayerSource:
        """What a label map's layer remembers."""
        return cls(
            label_map.geometry,
            AxisView.of(label_map.geometry),
            label_map.header,
            label_map.source,
            notes=label_map.notes,
            labels=label_map.labels,
            provenance=provenance or {},
        )

    @property
    def shown(self) -> Geometry:
        """The exact geometry of the shown array."""
        return self.view.geometry(self.geometry)

    def probability_of(self, value: int) -> Volume | None:
        """(z, y, x) of one label; None for one that the model did not predict."""
        maps, values = self.probabilities, () if self.labels is None else self.labels.values
        if maps is None or value not in values[: len(maps.array) - 1]:
            return None
        return replace(maps, array=maps.array[values.index(value) + 1])


def can_be_painted(layer: Any) -> bool:
    """Whether the layer is a plain array of labels (z, y, x)."""
    return hasattr(layer, "n_edit_dimensions") and layer.ndim == 3 and not layer.multiscale


def is_label_map(layer: Any) -> bool:
    """Whether the layer can be painted and is not an overlay of this plugin."""
    return can_be_painted(layer) and not layer.metadata.get(MADE)


def source_of(layer: Layer) -> LayerSource | None:
    """The layer's source, or None for a layer that this project did not make or whose array was replaced by
    one of another shape.
    """
    source = layer.metadata.get(KEY)
    if not isinstance(source, LayerSource) or tuple(np.shape(layer.data)) != source.shown.shape:
        return None
    return source


def volume_data(volume: Volume, name: str, window: Window | None = None) -> list[LayerData]:
    """LayerData of a volume, one image a channel. window : default what reads well at once."""
    source = LayerSource.of_volume(volume)
    channels = [volume.array] if volume.array.ndim == 3 else list(volume.array)
    layers: list[LayerData] = []
    for number, array in enumerate(channels):
        alone = replace(volume, array=array)
        limits = (window or default_window(alone)).limits
        title = name if len(channels) == 1 else f"{name} channel {number + 1}"
        title = f"{title}{VIEW_ONLY}" if source.view_only else title
        settings = {
            "name": title,
            "contrast_limits": limits,
            "colormap": "gray_r" if volume.modality == "PT" else "gray",
            "interpolation2d": "linear",
            **_placement(source),
        }
        layers.append((source.view.apply(array), settings, "image"))
    return layers


def label_data(label_map: LabelMap, name: str, provenance: Mapping[str, Any] | None = None) -> LayerData:
    """LayerData of a label map with its names and colours. A read-only array is copied, because labels are
    there to be painted on.
    """
    source = LayerSource.of_labels(label_map, provenance)
    array = label_map.array if label_map.array.flags.writeable else label_map.array.copy()
    values = [0, *label_map.labels.values]
    names = ["background", *(label.name for label in label_map.labels)]
    settings = {
        "name": name,
        "colormap": colours_of(label_map.labels),
        "opacity": 0.55,
        "features": {"index": values, "name": names},
        **_placement(source),
    }
    return source.view.apply(array), settings, "labels"


def volume_of(layer: Image) -> Volume:
    """The layer's array in its stored voxel order, with the exact geometry and the source's header; no copy.

    A three-dimensional layer from elsewhere is taken as an upright LPS box by its scale and translation.
    Raises GeometryError otherwise.
    """
    source = source_of(layer)
    if source is None:
        return Volume(_three_dimensional(layer), _geometry_from_transform(layer))
    volume = Volume(
        source.view.invert(layer.data),
        source.geometry,
        source.header,
        source.source,
        source.modality,
        source.windows,
        source.notes,
    )
    return ViewOnlyVolume(**vars(volume), why=source.view_only) if source.view_only else volume


def channel_volume(layer: Image, channel: int) -> Volume:
    """Channel `channel` of a four-dimensional layer (c, z, y, x), taken as an upright LPS box by its scale
    and translation; no copy.

    Raises GeometryError.
    """
    array = np.asarray(layer.data[channel])
    turned = max(
        np.abs(np.asarray(matrix) - np.eye(4)).max() for matrix in (layer.affine.linear_matrix, layer.rotate)
    )
    if turned > 1e-9:
        raise GeometryError(
            f"{layer.name}: is turned or sheared in the viewer; open it from a file that has its geometry."
        )
    return Volume(
        array, Geometry.from_parts(array.shape, layer.scale[1:], np.asarray(layer.translate)[:0:-1])
    )


def label_map_of(layer: LabelsLayer) -> LabelMap:
    """As `volume_of`, for labels: painted values included, in stored voxel order."""
    source = source_of(layer)
    if source is None:
        array = _three_dimensional(layer)
        return LabelMap(array, _geometry_from_transform(layer), Labels.from_values(array))
    if source.view_only:
        raise GeometryError(
            f"{layer.name}: comes from an image that is open for viewing only and cannot be used as a mask."
        )
    labels = source.labels if source.labels is not None else Labels.from_values(layer.data)
    return LabelMap(
        source.view.invert(layer.data), source.geometry, labels, source.header, source.source, source.notes
    )


def shown_box(
    view: AxisView, shape: Sequence[int], start: Sequence[int], stop: Sequence[int]
) -> tuple[list[int], list[int]]:
    """[start, stop) of a stored array of `shape` as [low, high) of its view, (z, y, x)."""
    low, high = [], []
    for axis, flip in zip(view.order, view.flips, strict=True):
        low.append(shape[axis] - stop[axis] if flip else start[axis])
        high.append(shape[axis] - start[axis] if flip else stop[axis])
    return low, high


def slice_of(viewer: napari.viewer.Viewer, layer: Layer, axis: int = 0) -> int:
    """The layer's slice along `axis` of its data at the viewer's cursor plane, clipped to the layer."""
    world = viewer.dims.point[viewer.dims.ndim - layer.ndim + axis]
    index = (world - layer.translate[axis]) / layer.scale[axis]
    return int(np.clip(round(float(index)), 0, layer.data.shape[axis] - 1))


def go_to_slice(viewer: napari.viewer.Viewer, layer: Layer, index: int, axis: int = 0) -> None:
    """Move the viewer's slider to the layer's slice `index` along `axis` of its data."""
    viewer.dims.set_point(
        viewer.dims.ndim - layer.ndim + axis, float(layer.translate[axis] + index * layer.scale[axis])
    )


def colours_of(labels: Labels) -> Any:
    """A napari colormap: the labels' own colours, the palette for values that a user may paint beyond them,
    0 clear.
    """
    from napari.utils.colormaps import DirectLabelColormap

    beyond = range(1, max([*labels.values, 2 * len(PALETTE)]) + 1)
    table: dict[int | None, Any] = defaultdict(lambda: "white")
    table.update({None: "white", 0: "transparent"})
    table.update((value, labels.colour(value)) for value in beyond)
    return DirectLabelColormap(color_dict=table)


def _transform(shown: Geometry) -> dict[str, Any]:
    """scale and translate (z, y, x) in mm of a shown grid; an oblique one stands on its nearest upright
    frame.
    """
    return {
        "scale": shown.spacing_mm,
        "translate": shown.origin_lps_mm[::-1],
        "units": UNITS,
        "axis_labels": AXES,
    }


def _placement(source: LayerSource) -> dict[str, Any]:
    return {**_transform(source.shown), "metadata": {KEY: source}}


def _three_dimensional(layer: Layer) -> NDArray[Any]:
    array = np.asarray(layer.data)
    if array.ndim != 3:
        raise GeometryError(f"{layer.name}: has {array.ndim} dimensions; choose a three-dimensional layer.")
    return array


def _geometry_from_transform(layer: Layer) -> Geometry:
    if (
        np.abs(layer.affine.linear_matrix - np.eye(3)).max() > 1e-9
        or np.abs(np.asarray(layer.rotate) - np.eye(3)).max() > 1e-9
    ):
        raise GeometryError(
            f"{layer.name}: is turned or sheared in the viewer; open it from a file that has its geometry."
        )
    return Geometry.from_parts(np.shape(layer.data), layer.scale, np.asarray(layer.translate)[::-1])
