"""File > IO Utilities: a study or files opened with this plugin's reader, without napari's question about
which reader to use.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import napari
from napari.settings import get_settings
from napari.utils.history import get_open_history, update_open_history
from qtpy.QtWidgets import QFileDialog

from napari_ctseg import notices
from napari_ctseg.background.waiting import front_window
from napari_ctseg.files.readers import EVERY_FOLDER, PLUGIN, get_reader


def open_study() -> None:
    """Ask for a folder and open it; several patients, studies or series in it are listed to choose from."""
    folder = QFileDialog.getExistingDirectory(front_window(), "Open CT/MR study", get_open_history()[0])
    open_paths([Path(folder)] if folder else [])


def open_files() -> None:
    """Ask for files and open them."""
    files, _ = QFileDialog.getOpenFileNames(front_window(), "Open CT/MR files", get_open_history()[0])
    open_paths([Path(file) for file in files])


def open_paths(paths: Sequence[Path]) -> None:
    """Open what this plugin reads of `paths`; the others are reported."""
    viewer = napari.current_viewer()
    if viewer is None:
        return
    readable = [path for path in paths if get_reader(str(path)) is not None]
    for path in paths:
        if path not in readable:
            notices.error(f"{path}: is not a CT or MR volume; open it with File > Open File(s).")
    if readable:
        viewer.open([str(path) for path in readable], plugin=PLUGIN)
        update_open_history(str(readable[0]))


def take_folders() -> None:
    """Switch whether napari gives every folder that is opened or dropped to this plugin first, instead of
    asking for each. A folder without DICOM is then asked about as before.
    """
    readers = dict(get_settings().plugins.extension2reader)
    if readers.get(EVERY_FOLDER) == PLUGIN:
        del readers[EVERY_FOLDER]
        notices.info("Folders: napari asks again which reader opens a folder.")
    else:
        readers[EVERY_FOLDER] = PLUGIN
        notices.info("Folders: DICOM folders that are opened or dropped open without a question now.")
    get_settings().plugins.extension2reader = readers
