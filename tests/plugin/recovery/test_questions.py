"""The question on leaving, with the buttons of the real dialog: each does what its text promises and
nothing that was drawn is lost.
"""

import nibabel
import numpy as np
import pytest
from napari._qt.dialogs.confirm_close_dialog import ConfirmCloseDialog
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QCloseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMessageBox, QPushButton

from ctseg_imaging import formats
from napari_ctseg.journal import folder
from napari_ctseg.journal.replay import replay
from napari_ctseg.journal.writer import WRITER
from napari_ctseg.recovery.autosave import autosave_of
from napari_ctseg.recovery.widgets.one_question import NAME
from napari_ctseg.viewer.layers import label_map_of
from napari_ctseg.viewer.reference import release
from tests.pace import PATIENCE_MS
from tests.plugin.docks.correct.test_correct import drag, image, mask
from tests.plugin.pressing import answers, cancels, escapes, in_dialog, saves, shuts, types

KEEP, DISCARD, EXPORT, CANCEL = "Save for next time", "Discard", "Export…", "Cancel"


@pytest.fixture
def painted(make_napari_viewer, tmp_path):
    """A viewer, a mask with a stroke that was not exported, and its voxels."""
    formats.write(tmp_path / "ct.nii.gz", image())
    formats.write(tmp_path / "labels.nii.gz", mask())
    viewer = make_napari_viewer(show=True)
    viewer.open(str(tmp_path / "ct.nii.gz"), plugin="napari-ctseg")
    (layer,) = viewer.open(str(tmp_path / "labels.nii.gz"), plugin="napari-ctseg")
    release(layer)
    layer.mode, layer.selected_label, layer.brush_size = "paint", 3, 4
    drag(layer, [(4, 10, 6), (4, 10, 12), (4, 12, 18)])
    return viewer, layer, layer.data.copy()


def close(viewer):
    """What Qt does when the window is to close; gives whether it may. The window itself is left to the
    fixture.
    """
    event = QCloseEvent()
    QApplication.sendEvent(viewer.window._qt_window, event)
    return event.isAccepted()


def kept():
    WRITER.flush()
    return folder.find()


def in_folder(folder_, name):
    return [types(folder_ / name), saves()]


def exported(path, layer, voxels):
    """Whether the file holds the voxels of the layer, read without a line of ours; `label_map_of` only turns
    them round.
    """
    stored = label_map_of(layer).array
    return np.array_equal(np.asarray(nibabel.load(path).dataobj).T, stored) and np.array_equal(
        layer.data, voxels
    )


def test_the_window_closes_on_keep_and_the_mask_is_found_again(painted):
    viewer, _, voxels = painted
    in_dialog(answers(KEEP))
    assert close(viewer)
    (one,) = kept()
    assert np.array_equal(replay(one.path).shown, voxels)


def test_the_window_closes_on_discard_and_the_mask_can_be_brought_back(painted):
    viewer, _, voxels = painted
    in_dialog(answers(DISCARD))
    assert close(viewer) and not kept()
    folder.bring_back(folder.discarded()[0].path)
    assert np.array_equal(replay(kept()[0].path).shown, voxels)


def test_the_window_closes_on_export_once_the_file_is_written(painted, tmp_path):
    viewer, layer, voxels = painted
    in_dialog(answers(EXPORT), *in_folder(tmp_path, "out"))
    assert close(viewer) and not kept() and exported(tmp_path / "out.nii.gz", layer, voxels)


@pytest.mark.parametrize(
    "acts",
    [[answers(CANCEL)], [escapes()], [answers(EXPORT), cancels()]],
    ids=["cancel", "escape", "no file"],
)
def test_the_window_stays(painted, acts):
    viewer, layer, voxels = painted
    in_dialog(*acts)
    assert not close(viewer) and layer in viewer.layers
    (one,) = kept()
    assert np.array_equal(replay(one.path).shown, voxels)


def test_the_window_stays_when_the_export_would_replace_the_image(painted, tmp_path):
    viewer, _, _ = painted
    before = (tmp_path / "ct.nii.gz").read_bytes()
    in_dialog(answers(EXPORT), types(tmp_path / "ct.nii.gz"), saves(), answers("Yes"), answers("OK"))
    assert not close(viewer) and (tmp_path / "ct.nii.gz").read_bytes() == before and len(kept()) == 1


@pytest.mark.parametrize("answer", [KEEP, DISCARD])
def test_the_trash_button_asks_and_loses_nothing(painted, qtbot, answer):
    viewer, layer, voxels = painted
    viewer.layers.selection = {layer}
    in_dialog(answers(answer))
    trash = viewer.window._qt_viewer.layerButtons.deleteButton
    assert isinstance(trash, QPushButton)
    QTest.mouseClick(trash, Qt.MouseButton.LeftButton)
    assert layer not in viewer.layers
    qtbot.waitUntil(
        lambda: len(kept()) == (answer == KEEP) and len(folder.discarded()) == (answer == DISCARD),
        timeout=PATIENCE_MS,
    )
    (one,) = kept() or folder.discarded()
    assert np.array_equal(replay(one.path).shown, voxels)


