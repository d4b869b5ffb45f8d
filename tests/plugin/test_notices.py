"""A sentence is shown whole and stays, in the real viewer."""

from itertools import pairwise

from napari._qt.dialogs.qt_notification import NapariQtNotification

from napari_ctseg import notices
from napari_ctseg.files.readers import read_for_napari


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
    assert (
        str(place) in label.text() and "…" not in label._elidedText() and label._elidedText() == label.text()
    )
    assert not dialog.timer.isActive() and dialog.height() >= label.height()
    assert dialog.x() >= 0 and dialog.geometry().right() <= dialog.parent().width()
    dialog.leaveEvent(None)
    assert not dialog.timer.isActive()
    dialog.close()


def test_sentences_stand_one_above_the_other_and_each_only_once(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(900, 700)
    NapariQtNotification._instances.clear()
    for number in range(20):
        notices.warning(f"Sentence {number}: this file could not be read, because it is empty; get it again.")
    notices.warning("Sentence 19: this file could not be read, because it is empty; get it again.")
    dialogs = list(NapariQtNotification._instances)
    assert len(dialogs) == 20

    def seen():
        return [dialog for dialog in NapariQtNotification._instances if dialog.isVisible()]

    def apart(some):
        return all(
            below.y() >= above.geometry().bottom() and above.y() >= 0 for above, below in pairwise(some)
        )

    assert 2 < len(seen()) < 20 and apart(seen()) and seen()[-1] is dialogs[-1]
    room = len(seen())
    for dialog in seen():
        dialog.close()
    assert len(seen()) == room and apart(seen())  # the earlier ones have their turn
    viewer.window.resize(900, 500)
    qtbot.waitUntil(lambda: 1 < len(seen()) < room and apart(seen()))
