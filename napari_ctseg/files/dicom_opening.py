"""DICOM that is opened in the viewer: the series that the user chooses from a folder or from files, and
segmentations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ctseg_imaging.errors import CtsegError, GeometryError
from ctseg_imaging.formats.dicom.study import Use
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import ViewOnlyVolume
from napari_ctseg.background.waiting import front_window, waited
from napari_ctseg.compute import reading
from napari_ctseg.files.layer_data import image_layers, label_layers, plain_name, show_notes
from napari_ctseg.viewer import study
from napari_ctseg.viewer.layers import LayerData, volume_of

MOST_NAMED = 3  # series that were left out

if TYPE_CHECKING:
    from napari_ctseg.series_list.lines import Opening


def series_layers(path: Path, files: Collection[Path] = ()) -> list[LayerData]:
    """The layers of the series and segmentations that the user chooses, or of the only ones. files : of the
    folder, where only what these belong to counts. What cannot be opened is reported, and the others
    go on.

    Without a running application there is nobody to ask. Raises CtsegError; ChoiceNeeded if there is nobody
    to ask about several.
    """
    from napari_ctseg.series_list.view import can_ask, choose

    if not can_ask():
        return image_layers(reading.read(path), plain_name(path))
    return _layers_of(path, choose(path, files, front_window()))


def _layers_of(path: Path, chosen: Opening) -> list[LayerData]:
    """The first image and the first segmentation are visible."""
    images: list[LayerData] = []
    grids: dict[str, Geometry] = {}
    for row in chosen.series:
        read = reading.reading_view_only if row.use is Use.VIEW_ONLY else reading.reading
        name = row.words or plain_name(path)
        name = name if len(chosen.series) == 1 else f"{name} {row.choice.index}"
        with _told(len(chosen.series) + len(chosen.drawings)):
            volume = waited(read(path, series=row.choice.uid), path.name)
            images += image_layers(volume, name)
            if not isinstance(volume, ViewOnlyVolume):
                grids[row.choice.uid] = volume.geometry
    if chosen.left_out:
        listed = "; ".join(row.choice.description for row in chosen.left_out[:MOST_NAMED])
        more = f" and {len(chosen.left_out) - MOST_NAMED} more" if len(chosen.left_out) > MOST_NAMED else ""
        show_notes(
            f"{plain_name(path)}: Smaller series were skipped ({listed}{more}); to open one, open one of its "
            "files."
        )
    labels: list[LayerData] = []
    for one in chosen.drawings:
        grid = grids.get(one.series.choice.uid) if one.series is not None else None
        with _told(len(chosen.series) + len(chosen.drawings)):
            labels += _segmentation_on(one.drawing.path, _open_grid() if one.series is None else grid)
    return [*_first_visible(images), *_first_visible(labels)]


@contextmanager
def _told(things: int) -> Iterator[None]:
    """Tell of a fault of one of several things; that of the only one is the caller's."""
    try:
        yield
    except CtsegError as error:
        if things == 1:
            raise
        show_notes(str(error), is_error=True)


def _first_visible(layers: list[LayerData]) -> list[LayerData]:
    return [(data, {**settings, "visible": not k}, kind) for k, (data, settings, kind) in enumerate(layers)]


def segmentation_layers(path: Path) -> list[LayerData]:
    """A labels layer for each layer of a segmentation, on the grid of the image that is open where it belongs
    to that.
    """
    return _segmentation_on(path, _open_grid())


def _segmentation_on(path: Path, grid: Geometry | None) -> list[LayerData]:
    """On `grid`, or where it belongs elsewhere on its own or on that of its series."""
    try:
        return label_layers(waited(reading.reading_layers(path, grid), path.name), path)
    except GeometryError:
        if grid is None:
            raise
    # contours of another patient, or of another series that is in the folder
    return label_layers(waited(reading.reading_layers(path), path.name), path)


def _open_grid() -> Geometry | None:
    """The grid of the image of the current viewer's study; None without one, and for one that has no regular
    grid.
    """
    import napari

    viewer = napari.current_viewer()
    name = None if viewer is None else study.study_of(viewer).image
    if viewer is None or name is None or name not in viewer.layers or viewer.layers[name].ndim != 3:
        return None
    image = volume_of(viewer.layers[name])
    return None if isinstance(image, ViewOnlyVolume) else image.geometry
