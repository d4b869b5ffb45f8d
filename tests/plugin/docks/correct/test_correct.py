"""The Correct & export dock on a real viewer: what the array must be after each step."""

import json

import numpy as np
import pytest
from napari.components import ViewerModel

from ctseg_imaging import formats
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels, Volume
from napari_ctseg.docks.correct.controller import CorrectController
from napari_ctseg.docks.correct.state import CorrectState, Operation, Tool
from napari_ctseg.export.mask import export, on_grid_of
from napari_ctseg.journal import folder
from napari_ctseg.journal.writer import WRITER
from napari_ctseg.preferences import Preferences
from napari_ctseg.recovery.autosave import autosave_of
from napari_ctseg.viewer.painting import Painting
from napari_ctseg.viewer.showing import show_labels, show_volume
from napari_ctseg.viewer.study import study_of
from tests.plugin.workers import at_once

SHAPE, SPACING = (9, 20, 24), (3.0, 1.5, 2.0)
NAMES = Labels.from_names({1: "liver", 3: "spleen"})
C, S = np.cos(np.radians(10)), np.sin(np.radians(10))
OBLIQUE = np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]]) @ np.diag([-1, 1, -1.0])
GRID = Geometry.from_parts(SHAPE, SPACING, (10.0, -20.0, 30.0), OBLIQUE)


class FakeView:
    def __init__(self):
        self.state = CorrectState()

    def show(self, state):
        self.state = state


def image():
    array = np.zeros(SHAPE, np.int16)
    array[:, :, :12] = 60
    array[:, :, 12:] = 300
    return Volume(array, GRID, modality="CT")


def mask():
    array = np.zeros(SHAPE, np.uint8)
    array[2:6, 4:14, 4:14] = 1
    array[6:8, 10:16, 16:22] = 3
    return LabelMap(array, GRID, NAMES)


def with_image(viewer=None):
    viewer = viewer or ViewerModel()
    show_volume(viewer, image(), "ct")
    return viewer


@pytest.fixture
def viewer(qapp):
    return with_image()


def opened(viewer, label_map=None, truth=None):
    layer = show_labels(viewer, label_map or mask(), "mask")
    study = study_of(viewer)
    study.truth, study.edited = None, "mask"
    if truth is not None:
        study.truth = show_labels(viewer, truth, "truth").name
    view = FakeView()
    return CorrectController(view, viewer, Preferences(), at_once), view, layer


def flush(controller):
    controller.followed.painting.flush()


def test_tool_and_brush_are_napari_s_own_both_ways(viewer):
    controller, view, layer = opened(viewer)
    controller.brush.set_tool(Tool.PAINT)
    assert str(layer.mode) == "paint" and viewer.layers.selection.active is layer
    controller.brush.set_diameter(9.0)
    assert layer.brush_size == 6 and view.state.brush.diameter_mm == pytest.approx(9.0)  # 6 voxels of 1.5 mm
    layer.brush_size = 4
    layer.mode = "erase"
    layer.selected_label = 3
    layer.preserve_labels = True
    brush = view.state.brush
    assert (brush.diameter_mm, brush.tool, view.state.classes.selected, brush.only_background) == (
        pytest.approx(6.0),
        Tool.ERASE,
        3,
        True,
    )
    controller.brush.set_3d(True)
    assert layer.n_edit_dimensions == 3 and view.state.brush.in_3d


def test_painting_on_an_axis_flipped_layer_paints_the_stored_array_and_the_volume_follows(viewer):
    label_map = mask()
    controller, view, layer = opened(viewer, label_map)
    before = next(row for row in view.state.classes.rows if row.value == 1).volume_ml
    assert before == pytest.approx(400 * 9 / 1000)
    layer.brush_size = 5
    layer.paint((0, 2, 2), 1)
    flush(controller)
    added = np.count_nonzero(label_map.array == 1) - 400
    assert added > 10
    assert next(row for row in view.state.classes.rows if row.value == 1).volume_ml == pytest.approx(
        (400 + added) * 9 / 1000
    )
    controller.steps.undo()
    flush(controller)
    assert next(row for row in view.state.classes.rows if row.value == 1).volume_ml == pytest.approx(before)
    controller.steps.undo()
    assert "nothing to undo" in view.state.message


