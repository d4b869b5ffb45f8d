"""The list of series, answered through the reader that napari calls, with the keyboard."""

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_ctseg.files.readers import NOTHING, get_reader
from napari_ctseg.series_list.view import SeriesDialog
from napari_ctseg.viewer.layers import KEY, volume_of
from tests.imaging.formats.dicom.making import HU, OTHER, plane, save, series


def answering(action, seen):
    """Once the list is shown, call `action` with it. seen : gets the texts of the list."""

    def look():
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, SeriesDialog) or dialog.study is None:
            QTimer.singleShot(20, look)
            return
        seen.append([dialog.table.item(k, 1).text() for k in range(dialog.table.rowCount())])
        action(dialog)

    QTimer.singleShot(20, look)


def opened(path):
    return get_reader(str(path))(str(path))


def enter(dialog):
    QTest.keyClick(dialog.table, Qt.Key.Key_Return)


@pytest.fixture
def two(tmp_path):
    planes = [*series(AcquisitionNumber=1), *[plane(k, HU[k] + 50, AcquisitionNumber=2) for k in range(7)]]
    return save(tmp_path / "patient", planes)


def test_the_arrow_keys_and_enter_open_one(qtbot, two):
    seen = []

    def second(dialog):
        QTest.keyClick(dialog.table, Qt.Key.Key_Down)
        enter(dialog)

    answering(second, seen)
    [(data, settings, kind)] = opened(two)
    assert ["acquisition 1" in seen[0][0], "acquisition 2" in seen[0][1]] == [True, True]
    source = settings["metadata"][KEY]
    np.testing.assert_array_equal(source.view.invert(data), HU + 50)
    assert kind == "image" and settings["name"] == "CT abdomen"
    assert not [word for word in ("Nobody", "0815") if word in " ".join(seen[0])]


def test_several_are_opened_side_by_side(qtbot, two):
    def both(dialog):
        QTest.keyClick(dialog.table, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
        enter(dialog)

    answering(both, [])
    layers = opened(two)
    assert [settings["name"] for _, settings, _ in layers] == ["CT abdomen 1", "CT abdomen 2"]
    assert [settings["visible"] for _, settings, _ in layers] == [True, False]


def test_escape_opens_nothing(qtbot, two):
    answering(lambda dialog: QTest.keyClick(dialog.table, Qt.Key.Key_Escape), [])
    assert opened(two) == NOTHING


def test_pictures_and_numbers_of_slices_are_shown(qtbot, two):
    found = {}

    def look(dialog):
        if any(dialog.table.item(k, 0).icon().isNull() for k in range(2)):
            QTimer.singleShot(20, lambda: look(dialog))
            return
        found["slices"] = [dialog.table.item(k, 2).text() for k in range(2)]
        found["voxels"] = dialog.table.item(0, 3).text()
        size = dialog.table.item(0, 0).icon().availableSizes()[0]
        found["picture"] = size.width(), size.height()
        dialog.reject()

    answering(look, [])
    assert opened(two) == NOTHING
    assert found == {
        "slices": ["7", "7"],
        "voxels": "0.9 × 1.7 × 3",
        "picture": (round(72 * 9 * 0.9 / (8 * 1.7)), 72),
    }


def test_the_list_belongs_to_the_window_of_the_viewer(make_napari_viewer, two):
    """As its child it has napari's theme and lies in front of it."""
    viewer = make_napari_viewer()
    parents = []

    def look(dialog):
        parents.append(dialog.parent())
        dialog.reject()

    answering(look, [])
    assert opened(two) == NOTHING
    assert parents == [viewer.window._qt_window]


def test_a_single_series_is_opened_unasked(qtbot, tmp_path):
    from napari.utils.notifications import notification_manager

    scout = plane(0, SeriesInstanceUID=OTHER, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    folder = save(tmp_path / "ct", [*series(), scout])
    notification_manager.records.clear()
    [(_, settings, _)] = opened(folder)
    assert settings["name"] == "CT abdomen"
    skipped = "Smaller series were skipped (CT, localiser"
    assert sum(skipped in str(one.message) for one in notification_manager.records) == 1


def test_an_incomplete_series_is_offered_as_view_only(make_plugin_viewer, tmp_path):
    planes = series()
    del planes[3]
    folder = save(tmp_path / "ct", planes)
    reasons = []

    def agree(dialog):
        reasons.append(dialog.reason.text())
        enter(dialog)

    answering(agree, [])
    [(data, settings, _)] = opened(folder)
    assert "1 slice is missing" in reasons[0] and "not measured" in reasons[0]
    viewer = make_plugin_viewer()
    layer = viewer.add_image(data, **settings)
    assert layer.name == "CT abdomen (view only)" and volume_of(layer).why


def test_what_cannot_be_read_is_a_sentence_or_cannot_be_selected(qtbot, tmp_path):
    broken = [plane(k, SeriesInstanceUID=OTHER, RescaleSlope="0") for k in range(7)]
    folder = save(tmp_path / "ct", broken)
    assert opened(folder) == NOTHING
    two = save(
        tmp_path / "two",
        [
            *series(AcquisitionNumber=1),
            *[plane(k, HU[k], AcquisitionNumber=2, RescaleSlope="0") for k in range(7)],
        ],
    )
    chosen = []

    def everything(dialog):
        dialog.table.selectAll()
        chosen.extend(row.choice.apart for row in dialog.selected().series)
        dialog.reject()

    answering(everything, [])
    assert opened(two) == NOTHING
    assert chosen == ["acquisition 1"]