@pytest.mark.parametrize("leave", [escapes(), shuts()], ids=["escape", "x"])
@pytest.mark.parametrize("what", ["layer", "dock"])
def test_a_question_without_cancel_that_is_left_keeps_the_edits(painted, qtbot, leave, what):
    viewer, layer, voxels = painted
    kind, press = leave
    shown = []
    in_dialog((kind, lambda question: (shown.append((question.icon(), question.text())), press(question))))
    if what == "layer":
        viewer.layers.remove(layer)
    else:
        frame, dock = viewer.window.add_plugin_dock_widget("napari-ctseg", "Correct & export")
        dock.controller.choose(layer.name)
        viewer.window.remove_dock_widget(frame)
    qtbot.waitUntil(lambda: bool(shown) and QApplication.activeModalWidget() is None, timeout=PATIENCE_MS)
    (one,) = kept()
    assert np.array_equal(replay(one.path).shown, voxels) and not folder.discarded()
    assert shown == [(QMessageBox.Icon.Question, f"{layer.name}: not exported, 1 step.")]


def test_edits_that_are_asked_about_are_not_offered_before_the_image_is_opened_again(
    painted, qtbot, tmp_path
):
    viewer, layer, _ = painted
    autosave, seen = autosave_of(viewer), []
    kind, press = answers(KEEP)

    def look(question):
        QApplication.processEvents()  # the list, if it were offered, is there now
        seen.append((autosave.questions.dialog, autosave.waiting, autosave.everything))
        press(question)

    in_dialog((kind, look))
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: len(autosave.waiting) == 1, timeout=PATIENCE_MS)
    QApplication.processEvents()
    assert seen == [(None, (), ())] and autosave.questions.dialog is None
    viewer.layers.clear()
    viewer.open(str(tmp_path / "ct.nii.gz"), plugin="napari-ctseg")
    qtbot.waitUntil(lambda: autosave.questions.dialog is not None, timeout=PATIENCE_MS)


@pytest.mark.parametrize("what", ["layer", "dock"])
def test_an_open_restore_list_shows_what_was_discarded_in_the_question(painted, qtbot, what):
    viewer, layer, _ = painted
    autosave = autosave_of(viewer)
    autosave.questions.show_offer()
    listed = autosave.questions.dialog.kept
    assert listed.list.count() == 0
    in_dialog(answers(DISCARD))
    if what == "layer":
        viewer.layers.remove(layer)
    else:
        frame, dock = viewer.window.add_plugin_dock_widget("napari-ctseg", "Correct & export")
        dock.controller.choose(layer.name)
        viewer.window.remove_dock_widget(frame)
    qtbot.waitUntil(lambda: listed.list.count() == 1, timeout=PATIENCE_MS)
    assert (
        "discarded" in listed.list.item(0).text()
        and not listed.restore.isEnabled()
        and listed.back.isEnabled()
    )


WAYS = {
    "the window's X": lambda window: window.windowHandle().close(),
    "Ctrl+Q": lambda window: window.close(quit_app=True, confirm_need=True),
    "Ctrl+W": lambda window: window.close(quit_app=False, confirm_need=True),
}


class LastEar(QObject):
    """Hears of a close that napari_ctseg lets pass, before napari does, and ends it there until it is taken
    out.
    """

    def __init__(self, viewer):
        window = viewer.window._qt_window
        super().__init__(window)
        self.heard = []
        for ear in (self, autosave_of(viewer).questions, window.findChild(QObject, NAME)):
            window.installEventFilter(ear)  # the last one hears first

    def eventFilter(self, watched, event):
        if event.type() != QEvent.Type.Close:
            return False
        self.heard.append("X" if event.spontaneous() else "program")
        event.ignore()
        return True


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("answer", [KEEP, CANCEL])
def test_it_is_the_only_question(painted, qtbot, monkeypatch, way, answer):
    viewer, _, voxels = painted
    window, asked, answered = viewer.window._qt_window, [], []
    monkeypatch.setattr(ConfirmCloseDialog, "exec_", lambda dialog: asked.append(dialog) or 0)
    ear = LastEar(viewer)
    kind, press = answers(answer)
    in_dialog((kind, lambda question: (answered.append(answer), press(question))))
    WAYS[way](window)
    qtbot.waitUntil(lambda: bool(answered), timeout=PATIENCE_MS)
    if answer == KEEP:  # napari does not ask about a close that is not spontaneous
        qtbot.waitUntil(lambda: ear.heard == ["program"], timeout=PATIENCE_MS)
    assert not asked and ear.heard == (["program"] if answer == KEEP else []) and window._quit_app is False
    window.removeEventFilter(ear)
    (one,) = kept()
    assert np.array_equal(replay(one.path).shown, voxels)


def test_without_edits_napari_asks_as_ever(painted, monkeypatch):
    viewer, layer, _ = painted
    layer.undo()
    autosave_of(viewer).recording(layer).exported()
    asked = []
    monkeypatch.setattr(ConfirmCloseDialog, "exec_", lambda dialog: asked.append(dialog) or 0)
    viewer.window._qt_window.close(quit_app=True, confirm_need=True)
    assert len(asked) == 1 and viewer.window._qt_window.isVisible()