def test_locks_window_and_background_hold(viewer):
    controller, view, layer = opened(viewer)
    before = layer.data.copy()
    controller.brush.lock(1, True)
    layer.brush_size = 60
    layer.paint((4, 10, 12), 3)
    assert np.array_equal(layer.data == 1, before == 1) and (layer.data == 3).any()
    controller.steps.undo()
    assert np.array_equal(layer.data, before)
    controller.brush.lock(1, False)
    controller.brush.set_hu_limits(True, 250, 350)
    layer.paint((4, 10, 12), 3)
    shown = viewer.layers["ct"].data
    assert (shown[(layer.data == 3) & (before != 3)] == 300).all() and not np.array_equal(layer.data, before)
    controller.steps.undo()
    controller.brush.set_hu_limits(True, 1000, 2000)
    layer.paint((4, 10, 12), 3)
    assert np.array_equal(layer.data, before) and "1000" in view.state.message
    controller.brush.set_hu_limits(False, 0, 0)
    controller.brush.set_only_background(True)
    layer.paint((4, 10, 12), 3)
    assert np.array_equal(layer.data == 1, before == 1)


@pytest.mark.parametrize("operation", list(Operation))
def test_an_operation_is_one_undo_step_and_says_what_it_did(viewer, operation):
    label_map = mask()
    label_map.array[3, 8, 8] = 0  # a hole
    label_map.array[4, 4:14, 4:14] = 0  # a slice that was not drawn
    label_map.array[0, 0, 0] = 1  # an island, two slices away
    controller, view, layer = opened(viewer, label_map)
    controller.brush.select(1)
    viewer.dims.set_point(0, layer.translate[0] + 6 * 3.0)  # the last slice of the liver; the next has none
    before = layer.data.copy()
    controller.operations.apply(operation)
    assert not np.array_equal(layer.data, before), view.state
    assert np.array_equal(layer.data == 3, before == 3)
    assert view.state.message.endswith(f"{np.count_nonzero(layer.data != before)} voxels changed.")
    assert len(Painting.of(layer).steps.history.done) == 1
    controller.steps.undo()
    assert np.array_equal(layer.data, before)
    controller.brush.lock(1, True)
    controller.operations.apply(operation)
    assert "locked" in view.state.message and np.array_equal(layer.data, before)


def test_what_is_painted_while_an_operation_works_stays(viewer):
    waiting = []
    layer = show_labels(viewer, mask(), "mask")
    study_of(viewer).truth = None
    controller = CorrectController(FakeView(), viewer, Preferences(), lambda *parts: waiting.append(parts))
    controller.brush.select(1)
    controller.operations.apply(Operation.EXPAND)
    assert "Busy" in controller.state.operation_why_not
    layer.data_setitem((np.array([0]), np.array([0]), np.array([23])), 1)
    before = layer.data.copy()
    function, on_done, _ = waiting[-1]
    on_done(function())
    assert layer.data[0, 0, 23] == 1 and np.count_nonzero(layer.data == 1) > np.count_nonzero(before == 1)


def test_dice_follows_the_brush_and_the_slider(viewer):
    truth = mask()
    worse = mask()
    worse.array[2, 4:14, 4:14] = 0
    controller, view, layer = opened(viewer, worse, truth)
    liver = next(row for row in view.state.classes.rows if row.value == 1)
    assert liver.dice == pytest.approx(2 * 300 / 700)
    viewer.dims.set_point(0, layer.translate[0] + 6 * 3.0)  # stored slice 2, where it is missed
    assert next(row for row in view.state.classes.rows if row.value == 1).slice_dice == 0
    rows = np.argwhere(truth.array[::-1, :, ::-1] == 1)
    rows = rows[rows[:, 0] == 6]
    layer.data_setitem(tuple(rows.T), 1)
    flush(controller)
    liver = next(row for row in view.state.classes.rows if row.value == 1)
    assert (liver.dice, liver.slice_dice) == (pytest.approx(1.0), pytest.approx(1.0))


def test_a_new_class_has_the_next_value_and_its_name_is_exported(viewer, tmp_path):
    controller, view, layer = opened(viewer)
    controller.add_class("tumour")
    assert layer.selected_label == 4 and [row.name for row in view.state.classes.rows] == [
        "liver",
        "spleen",
        "tumour",
    ]
    layer.paint((4, 1, 1), 4)
    flush(controller)
    controller.save(tmp_path / "mask.nrrd")
    assert "Written" in view.state.message
    assert {"value": 4, "name": "tumour"}.items() <= json.loads(
        (tmp_path / "mask.provenance.json").read_text()
    )["labels"][-1].items()


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_export_and_reload_are_identical_on_the_image_s_grid(viewer, tmp_path, ending):
    label_map = mask()
    controller, view, layer = opened(viewer, label_map)
    layer.paint((4, 10, 12), 3)
    controller.save(tmp_path / f"out{ending}")
    assert "Written" in view.state.message, view.state
    back = formats.read_labels(tmp_path / f"out{ending}")
    assert np.array_equal(back.array, label_map.array)
    np.testing.assert_allclose(back.geometry.affine_lps, GRID.affine_lps, atol=1e-5)
    provenance = json.loads((tmp_path / "out.provenance.json").read_text())
    assert (
        provenance["grid"]["affine_lps"] == GRID.affine_lps.tolist()
        and provenance["edits"][0]["operation"] == "pan_zoom"
    )
    assert len(provenance["image_voxels_sha256"]) == 64


