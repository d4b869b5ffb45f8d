"""What napari opens or has dropped on it: volumes, DICOM folders and label maps, as layers with their geometry."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ctseg_imaging import formats, label_names
from ctseg_imaging.endings import split_ending
from ctseg_imaging.errors import ChoiceNeeded, CtsegError, FormatError, GeometryError
from ctseg_imaging.formats.dicom_study import Use
from ctseg_imaging.formats.labels import to_label_map
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, ViewOnlyVolume, Volume
from napari_ctseg import orientation, reading, study
from napari_ctseg.journal import keeper
from napari_ctseg.layers import LayerData, label_data, volume_data, volume_of
from napari_ctseg.waiting import WaitingCancelled, waited

NOTHING = [(None,)]  # napari's word for "I took care of it, there is no layer"
MOST_TOGETHER = 8  # volumes of one file that are opened side by side
MOST_LABELS = 64
_LABEL_NAME = re.compile(r"(^|[^a-z])(labels?|seg|segmentations?|masks?|truth|gt|annotations?|prediction|pred)([^a-z]|$)")
_LABEL_FOLDER = re.compile(r"^(labels?|masks?|segmentations?|truth)(tr|ts|val)?$")


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[Any]] | None:
    """napari's question whether this plugin reads `path`: a look at names and first bytes only."""
    paths = [path] if isinstance(path, str | Path) else list(path)
    return read_for_napari if paths and all(formats.is_readable(one) for one in paths) else None


def read_for_napari(path: str | Sequence[str]) -> list[Any]:
    """LayerData of every path. What cannot be read becomes a notification with its sentence, and the others go on."""
    orientation.attach_current()
    study.follow_current()
    keeper.attach_current()
    layers: list[Any] = []
    for one in [path] if isinstance(path, str | Path) else path:
        try:
            layers.extend(open_path(Path(one)))
        except WaitingCancelled:
            break
        except CtsegError as error:
            _say(str(error), is_error=True)
    return layers or NOTHING


def open_path(path: Path) -> list[LayerData]:
    """LayerData of a file or DICOM folder, one layer for each volume of a 4D file or chosen series, the first one visible.

    Several DICOM series are listed in a dialog; a cancelled one opens nothing. Raises CtsegError for what cannot be read, ChoiceNeeded
    when a file holds too many volumes to open together.
    """
    if formats.kind_of_segmentation(path) is not None:
        return _segmentation_layers(path)
    if formats.is_dicom(path):
        return _dicom_layers(path)
    try:
        return _layers_of(waited(reading.reading(path), path.name), path, plain_name(path))
    except ChoiceNeeded:
        choices = reading.list_choices(path)
        if len(choices) > MOST_TOGETHER:
            raise
    layers: list[LayerData] = []
    for choice in choices:
        part = waited(reading.reading(path, volume=choice.index), path.name)
        for data, settings, kind in _layers_of(part, path, f"{plain_name(path)} {choice.index}"):
            layers.append((data, {**settings, "visible": not layers}, kind))
    return layers


def _dicom_layers(path: Path) -> list[LayerData]:
    """The layers of the series that the user chooses, or of the only one. Without a running application there is nobody to ask."""
    from napari_ctseg.series_list.view import can_ask, choose

    if not can_ask():
        return _layers_of(reading.read(path), path, plain_name(path))
    layers: list[LayerData] = []
    rows = choose(path)
    for row in rows:
        read = reading.reading_view_only if row.use is Use.VIEW_ONLY else reading.reading
        name = plain_name(path) if len(rows) == 1 else f"{plain_name(path)} {row.choice.index}"
        for data, settings, kind in _layers_of(waited(read(path, series=row.choice.uid), path.name), path, name):
            layers.append((data, {**settings, "visible": not layers}, kind))
    return layers


def _segmentation_layers(path: Path) -> list[LayerData]:
    """A labels layer for each layer of a segmentation, on the grid of the image that is open where it belongs to that."""
    grid = _open_grid()
    try:
        maps = waited(reading.reading_layers(path, grid), path.name)
    except GeometryError:
        if grid is None:
            raise
        maps = waited(reading.reading_layers(path), path.name)  # contours of another patient, or of another series that is in the folder
    if len(maps) > MOST_TOGETHER:
        raise FormatError(f"{path}: holds {len(maps)} layers of overlapping segments, too many to open together; "
                          "convert the one that you need: napari-ctseg convert --labels --layer K.")
    layers: list[LayerData] = []
    for k, label_map in enumerate(maps, 1):
        for note in label_map.notes:
            _say(f"{plain_name(path)}: {note}")
        data, settings, kind = label_data(label_map, plain_name(path) if len(maps) == 1 else f"{plain_name(path)} layer {k}")
        layers.append((data, {**settings, "visible": not layers}, kind))
    return layers


def _open_grid() -> Geometry | None:
    """The grid of the image of the current viewer's study; None without one, and for one that has no regular grid."""
    import napari

    viewer = napari.current_viewer()
    name = None if viewer is None else study.study_of(viewer).image
    if viewer is None or name is None or name not in viewer.layers or viewer.layers[name].ndim != 3:
        return None
    image = volume_of(viewer.layers[name])
    return None if isinstance(image, ViewOnlyVolume) else image.geometry


def plain_name(path: Path) -> str:
    """A file's name without its ending, a folder's name."""
    return split_ending(path)[0]


def as_labels(volume: Volume, path: Path) -> LabelMap | None:
    """The volume as a label map when it looks like one: whole numbers from 0 with few values, and unless there are very few,
    a name or folder that says so."""
    array = volume.array
    named = bool(_LABEL_NAME.search(plain_name(path).lower()) or _LABEL_FOLDER.match(path.absolute().parent.name.lower()))
    whole = array.dtype.kind in "iu" or (named and array.dtype.kind == "f")
    if array.ndim != 3 or not array.size or volume.modality in ("CT", "PT") or not whole:
        return None
    values = _few_values(array)
    if values is None or values[0] < 0 or not np.array_equal(values, np.rint(values)):
        return None
    if not named and (len(values) > MOST_LABELS // 2 or values[0] != 0 or values[-1] > 255):
        return None
    return label_names.complete(to_label_map(volume, path), path)


def _layers_of(volume: Volume, path: Path, name: str) -> list[LayerData]:
    label_map = as_labels(volume, path)
    for note in volume.notes:
        _say(f"{name}: {note}")
    if label_map is None:
        return volume_data(volume, name)
    return [label_data(label_map, name if _LABEL_NAME.search(name.lower()) else f"{name} labels")]  # a dataset names both files alike


def _few_values(array: Any) -> Any:
    """The distinct values if there are at most MOST_LABELS, else None; a sample is asked first, for most images end there."""
    step = max(1, array.size // 50_000)
    if len(np.unique(array.reshape(-1)[::step] if array.flags.c_contiguous else array[::4, ::4, ::4])) > MOST_LABELS:
        return None
    values: Any = None
    for plane in array:
        values = np.unique(plane) if values is None else np.union1d(values, plane)
        if len(values) > MOST_LABELS:
            return None
    return values if np.isfinite(values).all() else None


def _say(sentence: str, *, is_error: bool = False) -> None:
    from napari.utils.notifications import show_error, show_info

    (show_error if is_error else show_info)(sentence)
