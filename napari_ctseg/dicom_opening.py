"""DICOM that is opened in the viewer: the series that the user chooses from a folder or from files, and segmentations."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.formats.dicom_study import Use
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import ViewOnlyVolume
from napari_ctseg import reading, study
from napari_ctseg.layer_data import image_layers, label_layers, plain_name
from napari_ctseg.layers import LayerData, volume_of
from napari_ctseg.waiting import waited


def series_layers(path: Path, files: Collection[Path] = ()) -> list[LayerData]:
    """The layers of the series that the user chooses, or of the only one. files : of the folder, where only the series of these count.

    Without a running application there is nobody to ask. Raises CtsegError; ChoiceNeeded if there is nobody to ask about several.
    """
    from napari_ctseg.series_list.view import can_ask, choose

    if not can_ask():
        return image_layers(reading.read(path), plain_name(path))
    layers: list[LayerData] = []
    rows = choose(path, files)
    for row in rows:
        read = reading.reading_view_only if row.use is Use.VIEW_ONLY else reading.reading
        name = plain_name(path) if len(rows) == 1 else f"{plain_name(path)} {row.choice.index}"
        for data, settings, kind in image_layers(waited(read(path, series=row.choice.uid), path.name), name):
            layers.append((data, {**settings, "visible": not layers}, kind))
    return layers


def segmentation_layers(path: Path) -> list[LayerData]:
    """A labels layer for each layer of a segmentation, on the grid of the image that is open where it belongs to that."""
    grid = _open_grid()
    try:
        return label_layers(waited(reading.reading_layers(path, grid), path.name), path)
    except GeometryError:
        if grid is None:
            raise
    # contours of another patient, or of another series that is in the folder
    return label_layers(waited(reading.reading_layers(path), path.name), path)


def _open_grid() -> Geometry | None:
    """The grid of the image of the current viewer's study; None without one, and for one that has no regular grid."""
    import napari

    viewer = napari.current_viewer()
    name = None if viewer is None else study.study_of(viewer).image
    if viewer is None or name is None or name not in viewer.layers or viewer.layers[name].ndim != 3:
        return None
    image = volume_of(viewer.layers[name])
    return None if isinstance(image, ViewOnlyVolume) else image.geometry