def test_the_image_s_own_header_values_come_back_to_the_bit(viewer, tmp_path):
    import nibabel

    affine = np.array(
        [
            [-1.9696155, 0.26047215, 0, -10.1],
            [-0.34729636, -1.4772116, 0, 20.3],
            [0, 0, -3.0, 30.7],
            [0, 0, 0, 1],
        ]
    )
    source = nibabel.Nifti1Image(image().array.transpose(2, 1, 0), affine)
    source.header.set_qform(affine, 1)
    source.header.set_sform(affine, 4)
    nibabel.save(source, tmp_path / "ct.nii")
    volume = formats.read(tmp_path / "ct.nii")
    label_map = LabelMap(np.ones(volume.geometry.shape, np.uint8), volume.geometry, NAMES)
    export(tmp_path / "out.nii", label_map, volume, {}, [])
    ours, theirs = nibabel.load(tmp_path / "out.nii").header, nibabel.load(tmp_path / "ct.nii").header
    for name in (
        "srow_x",
        "srow_y",
        "srow_z",
        "quatern_b",
        "quatern_c",
        "quatern_d",
        "qoffset_x",
        "qoffset_y",
        "qoffset_z",
        "pixdim",
        "qform_code",
        "sform_code",
    ):
        assert ours[name].tobytes() == theirs[name].tobytes(), name


def test_a_mask_stored_the_other_way_round_is_exported_in_the_image_s_order():
    label_map, volume = mask(), image()
    turned = Geometry.from_parts(
        SHAPE, SPACING, GRID.index_to_lps((8, 0, 0)), OBLIQUE @ np.diag([1, 1, -1.0])
    )
    other = LabelMap(label_map.array[::-1], turned, NAMES)
    placed = on_grid_of(other, volume)
    assert placed.geometry is volume.geometry and np.array_equal(placed.array, label_map.array)


@pytest.mark.parametrize("name", ["mask.txt", "missing/mask.nii.gz"])
def test_an_export_that_cannot_be_is_a_sentence_and_leaves_nothing(viewer, tmp_path, name):
    controller, view, _ = opened(viewer)
    controller.save(tmp_path / name)
    assert "Written" not in view.state.message and view.state.message and not view.state.export.running
    assert not list(tmp_path.iterdir())


def journals():
    WRITER.flush()
    return list(folder.folder().glob("*.journal"))


def test_edits_are_kept_and_offered_and_restored_when_the_image_is_opened_again(viewer):
    controller, view, layer = opened(viewer, mask())
    layer.paint((4, 10, 12), 3)
    flush(controller)
    assert len(journals()) == 1 and "1 step" in view.state.export.unsaved and not view.state.kept
    painted = layer.data.copy()
    autosave_of(viewer).close()
    again = with_image()
    second = CorrectController(FakeView(), again, Preferences(), at_once)
    assert [kept.steps for kept in second.state.kept] == [1]
    second.steps.restore()
    restored = again.layers["recovered mask"]
    assert np.array_equal(restored.data, painted) and second.state.mask.layer == "recovered mask"
    assert [row.name for row in second.state.classes.rows] == ["liver", "spleen"] and not second.state.kept
    second.steps.undo()
    assert np.array_equal(restored.data[::-1, :, ::-1], mask().array)  # undo goes across the restart
    assert len(journals()) == 1


def test_an_export_makes_the_kept_edits_needless_and_undo_goes_on(viewer, tmp_path):
    controller, view, layer = opened(viewer)
    before = layer.data.copy()
    layer.paint((4, 10, 12), 3)
    flush(controller)
    assert journals()
    controller.save(tmp_path / "mask.nii.gz")
    assert not journals() and not view.state.export.unsaved
    controller.steps.undo()
    assert np.array_equal(layer.data, before) and len(journals()) == 1


