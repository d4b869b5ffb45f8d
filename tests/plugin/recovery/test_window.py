"""Leaving, restoring and other viewers in the real viewer, with the proxy that a plugin really gets."""

import os
import subprocess
import sys

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication

from ctseg_imaging import formats
from napari_ctseg.journal import folder
from napari_ctseg.journal.replay import replay
from napari_ctseg.journal.writer import WRITER
from napari_ctseg.recovery.answers import Answer
from napari_ctseg.recovery.autosave import autosave_of
from napari_ctseg.viewer.painting import Painting
from napari_ctseg.viewer.reference import release
from napari_ctseg.viewer.study import study_of
from tests.plugin.docks.correct.test_correct import drag, image, mask


@pytest.fixture
def files(tmp_path):
    formats.write(tmp_path / "ct.nii.gz", image())
    formats.write(tmp_path / "labels.nii.gz", mask())
    return tmp_path


@pytest.fixture
def opened(make_napari_viewer, files, qtbot):
    """A viewer with image and labels as napari's own Open brings them; no dock."""
    return open_in(make_napari_viewer(show=True), files)


def open_in(viewer, files):
    viewer.open(str(files / "ct.nii.gz"), plugin="napari-ctseg")
    (layer,) = viewer.open(str(files / "labels.nii.gz"), plugin="napari-ctseg")
    release(layer)
    return viewer, layer


def paint(layer):
    layer.mode, layer.selected_label, layer.brush_size = "paint", 3, 4
    drag(layer, [(4, 10, 6), (4, 10, 12), (4, 12, 18)])


def questions(viewer, *answers):
    """Answers in turn; gives the list of what was asked."""
    asked, left = [], list(answers)

    def ask(recordings, may_stay):
        assert WRITER.flush(0.5)  # everything is on the disk before the question
        asked.append(([one.layer.name for one in recordings], may_stay))
        return left.pop(0)

    autosave_of(viewer).questions.ask = ask
    return asked


def close(viewer):
    """What Qt does when the window is to close, whichever way; gives whether it may. The window itself is
    left to the fixture.
    """
    event = QCloseEvent()
    QApplication.sendEvent(viewer.window._qt_window, event)
    return event.isAccepted()


def journals():
    WRITER.flush()
    return list(folder.folder().glob("*.journal"))


def test_strokes_are_kept_without_any_dock_and_napari_s_keys_undo_them(opened, qtbot):
    viewer, layer = opened
    before = layer.data.copy()
    paint(layer)
    painted = layer.data.copy()
    assert len(journals()) == 1 and not np.array_equal(before, painted)
    viewer.layers.selection.active = layer
    canvas = viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(layer.data, before)
    qtbot.keyClick(
        canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    )
    assert np.array_equal(layer.data, painted)


def test_an_array_of_another_shape_ends_the_journal_and_what_is_kept_stays(opened):
    viewer, layer = opened
    messages = []
    autosave_of(viewer).message.connect(messages.append)
    paint(layer)
    painted = layer.data.copy()
    layer.data = np.zeros((9, 20, 20), np.uint8)
    layer.paint((4, 10, 10), 1)
    layer.paint((4, 12, 10), 2)
    WRITER.flush()
    (kept,) = folder.find()
    assert np.array_equal(replay(kept.path).shown, painted)
    assert len(messages) == 1 and "another shape" in messages[0] and autosave_of(viewer).unsaved


@pytest.mark.parametrize("answer", list(Answer))
def test_closing_the_window_asks_once(opened, files, answer):
    viewer, layer = opened
    paint(layer)
    painted = layer.data.copy()
    asked = questions(viewer, answer)
    autosave_of(viewer).questions.where = lambda recording: files / "out.nii.gz"
    closed = close(viewer)
    assert asked == [([layer.name], True)] and closed is (answer is not Answer.CANCEL)
    assert len(journals()) == (answer in (Answer.KEEP, Answer.CANCEL)) and len(folder.discarded()) == (
        answer is Answer.DISCARD
    )
    assert len(folder.find()) == len(journals())
    if answer is Answer.EXPORT:
        assert np.array_equal(formats.read_labels(files / "out.nii.gz").array[::-1, :, ::-1], painted)


def test_an_export_that_is_cancelled_keeps_the_window(opened):
    viewer, layer = opened
    paint(layer)
    questions(viewer, Answer.EXPORT)
    autosave_of(viewer).questions.where = lambda recording: None
    assert not close(viewer) and len(journals()) == 1


def test_a_window_without_unexported_edits_closes_without_a_question(opened):
    viewer, _ = opened
    asked = questions(viewer)
    assert close(viewer) and not asked


