"""Many DICOM files that are dropped on the viewer, or chosen in File > Open, through napari's own way to a
reader.
"""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from ctseg_imaging import formats
from ctseg_imaging.volume import LabelMap
from napari_ctseg.series_list.view import SeriesDialog
from napari_ctseg.viewer.layers import KEY, volume_of
from tests.imaging.formats.dicom.making import HU, OTHER, plane, save, series

ENTER = Qt.Key.Key_Return, Qt.KeyboardModifier.NoModifier


def drop(viewer, paths, *, stack=False):
    """As a drop does (stack: with Shift held down)."""
    viewer.window._qt_viewer._qt_open([str(path) for path in paths], stack=stack, plugin="napari-ctseg")


def answering(keys, seen):
    """Press `keys` in every list of series that appears. seen : gets the texts of each list."""
    timer = QTimer()

    def look():
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, SeriesDialog) and dialog.study is not None:
            seen.append([dialog.table.item(k, 1).text() for k in range(dialog.table.rowCount())])
            for key, modifier in keys:
                QTest.keyClick(dialog.table, key, modifier)

    timer.timeout.connect(look)
    timer.start(20)
    return timer


@pytest.mark.parametrize("stack", [False, True])
def test_the_slices_of_a_series_open_one_volume(viewer, tmp_path, stack):
    folder = save(tmp_path / "ct", series())
    drop(viewer, sorted(folder.iterdir()), stack=stack)
    assert [layer.name for layer in viewer.layers] == ["CT abdomen"]
    np.testing.assert_array_equal(volume_of(viewer.layers[0]).array, HU)


def test_some_of_the_slices_stand_for_their_series(viewer, tmp_path):
    folder = save(tmp_path / "ct", [*series(), *[plane(k, SeriesInstanceUID=OTHER) for k in range(7)]])
    own = sorted(folder.iterdir())
    drop(viewer, own[:3])  # names run backwards: the last files of OTHER
    assert len(viewer.layers) == 1
    assert viewer.layers[0].metadata[KEY].header.series_uid == OTHER


def test_several_series_are_asked_about_once(viewer, tmp_path):
    third = [plane(k, SeriesInstanceUID=f"{OTHER[:60]}.3") for k in range(7)]
    folder = save(
        tmp_path / "ct",
        [*series(), *[plane(k, HU[k] + 50, SeriesInstanceUID=OTHER) for k in range(7)], *third],
    )
    seen = []
    timer = answering([(Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier), ENTER], seen)
    drop(
        viewer,
        [
            file
            for file in sorted(folder.iterdir())
            if f"{OTHER[:60]}.3" not in file.read_bytes().decode("latin1")
        ],
    )
    timer.stop()
    assert len(seen) == 1 and len(seen[0]) == 2  # the third series was not among the files
    assert sorted(int(volume_of(layer).array.min()) for layer in viewer.layers) == [HU.min(), HU.min() + 50]


def test_cancelled_once_is_cancelled_for_all(viewer, tmp_path):
    folder = save(tmp_path / "ct", [*series(), *[plane(k, SeriesInstanceUID=OTHER) for k in range(7)]])
    seen = []
    timer = answering([(Qt.Key.Key_Escape, Qt.KeyboardModifier.NoModifier)], seen)
    drop(viewer, sorted(folder.iterdir()))
    timer.stop()
    assert len(seen) == 1 and not viewer.layers


def test_a_mixed_drop_opens_each_thing_once(viewer, tmp_path, volume):
    formats.write(tmp_path / "case.nii.gz", volume)
    first, second = save(tmp_path / "a", series()), save(tmp_path / "b", series(SeriesInstanceUID=OTHER))
    files = [*sorted(first.iterdir()), tmp_path / "case.nii.gz", *sorted(second.iterdir())]
    drop(viewer, files)
    assert [layer.name for layer in viewer.layers] == ["CT abdomen", "case", "CT abdomen [1]"]


def test_one_fault_is_one_sentence(viewer, tmp_path):
    from napari.utils.notifications import notification_manager

    folder = save(tmp_path / "ct", series(RescaleSlope="0"))
    notification_manager.records.clear()
    drop(viewer, sorted(folder.iterdir()))
    assert not viewer.layers
    assert len([one for one in notification_manager.records if "RescaleSlope" in str(one.message)]) == 1


@pytest.mark.parametrize("name", ["IM000001", "1.2.840.113619.2.55.3", "slice.IMA", "I1", "DICOMDIR"])
def test_names_that_scanners_give_are_offered_to_the_reader(viewer, tmp_path, name):
    from napari.plugins import _npe2

    assert _npe2.get_readers(str(tmp_path / name)) == {"napari-ctseg": "CT segmentation"}


def test_pictures_are_left_to_others(viewer, tmp_path):
    from napari.plugins import _npe2

    for name in ("photo.tif", "a.png", "1.2.tif", "table.csv", "IM1.jpg"):
        assert "napari-ctseg" not in _npe2.get_readers(str(tmp_path / name))


def test_segmentations_that_are_dropped_together_all_open(viewer, tmp_path):
    """On the image that is open, without a question; with slices of their series among them, each once."""
    needed = {"StudyDate": "20200101", "FrameOfReferenceUID": "1.2.3"}
    folder = save(tmp_path / "ct", series(**needed))
    volume = formats.read(folder)
    for value, name in enumerate(("liver.dcm", "spleen.rtstruct.dcm"), 1):
        array = np.zeros(volume.geometry.shape, np.uint8)
        array[2:5, 1:6, value : value + 3] = 1
        formats.write(folder / name, LabelMap(array, volume.geometry), like=volume)
    drawn = [folder / "liver.dcm", folder / "spleen.rtstruct.dcm"]
    drop(viewer, [folder / "001.dcm"])
    drop(viewer, drawn)
    assert [layer.name for layer in viewer.layers] == ["CT abdomen", "liver.dcm", "spleen.rtstruct.dcm"]
    for layer in viewer.layers[1:]:
        assert layer.metadata[KEY].geometry.matches(volume.geometry) == "same"
    viewer.layers.clear()
    drop(viewer, [folder / "001.dcm", drawn[0]])
    assert [layer.name for layer in viewer.layers] == ["CT abdomen", "liver.dcm"]