def test_a_damaged_journal_is_a_sentence_and_healthy_ones_are_restored(viewer):
    _controller, _view, layer = opened(viewer)
    layer.paint((4, 10, 12), 3)
    (healthy,) = journals()
    autosave_of(viewer).close()
    damaged = healthy.with_name(healthy.name.partition("-")[0] + "-0123.journal")
    damaged.write_bytes(healthy.read_bytes()[:100])
    again = with_image()
    second = CorrectController(FakeView(), again, Preferences(), at_once)
    assert sorted((kept.path.name, kept.steps) for kept in second.state.kept) == sorted(
        [(damaged.name, None), (healthy.name, 1)]
    )
    second.steps.restore()
    assert "damaged" in second.view.state.message
    second.steps.discard()
    assert (damaged.parent / "discarded" / damaged.name).exists()
    second.steps.restore()
    assert np.array_equal(again.layers["recovered mask"].data, layer.data)


def test_journals_name_no_one(viewer, tmp_path):
    _controller, _view, layer = opened(
        viewer, LabelMap(mask().array, GRID, NAMES, source=tmp_path / "Doe_John.nii")
    )
    layer.name = "Doe_John"
    layer.paint((4, 10, 12), 3)
    (path,) = journals()
    assert "Doe" not in path.name and b"Doe" not in path.read_bytes()


def test_the_steps_are_listed_and_one_can_jump_to_each(viewer):
    controller, view, layer = opened(viewer)
    states = [layer.data.copy()]
    for value, centre in ((3, (4, 10, 12)), (1, (2, 5, 5)), (3, (6, 3, 20))):
        layer.paint(centre, value)
        states.append(layer.data.copy())
    flush(controller)
    assert (
        len(view.state.steps.lines) == 3
        and view.state.steps.done == 3
        and "liver, slice 5" in view.state.steps.lines[0]
    )
    for k in (1, 3, 0, 2):
        controller.steps.go_to_step(k)
        flush(controller)
        assert (
            np.array_equal(layer.data, states[k])
            and view.state.steps.done == k
            and len(view.state.steps.lines) == 3
        )


def test_the_real_dock_paints_with_the_mouse_respects_a_lock_and_goes_quietly(make_plugin_viewer):
    viewer = with_image(make_plugin_viewer())
    from napari_ctseg.docks.correct.view import CorrectDock
    from napari_ctseg.docks.correct.widgets.class_table import LOCK

    label_map = mask()
    layer = show_labels(viewer, label_map, "mask")
    study_of(viewer).truth = None
    dock = CorrectDock(viewer)
    frame = viewer.window.add_dock_widget(dock, name="Correct & export")
    from qtpy.QtCore import Qt

    assert dock.classes.table.rowCount() == 2 and dock.export.button.isEnabled()
    dock.brush.tools[Tool.PAINT].click()
    assert str(layer.mode) == "paint"
    dock.classes.table.item(0, LOCK).setCheckState(Qt.CheckState.Checked)
    assert (
        dock.controller.state.classes.rows[0].locked
        and not dock.operations.buttons[Operation.EXPAND].isEnabled()
    )
    assert "locked" in dock.operations.buttons[Operation.EXPAND].toolTip()
    dock.controller.brush.select(3)
    before = label_map.array.copy()
    viewer.dims.set_point(0, layer.translate[0] + 4 * 3.0)
    drag(layer, [(4, 10, 6), (4, 10, 12), (4, 12, 18)])
    assert np.array_equal(label_map.array == 1, before == 1) and np.count_nonzero(
        label_map.array == 3
    ) > np.count_nonzero(before == 3)
    assert len(Painting.of(layer).steps.history.done) == 1
    dock.classes.undo.click()
    assert np.array_equal(label_map.array, before)
    viewer.window.remove_dock_widget(frame)
    viewer.layers.remove(layer)
    assert dock.controller.state.mask.layer == "mask"  # it hears no more


def drag(layer, points, moved=lambda: None):
    """A mouse drag through napari's own callbacks, from press to release; `moved` is called after each."""

    class Event:
        type, button, dims_displayed, view_direction, handled, modifiers = (
            "mouse_press",
            1,
            [1, 2],
            None,
            False,
            (),
        )
        position = layer.data_to_world(points[0])

    event = Event()
    strokes = [
        stroke
        for stroke in (callback(layer, event) for callback in layer.mouse_drag_callbacks)
        if hasattr(stroke, "__next__")
    ]
    for kind, point in (
        ("mouse_press", points[0]),
        *(("mouse_move", point) for point in points[1:]),
        ("mouse_release", points[-1]),
    ):
        event.type, event.position = kind, layer.data_to_world(point)
        for stroke in strokes:
            next(stroke, None)
        moved()
