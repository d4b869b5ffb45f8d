"""The list of kept masks: of all images, with pictures in proportion, export, discard, bring back; limits;
what Return does.
"""

import json
from pathlib import PurePosixPath

import numpy as np
import pytest
from qtpy.QtCore import Qt

from ctseg_imaging import formats
from ctseg_imaging.errors import FormatError
from ctseg_imaging.geometry import AxisView, Geometry, Match
from ctseg_imaging.volume import Label, LabelMap, Labels
from napari_ctseg.journal import folder
from napari_ctseg.journal.history import Gesture, History
from napari_ctseg.journal.limits import FOLDER, UNDO
from napari_ctseg.journal.patches import Patch, pack
from napari_ctseg.journal.replay import labels_from_json, labels_to_json, replay, summary
from napari_ctseg.recovery.autosave import autosave_of
from napari_ctseg.recovery.pictures import picture
from napari_ctseg.recovery.view import RecoveryDock, RestoreDialog
from napari_ctseg.viewer.layers import source_of
from napari_ctseg.viewer.painting import Painting
from napari_ctseg.viewer.showing import show_labels, show_volume
from napari_ctseg.viewer.study import study_of
from tests.plugin.docks.correct.test_correct import drag, image, mask

PATIENCE_MS = 20_000


def draw_and_close(make_viewer, label_map, volume=None, provenance=None):
    """Draw one stroke on `label_map`, and close the viewer; gives the array as stored."""
    viewer = make_viewer()
    if volume is not None:
        show_volume(viewer, volume, "image")
    layer = show_labels(viewer, label_map, "mask", provenance, role="edited")
    layer.mode, layer.selected_label, layer.brush_size = "paint", label_map.labels.values[-1], 4
    drag(layer, [(4, 10, 6), (4, 10, 12)])
    autosave = autosave_of(viewer)
    (recording,) = autosave.recordings
    assert recording.flush()
    autosave.close()
    return np.array(label_map.array)


def thick():
    """24 x 96 x 96 voxels as a coronal series is stored: slices of 5 mm from the front to the back, a ball of
    30 mm radius.
    """
    coronal = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])  # columns: the array's x, y and z in LPS
    geometry = Geometry.from_parts((24, 96, 96), (5.0, 1.0, 1.0), (0.0, 0.0, 0.0), coronal)
    k, j, i = np.ogrid[:24, :96, :96]
    ball = ((k - 11.5) * 5) ** 2 + (j - 47.5) ** 2 + (i - 47.5) ** 2 < 30**2
    return LabelMap(ball.astype(np.uint8), geometry, Labels.from_names({1: "ball"}))


class Drawn:
    """What a picture needs of a replayed journal."""

    def __init__(self, label_map, *indices):
        self.label_map, self.shown = label_map, AxisView.of(label_map.geometry).apply(label_map.array)
        self.history = History(10**6)
        for index in indices:
            ones = np.ones(len(index), np.uint8)
            self.history.push(Gesture(self.shown.shape, {}, [pack(Patch(index, ones, ones + 1))]))


def towers():
    """Slice k shows k + 1 voxels; slice 3 shows none."""
    array = np.zeros((6, 10, 10), np.uint8)
    for k in (0, 1, 2, 4, 5):
        array[k, 0, : k + 1] = 1
    geometry = Geometry.from_parts(array.shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3))
    return LabelMap(array, geometry, Labels.from_names({1: "tower"}))


@pytest.mark.parametrize(
    ("edits", "slice_"),
    [((), 5), (([110], [415, 416, 530]), 4), (([415], [110]), 1), (([110], [310, 311]), 5)],
)
def test_the_picture_shows_the_slice_of_the_last_edit(edits, slice_):
    drawn = Drawn(towers(), *(np.array(index) for index in edits))
    drawn.shown = drawn.label_map.array  # as stored: slice k is index // 100
    lit = picture(drawn, 10).any(axis=2)
    assert np.array_equal(
        lit, drawn.shown[slice_] > 0
    )  # an edit in the empty slice 3 falls back to the fullest


def test_a_ball_is_round_in_the_picture_of_thick_slices():
    pixels = picture(Drawn(thick()), 200)
    assert pixels.shape[:2] == (200, 160)  # 120 mm x 96 mm
    lit = pixels.any(axis=2)
    height, width = (np.ptp(np.flatnonzero(lit.any(axis=axis))) + 1 for axis in (1, 0))
    assert abs(width - 100) <= 3 and abs(height - 100) <= 9  # 60 mm in both; a slice is 8 pixels high


