"""What napari opens or has dropped on it: volumes, DICOM folders and label maps, as layers with their
geometry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ctseg_imaging import formats
from ctseg_imaging.errors import ChoiceNeeded, CtsegError
from ctseg_imaging.formats.dicom.reading import looks_like_file
from napari_ctseg.background.waiting import WaitingCancelled, waited
from napari_ctseg.compute import reading
from napari_ctseg.files import opened_together
from napari_ctseg.files.dicom_opening import segmentation_layers, series_layers
from napari_ctseg.files.layer_data import MOST_TOGETHER, layers_of, plain_name, show_notes
from napari_ctseg.recovery import autosave
from napari_ctseg.viewer import orientation, study
from napari_ctseg.viewer.layers import LayerData

PLUGIN = "napari-ctseg"
EVERY_FOLDER = "*/"  # as napari's settings name the reader of all folders
NOTHING = [(None,)]  # napari's word for "handled, no layer to add"


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[Any]] | None:
    """napari's question whether this plugin reads `path`: a look at names and first bytes only.

    A folder or a file without an ending comes here only where the user chose this plugin for it, or no other
    one takes it: then the answer to one that is not DICOM is the reader's sentence, where napari would show a
    traceback. Where the user has given every folder to this plugin, napari asks about the others.
    """
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]
    return read_for_napari if paths and all(_is_taken(one) for one in paths) else None


def _is_taken(path: Path) -> bool:
    if path.is_dir():
        return not takes_folders() or formats.is_readable(path)
    return not path.suffix or formats.is_readable(path)


def takes_folders() -> bool:
    """Whether napari gives every folder to this plugin first."""
    from napari.settings import get_settings

    return bool(get_settings().plugins.extension2reader.get(EVERY_FOLDER) == PLUGIN)


def read_for_napari(path: str | Sequence[str]) -> list[Any]:
    """LayerData of every path. What cannot be read becomes a notification with its sentence, and the others
    go on.
    """
    orientation.attach_current()
    study.follow_current()
    autosave.attach_current()
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]
    layers: list[Any] = []
    for one in paths:
        try:
            layers.extend(_layers_once(one, paths if len(paths) > 1 else opened_together.opened_with(one)))
        except WaitingCancelled:
            break
        except CtsegError as error:
            show_notes(str(error), is_error=True)
    return layers or NOTHING


def _layers_once(path: Path, opened: list[Path]) -> list[LayerData]:
    """As `open_path`. opened : what is opened with it; the DICOM files of one folder among them are opened by
    the first one of them, unless all are segmentations.
    """
    if (
        len(opened) == 1
        or not path.is_file()
        or not looks_like_file(path)
        or _only_segmentations(path, opened)
    ):
        return open_path(path)
    if not opened_together.leads(path, opened):
        return []
    files = opened_together.dicom_files(path, opened)
    return open_path(path) if len(files) == 1 else series_layers(path.parent, files)


def _only_segmentations(path: Path, opened: list[Path]) -> bool:
    if formats.kind_of_segmentation(path) is None:
        return False
    return all(
        formats.kind_of_segmentation(one) is not None for one in opened_together.dicom_files(path, opened)
    )


def open_path(path: Path) -> list[LayerData]:
    """LayerData of a file or DICOM folder, one layer for each volume of a 4D file or chosen series, the first
    one visible.

    Several DICOM series are listed in a dialog; a cancelled one opens nothing. Raises CtsegError for what
    cannot be read, ChoiceNeeded when a file holds too many volumes to open together.
    """
    if formats.kind_of_segmentation(path) is not None:
        return segmentation_layers(path)
    if formats.is_dicom(path):
        return series_layers(path)
    try:
        return layers_of(waited(reading.reading(path), path.name), path, plain_name(path))
    except ChoiceNeeded:
        choices = reading.list_choices(path)
        if len(choices) > MOST_TOGETHER:
            raise
    layers: list[LayerData] = []
    for choice in choices:
        part = waited(reading.reading(path, volume=choice.index), path.name)
        for data, settings, kind in layers_of(part, path, f"{plain_name(path)} {choice.index}"):
            layers.append((data, {**settings, "visible": not layers}, kind))
    return layers
