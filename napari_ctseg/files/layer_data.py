"""What was read as LayerData for napari: an image, or labels where a volume looks like a label map; remarks
become notifications.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ctseg_imaging import label_names
from ctseg_imaging.endings import split_ending
from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.label_maps import to_label_map
from ctseg_imaging.volume import LabelMap, Volume
from napari_ctseg.export.review_record import with_marks
from napari_ctseg.viewer.layers import LayerData, label_data, volume_data

MOST_LABELS = 64
MOST_TOGETHER = 8  # volumes or layers of one file that are opened side by side
_LABEL_NAME = re.compile(
    r"(^|[^a-z])(labels?|seg|segmentations?|masks?|truth|gt|annotations?|prediction|pred)([^a-z]|$)"
)
_LABEL_FOLDER = re.compile(r"^(labels?|masks?|segmentations?|truth)(tr|ts|val)?$")


def plain_name(path: Path) -> str:
    """A file's name without its ending, a folder's name."""
    return split_ending(path)[0]


def as_labels(volume: Volume, path: Path) -> LabelMap | None:
    """The volume as a label map when it looks like one: whole numbers from 0 with few values, and unless
    there are very few, a name or folder that indicates it.
    """
    array = volume.array
    named = bool(
        _LABEL_NAME.search(plain_name(path).lower())
        or _LABEL_FOLDER.match(path.absolute().parent.name.lower())
    )
    whole = array.dtype.kind in "iu" or (named and array.dtype.kind == "f")
    if array.ndim != 3 or not array.size or volume.modality in ("CT", "PT") or not whole:
        return None
    values = _few_values(array)
    if values is None or values[0] < 0 or not np.array_equal(values, np.rint(values)):
        return None
    if not named and (len(values) > MOST_LABELS // 2 or values[0] != 0 or values[-1] > 255):
        return None
    return label_names.complete(to_label_map(volume, path), path)


def layers_of(volume: Volume, path: Path, name: str) -> list[LayerData]:
    """The layers of a volume called `name`. path : its file, which tells labels from images."""
    label_map = as_labels(volume, path)
    if label_map is None:
        return image_layers(volume, name)
    _say_notes(volume.notes, name)
    layer = label_data(label_map, name if _LABEL_NAME.search(name.lower()) else f"{name} labels")
    return [_reviewed(layer, label_map, path)]  # a dataset names both files alike


def image_layers(volume: Volume, name: str) -> list[LayerData]:
    """The layers of an image called `name`, one a channel."""
    _say_notes(volume.notes, name)
    return volume_data(volume, name)


def label_layers(maps: Sequence[LabelMap], path: Path) -> list[LayerData]:
    """A labels layer for each layer of the segmentation `path`, the first one visible. Raises FormatError for
    too many.
    """
    if len(maps) > MOST_TOGETHER:
        raise FormatError(
            f"{path}: contains {len(maps)} layers of overlapping segments, too many to open together; "
            "convert the one you need: napari-ctseg convert --labels --layer K."
        )
    layers: list[LayerData] = []
    for k, label_map in enumerate(maps, 1):
        _say_notes(label_map.notes, plain_name(path))
        layer = label_data(label_map, plain_name(path) if len(maps) == 1 else f"{plain_name(path)} layer {k}")
        data, settings, kind = _reviewed(layer, label_map, path)
        layers.append((data, {**settings, "visible": not layers}, kind))
    return layers


def _reviewed(layer: LayerData, label_map: LabelMap, path: Path) -> LayerData:
    """The layer with the review marks next to its file."""
    reviewed, fault = with_marks(layer, label_map, path)
    _say_notes([fault] if fault else [], plain_name(path))
    return reviewed


def _say_notes(notes: Sequence[str], name: str) -> None:
    for note in notes:
        show_notes(f"{name}: {note}")


def _few_values(array: Any) -> Any:
    """The distinct values if there are at most MOST_LABELS, else None; a sample is asked first, for most
    images end there.
    """
    step = max(1, array.size // 50_000)
    if (
        len(np.unique(array.reshape(-1)[::step] if array.flags.c_contiguous else array[::4, ::4, ::4]))
        > MOST_LABELS
    ):
        return None
    values: Any = None
    for plane in array:
        values = np.unique(plane) if values is None else np.union1d(values, plane)
        if len(values) > MOST_LABELS:
            return None
    return values if np.isfinite(values).all() else None


def show_notes(sentence: str, *, is_error: bool = False) -> None:
    """Show a notification."""
    from napari_ctseg import notices

    (notices.error if is_error else notices.info)(sentence)