def test_tags_and_made_up_names_go_through_the_journal():
    labels = Labels(
        (Label(1, "liver", "#112233", False, True, "TerminologyEntry:x~y"), Label(7, "label 7", named=False))
    )
    again = labels_from_json(labels_to_json(labels))
    assert again == labels and again.entries[0].tags == "TerminologyEntry:x~y" and not again.entries[1].named
    (old,) = labels_from_json([[1, "liver", "#112233", True]])  # as earlier versions wrote it
    assert old.named and old.tags == ""


def test_the_export_of_a_restored_mask_names_the_model_that_made_it(make_plugin_viewer, qtbot, tmp_path):
    made = {"bundles": [{"name": "a model", "sha256": "0123"}], "roi": []}
    a_path = PurePosixPath("no/json")  # must not keep the edits from being kept
    draw_and_close(make_plugin_viewer, mask(), image(), {**made, "settings": a_path})
    made["settings"] = "no/json"
    viewer = make_plugin_viewer()
    show_volume(viewer, image(), "image")
    (kept,) = autosave_of(viewer).waiting
    dock = RecoveryDock(viewer)
    qtbot.addWidget(dock)
    dock.kept.where = lambda: tmp_path / "alone.nii.gz"
    dock.kept.export.click()
    qtbot.waitUntil(lambda: "Written" in dock.kept.message.text(), timeout=PATIENCE_MS)
    assert json.loads((tmp_path / "alone.provenance.json").read_text())["model"] == made
    assert source_of(autosave_of(viewer).restore(kept)).provenance == made


def test_tags_of_a_restored_mask_are_those_it_had(make_plugin_viewer, qtbot):
    labels = Labels((Label(1, "liver", tags="coded"), Label(2, "spleen"), Label(3, "kidney")))
    drawn = LabelMap(mask().array, mask().geometry, labels)
    draw_and_close(make_plugin_viewer, drawn, image())
    (kept,) = folder.find()
    assert [label.tags for label in replay(kept.path).label_map.labels] == ["coded", "", ""]


def test_the_dock_lists_masks_of_images_that_are_not_open_and_exports_one_alone(
    make_plugin_viewer, tmp_path, qtbot
):
    painted = draw_and_close(make_plugin_viewer, mask(), image())
    viewer = make_plugin_viewer()
    dock = RecoveryDock(viewer)
    qtbot.addWidget(dock)
    listed = dock.kept
    assert listed.list.count() == 1
    text = listed.list.item(0).text()
    x, y, z = reversed(mask().array.shape)
    assert (
        "1 step" in text
        and f"{x} × {y} × {z} voxels" in text
        and "liver, spleen" in text
        and "not open" in text
    )
    listed.where = lambda: tmp_path / "alone.nii.gz"
    listed.export.click()
    qtbot.waitUntil(lambda: "Written" in listed.message.text(), timeout=PATIENCE_MS)
    written = formats.read_labels(tmp_path / "alone.nii.gz")
    assert np.array_equal(written.array, painted) and written.geometry.matches(mask().geometry) in (
        Match.SAME,
        Match.ROUNDING,
    )
    assert len(folder.find()) == 1  # it stays
    listed.discard.click()
    assert not folder.find() and "discarded; deleted after" in listed.list.item(0).text()
    assert listed.back.isEnabled() and not listed.restore.isEnabled() and not listed.discard.isEnabled()
    listed.back.click()
    assert len(folder.find()) == 1 and not folder.discarded()


def test_a_mask_of_another_image_is_not_laid_over_the_open_one(make_plugin_viewer, qtbot, volume):
    draw_and_close(make_plugin_viewer, mask(), image())
    viewer = make_plugin_viewer()
    show_volume(viewer, volume, "another")
    dock = RecoveryDock(viewer)
    qtbot.addWidget(dock)
    assert not dock.kept.restore.isEnabled() and dock.kept.export.isEnabled()
    show_volume(viewer, image(), "its image")
    dock.kept.fill()
    assert dock.kept.restore.isEnabled()
    dock.kept.restore.click()
    qtbot.waitUntil(lambda: "recovered mask" in viewer.layers, timeout=PATIENCE_MS)
    assert dock.kept.list.count() == 0 and study_of(viewer).edited == "recovered mask"


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape])
def test_return_in_the_offer_leaves_everything_as_it_is(make_plugin_viewer, qtbot, key):
    draw_and_close(make_plugin_viewer, mask(), image())
    viewer = make_plugin_viewer()
    show_volume(viewer, image(), "image")
    dialog = RestoreDialog(None, autosave_of(viewer))
    qtbot.addWidget(dialog)
    dialog.fill()
    dialog.show()
    dialog.kept.list.setFocus()
    assert dialog.kept.restore.isEnabled()
    qtbot.keyClick(dialog.kept.list, key)
    assert (
        not dialog.isVisible()
        and len(folder.find()) == 1
        and not folder.discarded()
        and "recovered mask" not in viewer.layers
    )


