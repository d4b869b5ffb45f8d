"""Review marks of slices and classes: keys, edits that take them away, recovery, export and reopening."""

import json

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from ctseg_imaging.volume import slice_number
from napari_ctseg.docks.correct.controller import CorrectController
from napari_ctseg.docks.correct.review.reviewing import NOT_AXIAL
from napari_ctseg.docks.correct.review.widgets.review_strip import ReviewStrip
from napari_ctseg.docks.correct.state import CorrectState
from napari_ctseg.docks.correct.view import CorrectDock
from napari_ctseg.files.readers import open_path
from napari_ctseg.journal import folder
from napari_ctseg.preferences import Preferences
from napari_ctseg.recovery.autosave import autosave_of
from napari_ctseg.viewer.copying import correct_copy
from napari_ctseg.viewer.layers import go_to_slice
from napari_ctseg.viewer.painting import Painting
from napari_ctseg.viewer.proxies import unwrapped
from napari_ctseg.viewer.review import Mark, Marks, marks_of
from napari_ctseg.viewer.showing import show_labels, show_volume
from tests.plugin.docks.correct.test_correct import image, mask
from tests.plugin.workers import at_once

REVIEWED, WORK = Mark.REVIEWED, Mark.NEEDS_WORK
SHIFT = Qt.KeyboardModifier.ShiftModifier
BOTH = Qt.KeyboardModifier.ControlModifier | SHIFT


class FakeView:
    def __init__(self):
        self.state = CorrectState()

    def show(self, state):
        self.state = state


@pytest.fixture
def opened(plugin_model):
    """An image and its mask, without a window."""
    show_volume(plugin_model, image(), "ct")
    layer = show_labels(plugin_model, mask(), "mask", role="edited")
    controller = CorrectController(FakeView(), plugin_model, Preferences(), at_once)
    go_to_slice(plugin_model, layer, 2)
    yield controller, layer
    controller.close()


def go(controller, layer, index):
    go_to_slice(controller.viewer, layer, index)
    assert controller.state.review.here == index


def review_all(controller, layer):
    for index in range(len(layer.data)):
        go(controller, layer, index)
        controller.reviewing.slice_reviewed()


def test_keys_mark_slices_and_classes_and_go_to_those_that_are_left(make_plugin_viewer, qtbot):
    viewer = make_plugin_viewer(show=True)
    show_volume(viewer, image(), "ct")
    layer = show_labels(viewer, mask(), "mask", role="edited")
    dock = CorrectDock(viewer)
    viewer.window.add_dock_widget(dock)
    canvas, state = unwrapped(viewer).window._qt_viewer.canvas.native, lambda: dock.controller.state
    count = len(layer.data)
    go_to_slice(viewer, layer, count - 2)
    qtbot.keyClick(canvas, Qt.Key.Key_K)
    assert state().review.in_words == f"1 of {count} slices reviewed"
    assert dock.review.slice[REVIEWED].isChecked() and not dock.review.slice[WORK].isChecked()
    qtbot.keyClick(canvas, Qt.Key.Key_G)
    assert state().review.here == count - 1
    qtbot.keyClick(canvas, Qt.Key.Key_H)
    assert dock.review.told.text() == f"1 of {count} slices reviewed, 1 needs work."
    go_to_slice(viewer, layer, 0)
    qtbot.keyClick(canvas, Qt.Key.Key_H, BOTH)
    assert state().review.here == count - 1
    qtbot.keyClick(canvas, Qt.Key.Key_G)
    assert state().review.here == 0  # from the last one to the first
    go_to_slice(viewer, layer, count - 2)
    qtbot.keyClick(canvas, Qt.Key.Key_K)
    assert marks_of(layer) == Marks({count - 1: WORK})
    qtbot.keyClick(canvas, Qt.Key.Key_K, SHIFT)
    assert marks_of(layer).classes == {1: REVIEWED}
    assert dock.classes.table.item(0, 0).text() == "liver  ✓"
    qtbot.keyClick(canvas, Qt.Key.Key_H, SHIFT)
    assert dock.classes.table.item(0, 0).text() == "liver  !" and dock.review.classes[WORK].isChecked()


def test_an_edit_takes_the_marks_of_what_it_changes_and_says_so(opened):
    controller, layer = opened
    review_all(controller, layer)
    go(controller, layer, 1)
    controller.reviewing.slice_needs_work()
    for value in (1, 3):
        layer.selected_label = value
        controller.reviewing.class_reviewed()
    before = dict(marks_of(layer).slices)
    layer.data_setitem(tuple(np.array([[1, 4, 4], [0, 0, 0], [0, 0, 1]])), 3)  # background becomes spleen
    assert marks_of(layer).slices == {index: mark for index, mark in before.items() if index != 4}
    assert marks_of(layer).slices[1] is WORK  # it is being worked on
    assert marks_of(layer).classes == {1: REVIEWED}
    assert (
        controller.state.review.edited
        == f"Slice {slice_number(4)} and spleen were edited: no longer reviewed."
    )
    Painting.of(layer).undo()
    assert 4 not in marks_of(layer).slices and controller.state.review.count(REVIEWED) == len(before) - 2
    controller.reviewing.slice_reviewed()
    assert controller.state.review.edited == ""


def test_undo_takes_the_mark_of_a_slice_that_was_reviewed_after_the_edit(opened):
    controller, layer = opened
    layer.paint((4, 10, 6), 3)
    go(controller, layer, 4)
    controller.reviewing.slice_reviewed()
    Painting.of(layer).undo()
    assert not marks_of(layer)
    assert controller.state.review.edited == f"Slice {slice_number(4)} was edited: no longer reviewed."
    controller.reviewing.slice_reviewed()
    layer.paint((4, 10, 6), 0)  # background stays background
    assert marks_of(layer).slices == {4: REVIEWED}


