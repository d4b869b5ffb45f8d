"""A sentence is shown whole and stays, in the real viewer."""

from napari._qt.dialogs.qt_notification import NapariQtNotification

from napari_ctseg.readers import read_for_napari


def test_the_sentence_about_a_bad_file_is_shown_whole_and_stays(make_napari_viewer, tmp_path, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(700, 600)
    place = tmp_path / "a folder with a long name" / "another folder with a long name"
    place.mkdir(parents=True)
    (place / "empty.nii.gz").write_bytes(b"")
    NapariQtNotification._instances.clear()
    read_for_napari(str(place / "empty.nii.gz"))
    (dialog,) = NapariQtNotification._instances
    qtbot.wait(50)
    label = dialog.message
    assert str(place) in label.text() and "…" not in label._elidedText() and label._elidedText() == label.text()
    assert not dialog.timer.isActive() and dialog.height() >= label.height()
    assert dialog.x() >= 0 and dialog.geometry().right() <= dialog.parent().width()
    dialog.leaveEvent(None)
    assert not dialog.timer.isActive()
    dialog.close()