def test_the_limits_are_settings_that_are_kept_and_hold_at_once(make_plugin_viewer, qtbot):
    viewer = make_plugin_viewer()
    layer = show_labels(viewer, mask(), "mask", role="edited")
    dock = RecoveryDock(viewer)
    qtbot.addWidget(dock)
    assert (dock.undo.value(), dock.folder.value()) == (256, 2048)
    dock.undo.setValue(64)
    dock.folder.setValue(1000)
    assert Painting.of(layer).steps.history.limit == 64 * 1024**2 and FOLDER.bytes == 1000 * 1024**2
    again = RecoveryDock(viewer)
    qtbot.addWidget(again)
    assert (again.undo.value(), again.folder.value()) == (64, 1000)
    UNDO.keep(-5)
    assert UNDO.mb == UNDO.least


def test_a_folder_beyond_its_limit_is_told_once_and_nothing_kept_is_deleted(
    make_plugin_viewer, qtbot, monkeypatch
):
    draw_and_close(make_plugin_viewer, mask(), image())
    monkeypatch.setattr(FOLDER.__class__, "bytes", property(lambda limit: 10))
    autosave, messages = autosave_of(make_plugin_viewer()), []
    autosave.message.connect(messages.append)
    autosave.disk_space.tidy()
    autosave.disk_space.tidy()
    assert len(messages) <= 1 and autosave.disk_space.is_full and len(folder.find()) == 1


def test_kept_edits_are_restored_once(make_plugin_viewer):
    draw_and_close(make_plugin_viewer, mask(), image())
    viewer = make_plugin_viewer()
    show_volume(viewer, image(), "image")
    (kept,) = autosave_of(viewer).waiting
    autosave_of(viewer).restore(kept)
    with pytest.raises(FormatError, match="open already"):
        autosave_of(viewer).restore(kept)
    assert len(autosave_of(viewer).recordings) == 1


def test_a_restored_history_keeps_to_the_limit():
    def gesture(k):
        noise = np.random.default_rng(k).integers(0, 200, 5000).astype(np.uint8)
        return Gesture((5, 7, 1000), {"k": k}, [pack(Patch(np.arange(0, 10_000, 2), noise, noise + 1))])

    other, history = History(10**9), History(5 * gesture(0).size)
    for k in range(20):
        other.push(gesture(k))
    history.take(other)
    assert [one.meta["k"] for one in history.done] == [15, 16, 17, 18, 19]
    history.push(gesture(20))
    assert len(history.done) <= 5 and history.done[-1].meta["k"] == 20


def test_an_offered_mask_that_is_gone_is_a_sentence_and_leaves_the_list(make_plugin_viewer, qtbot):
    draw_and_close(make_plugin_viewer, mask(), image())
    viewer = make_plugin_viewer()
    show_volume(viewer, image(), "image")
    dialog = RestoreDialog(None, autosave_of(viewer))
    qtbot.addWidget(dialog)
    dialog.fill()
    folder.discard(folder.find()[0].path)  # in another viewer
    dialog.kept.restore.click()
    qtbot.waitUntil(lambda: "no longer kept" in dialog.kept.message.text(), timeout=PATIENCE_MS)
    assert "discarded" in dialog.kept.list.item(0).text() and dialog.kept.list.count() == 1


def test_a_mask_that_is_gone_is_a_sentence(make_plugin_viewer, qtbot):
    draw_and_close(make_plugin_viewer, mask(), image())
    dock = RecoveryDock(make_plugin_viewer())
    qtbot.addWidget(dock)
    (kept,) = folder.find()
    kept.path.unlink()
    with pytest.raises(FormatError):
        replay(kept.path)
    with pytest.raises(FileNotFoundError):  # gone, not damaged
        summary(kept.path)
    dock.kept.restore.click()
    qtbot.waitUntil(lambda: "no longer kept" in dock.kept.message.text(), timeout=PATIENCE_MS)
    assert dock.kept.list.count() == 0