def test_marks_are_of_axial_slices_only(opened):
    controller, layer = opened
    controller.viewer.dims.order = (1, 0, 2)
    controller.reviewing.slice_reviewed()
    assert not marks_of(layer) and controller.state.message == NOT_AXIAL
    controller.viewer.dims.order = (0, 1, 2)
    controller.reviewing.slice_reviewed()
    assert marks_of(layer).slices == {2: REVIEWED} and controller.state.message == ""


def test_when_all_are_reviewed_the_key_says_so(opened):
    controller, layer = opened
    review_all(controller, layer)
    controller.reviewing.next_unreviewed()
    assert controller.state.message == "All slices are reviewed."
    controller.reviewing.next_needs_work()
    assert controller.state.message == "No slice is marked as needing work."


def test_marks_go_along_with_a_copy(opened):
    controller, layer = opened
    controller.reviewing.slice_reviewed()
    copy = correct_copy(controller.viewer, "mask")
    controller.reviewing.slice_needs_work()
    assert marks_of(layer).slices == {2: REVIEWED} and marks_of(copy).slices == {2: WORK}


def test_marks_alone_are_kept_and_restored_with_the_edits(make_plugin_viewer):
    viewer = make_plugin_viewer()
    show_volume(viewer, image(), "ct")
    layer = show_labels(viewer, mask(), "mask", role="edited")
    controller = CorrectController(FakeView(), viewer, Preferences(), at_once)
    go(controller, layer, 3)
    controller.reviewing.slice_reviewed()
    autosave = autosave_of(viewer)
    assert autosave.recording(layer).flush() and autosave.recording(layer).unsaved == 1
    go(controller, layer, 5)
    controller.reviewing.slice_needs_work()
    layer.paint((3, 10, 6), 3)
    controller.reviewing.class_reviewed()
    assert autosave.recording(layer).flush()
    autosave.close()
    controller.close()
    again = make_plugin_viewer()
    show_volume(again, image(), "ct")
    (kept,) = folder.find()
    restored = autosave_of(again).restore(kept)
    assert marks_of(restored) == Marks({5: WORK}, {1: REVIEWED})
    assert restored.data[3, 10, 6] == 3
    assert autosave_of(again).recording(restored).unsaved == kept.steps


@pytest.mark.parametrize("ending", [".nii.gz", ".seg.nrrd", ".mha"])
def test_marks_are_exported_and_come_back_when_the_mask_is_opened(opened, tmp_path, ending):
    controller, layer = opened
    controller.reviewing.slice_reviewed()
    go(controller, layer, 5)
    controller.reviewing.slice_needs_work()
    layer.selected_label = 3
    controller.reviewing.class_needs_work()
    controller.save(tmp_path / f"mask{ending}")
    record = json.loads((tmp_path / "mask.provenance.json").read_text())["review"]
    assert record["slices"] == {"reviewed": [3], "needs work": [6]}  # as they are shown, from 1
    assert record["classes"] == {"reviewed": [], "needs work": [3]}
    ((data, settings, _),) = open_path(tmp_path / f"mask{ending}")
    assert settings["metadata"]["ctseg_review"] == Marks({2: REVIEWED, 5: WORK}, {3: WORK})
    added = controller.viewer.add_labels(data, **settings)
    assert marks_of(added) == marks_of(layer) and np.array_equal(data, layer.data)


def test_marks_of_a_file_that_was_changed_since_are_left_out_with_a_remark(opened, tmp_path, monkeypatch):
    from napari_ctseg.files import layer_data

    told = []
    monkeypatch.setattr(layer_data, "show_notes", told.append)
    controller, layer = opened
    controller.reviewing.slice_reviewed()
    path = tmp_path / "mask.nii.gz"
    controller.save(path)
    history = tmp_path / "mask.provenance.json"
    kept = history.read_text()
    layer.paint((4, 1, 1), 3)
    controller.save(path)
    history.write_text(kept)
    ((_, settings, _),) = open_path(path)
    assert "ctseg_review" not in settings["metadata"]
    assert told == ["mask: Its review marks were not used: the mask was changed after the review."]
    history.write_text(json.dumps({**json.loads(kept), "review": {"slices": [3]}}))
    open_path(path)
    assert told[1:] == ["mask: Its review marks were not used: they are damaged."]


def test_the_strip_has_a_cell_for_each_slice_and_goes_where_it_is_clicked(qtbot):
    strip = ReviewStrip()
    qtbot.addWidget(strip)
    strip.resize(120, strip.height())
    strip.draw((None, REVIEWED, WORK, None, REVIEWED, None), 0)
    strip.show()
    picture = strip.grab().toImage()
    colours = [picture.pixelColor(20 * index + 12, 5).name() for index in range(6)]
    assert (colours[1], colours[2], colours[4]) == ("#009e73", "#e69f00", "#009e73")
    assert colours[0] == colours[3] == colours[5] not in ("#009e73", "#e69f00")
    asked = []
    strip.asked.connect(asked.append)
    for x in (0, 19, 20, 119):
        qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(x, 5))
    assert asked == [0, 0, 1, 5]


def test_json_of_marks():
    marks = Marks({0: REVIEWED, 11: WORK}, {3: REVIEWED})
    assert marks.as_json()["slices"] == {"reviewed": [1], "needs work": [12]}
    assert Marks.from_json(json.loads(json.dumps(marks.as_json()))) == marks
    for damaged in ({}, {"slices": {"seen": [1]}, "classes": {}}, {"slices": [], "classes": {}}, 3):
        with pytest.raises(ValueError):
            Marks.from_json(damaged)