@pytest.mark.parametrize("answer", [Answer.KEEP, Answer.DISCARD, Answer.EXPORT])
def test_removing_layers_asks_once_and_loses_nothing(opened, qtbot, files, answer):
    viewer, layer = opened
    (other,) = viewer.open(str(files / "labels.nii.gz"), plugin="napari-ctseg")
    release(other)
    paint(layer)
    paint(other)
    asked = questions(viewer, answer)
    autosave_of(viewer).questions.where = lambda recording: files / f"{recording.layer.name}.nrrd"
    viewer.layers.selection = {layer, other}
    viewer.layers.remove_selected()
    qtbot.waitUntil(lambda: bool(asked), timeout=20_000)
    assert len(asked) == 1 and sorted(asked[0][0]) == sorted([layer.name, other.name])
    qtbot.waitUntil(lambda: len(journals()) == (2 if answer is Answer.KEEP else 0), timeout=20_000)
    assert len(folder.discarded()) == (2 if answer is Answer.DISCARD else 0)
    assert len(list(files.glob("*.nrrd"))) == (2 if answer is Answer.EXPORT else 0)
    assert len(autosave_of(viewer).waiting) == (2 if answer is Answer.KEEP else 0)


def test_a_viewer_that_a_program_closes_keeps_everything_without_a_question(make_napari_viewer, files, qtbot):
    viewer, layer = open_in(make_napari_viewer(show=True), files)
    paint(layer)
    asked, painted = questions(viewer), layer.data.copy()
    viewer.close()
    WRITER.flush()
    again, _ = open_in(make_napari_viewer(show=True), files)
    restored = autosave_of(again).restore(folder.find()[0])
    assert not asked and np.array_equal(restored.data, painted)


def test_closing_the_dock_asks_and_the_layer_stays(opened, qtbot):
    viewer, layer = opened
    frame, dock = viewer.window.add_plugin_dock_widget("napari-ctseg", "Correct & export")
    dock.controller.choose(layer.name)
    paint(layer)
    asked = questions(viewer, Answer.KEEP)
    viewer.window.remove_dock_widget(frame)
    qtbot.waitUntil(lambda: bool(asked), timeout=20_000)
    assert asked == [([layer.name], False)] and layer in viewer.layers and len(journals()) == 1
    layer.paint((2, 3, 3), 2)  # without the dock
    assert journals() and folder.find()[0].steps == 2


def test_the_offer_comes_with_the_image_and_discarding_one_can_be_undone(
    opened, make_napari_viewer, files, qtbot
):
    viewer, layer = opened
    paint(layer)
    painted = layer.data.copy()
    questions(viewer, Answer.KEEP)
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: bool(autosave_of(viewer).waiting), timeout=20_000)
    autosave_of(viewer).close()
    again = make_napari_viewer(show=True)
    again.open(str(files / "ct.nii.gz"), plugin="napari-ctseg")
    asking = autosave_of(again).questions
    qtbot.waitUntil(
        lambda: asking.dialog is not None and asking.dialog.kept.list.count() == 1, timeout=20_000
    )
    dialog = asking.dialog.kept
    assert "1 step" in dialog.list.item(0).text() and "MB" in dialog.room.text()
    qtbot.waitUntil(
        lambda: colours(dialog.list.item(0).icon()) > 2, timeout=20_000
    )  # its picture, from a thread
    dialog.discard.click()
    assert not journals() and "discarded" in dialog.list.item(0).text()
    dialog.back.click()
    assert len(journals()) == 1
    dialog.restore.click()
    qtbot.waitUntil(lambda: "recovered mask" in again.layers, timeout=20_000)
    restored = again.layers["recovered mask"]
    assert study_of(again).edited == "recovered mask"
    assert np.array_equal(restored.data, painted) and not autosave_of(again).waiting
    restored.undo()
    assert np.array_equal(restored.data, mask().array[::-1, :, ::-1])


def colours(icon):
    picture = icon.pixmap(96, 96).toImage()
    return len({picture.pixel(x, y) for x in range(picture.width()) for y in range(picture.height())})


def test_a_dock_behind_napari_s_proxy_never_discards_the_only_copy(opened, qtbot):
    viewer, layer = opened
    paint(layer)
    _, dock = viewer.window.add_plugin_dock_widget("napari-ctseg", "Correct & export")  # gets the proxy
    assert not dock.controller.state.kept  # what is open is not offered
    dock.controller.steps.discard()
    assert len(journals()) == 1 and not folder.discarded()
    assert (
        autosave_of(dock.controller.viewer).recording(dock.controller.viewer.layers[layer.name]).unsaved == 1
    )


def test_another_viewer_makes_the_layers_read_only_until_it_is_taken_over(opened, qtbot):
    viewer, layer = opened
    autosave = autosave_of(viewer)
    (key, *_) = autosave.keys
    code = (
        "import os, sys; from pathlib import Path; from napari_ctseg.journal import folder; "
        "folder.take_over(folder.folder() / sys.argv[1]); print('taken', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, key],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    ) as other:
        assert other.stdout.readline() == "taken\n"
        autosave.check_use()
        before = layer.data.copy()
        paint(layer)
        assert np.array_equal(layer.data, before) and str(other.pid) in Painting.of(layer).read_only
        autosave.take_over()
        paint(layer)
        assert not np.array_equal(layer.data, before) and not Painting.of(layer).read_only
        other.stdin.close()
