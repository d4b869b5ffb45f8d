"""The entries of File > IO Utilities, as napari calls them."""

import pytest
from napari._app_model import get_app_model
from napari._app_model.constants import MenuId
from napari._qt.dialogs import qt_reader_dialog
from napari.settings import get_settings
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QFileDialog

from ctseg_imaging import formats
from tests.imaging.formats.dicom.making import save, series


@pytest.fixture
def no_question(monkeypatch):
    """napari's dialog, which must not appear."""
    asked = []
    monkeypatch.setattr(
        qt_reader_dialog.QtReaderDialog,
        "get_user_choices",
        lambda dialog: asked.append(dialog._current_file) or ("", False),
    )
    return asked


def press(command):
    get_app_model().commands.execute_command(f"napari-ctseg.{command}").result()


def test_the_entries_are_in_the_file_menu(viewer):
    listed = [item.command.id for item in get_app_model().menus.get_menu(MenuId.FILE_IO_UTILITIES)]
    assert [one for one in listed if one.startswith("napari-ctseg")] == [
        "napari-ctseg.open_study",
        "napari-ctseg.open_files",
        "napari-ctseg.take_folders",
    ]


def test_a_folder_opens_without_a_question(viewer, no_question, monkeypatch, tmp_path):
    save(tmp_path, series())
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    press("open_study")
    assert len(viewer.layers) == 1 and not no_question


def test_files_open_and_a_picture_is_reported(viewer, monkeypatch, tmp_path, volume):
    formats.write(tmp_path / "case.nii.gz", volume)
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    notification_manager.records.clear()
    files = [str(tmp_path / "photo.png"), str(tmp_path / "case.nii.gz")]
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: (files, ""))
    press("open_files")
    assert [layer.name for layer in viewer.layers] == ["case"]
    assert [str(one.message).partition(":")[0] for one in notification_manager.records] == [files[0]]


def test_a_cancelled_dialog_opens_nothing(viewer, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")
    press("open_study")
    assert not viewer.layers


def test_dropped_folders_open_without_a_question_once_they_are_taken(viewer, no_question, tmp_path):
    (tmp_path / "dicom").mkdir()
    (tmp_path / "pictures").mkdir()
    save(tmp_path / "dicom", series())
    drop = viewer.window._qt_viewer._qt_open
    drop([str(tmp_path / "dicom")], stack=False)
    assert no_question == [str(tmp_path / "dicom")] and not viewer.layers
    press("take_folders")
    drop([str(tmp_path / "dicom")], stack=False)
    drop([str(tmp_path / "pictures")], stack=False)
    assert len(viewer.layers) == 1 and no_question[1:] == [str(tmp_path / "pictures")]
    press("take_folders")
    assert not get_settings().plugins.extension2reader
