"""The Compare dock: numbers by hand on a small pair, then the real viewer."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from ctseg_imaging import formats
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.metrics.differences import AGREED, EXTRA, MISSED, SWAPPED, error_codes
from ctseg_imaging.volume import LabelMap, Labels, Volume
from napari_ctseg.docks.compare.controller import CompareController
from napari_ctseg.docks.compare.distance_map import NAME
from napari_ctseg.docks.compare.state import CompareState, Phase, Surface, WorseBy
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.layers import slice_of
from napari_ctseg.viewer.painting import Painting
from napari_ctseg.viewer.showing import show_labels, show_volume
from napari_ctseg.viewer.study import study_of
from tests.pace import PATIENCE_MS
from tests.plugin.workers import at_once

SHAPE, SPACING = (9, 20, 24), (3.0, 1.5, 2.0)
CODES = AGREED, EXTRA, MISSED, SWAPPED
NAMES = Labels.from_names({1: "liver", 3: "spleen"})
# Stored from head to feet: slice k of the array is slice 8 - k of the viewer.
DOWNWARD = np.diag([1.0, 1.0, -1.0])


def grid(shape=SHAPE, origin=(0.0, 0.0, 0.0)):
    return Geometry.from_parts(shape, SPACING, origin, DOWNWARD)


def pair():
    """Truth and prediction: liver off by one column in slices 2-5, spleen in 6 and 7, the second missed
    (stored order).
    """
    truth, prediction = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    truth[2:6, 4:14, 4:14] = 1
    prediction[2:6, 4:14, 5:15] = 1
    truth[6:8, 10:16, 16:22] = 3
    prediction[6, 10:16, 16:22] = 3
    return LabelMap(prediction, grid(), NAMES), LabelMap(truth, grid(), NAMES)


class FakeView:
    def __init__(self):
        self.state, self.cursor, self.later = CompareState(), None, []

    def show(self, state):
        self.state = state

    def move_cursor(self, index):
        self.cursor = index

    def idle(self, then):
        self.later.append(then)


@pytest.fixture
def viewer(qapp):
    return ViewerModel()


def opened(viewer, prediction, truth, aside=at_once):
    show_volume(viewer, Volume(np.zeros(SHAPE, np.int16), grid(), modality="CT"), "ct")
    show_labels(viewer, truth, "truth")
    show_labels(viewer, prediction, "prediction")
    study_of(viewer).truth, study_of(viewer).prediction = "truth", "prediction"
    view = FakeView()
    return CompareController(view, viewer, Preferences(), aside), view


def row_of(view, value):
    return next(row for row in view.state.scores.rows if row.value == value)


def test_the_table_says_what_a_hand_count_says(viewer):
    _, view = opened(viewer, *pair())
    assert view.state.phase is Phase.READY
    liver, spleen = row_of(view, 1), row_of(view, 3)
    assert (liver.name, spleen.name) == ("liver", "spleen")
    assert liver.dice == pytest.approx(0.9)  # 9 of 10 columns on both sides
    assert spleen.dice == pytest.approx(2 / 3)
    assert liver.volume_truth_ml == pytest.approx(4 * 100 * 9.0 / 1000)
    assert spleen.difference_ml == pytest.approx(-36 * 9.0 / 1000)
    assert liver.hd95_mm == pytest.approx(2.0) and liver.surface is Surface.FRESH  # one column of 2 mm
    assert liver.nsd == pytest.approx(1.0)  # within the 2 mm of tolerance
    assert view.state.scores.mean_dice == pytest.approx((0.9 + 2 / 3) / 2)


def test_next_missed_and_next_worse_go_where_the_fault_is(viewer):
    controller, view = opened(viewer, *pair())
    controller.navigation.next_missed()
    assert slice_of(viewer, viewer.layers["truth"]) == 8 - 7 and view.cursor == 1
    assert "spleen is missed" in view.state.message
    controller.navigation.go_to(8)
    controller.navigation.next_worse()
    assert view.cursor == 1  # Dice 0, the worst
    controller.navigation.next_worse()
    assert view.cursor == 3  # then 0.9, the lowest of the liver's slices
    controller.overlays.set_focus(3)
    controller.navigation.next_worse()
    assert view.cursor == 1
    controller.navigation.next_worse()
    assert view.cursor == 2  # the spleen's perfect slice comes last


def test_painting_changes_table_and_curve_and_undo_gives_them_back(viewer):
    controller, view = opened(viewer, *pair())
    layer = viewer.layers["prediction"]
    before = view.state
    controller.navigation.go_to(1)
    layer.brush_size = 40
    layer.paint((1, 13, 18), 3)
    controller.pair._followed[0][0].flush()
    assert row_of(view, 3).volume_pred_ml > row_of_state(before, 3).volume_pred_ml
    assert view.state.scores.curves[1].dice[1] > 0 and before.scores.curves[1].dice[1] == 0
    assert row_of(view, 3).surface is Surface.WAITING and row_of(view, 1).surface is Surface.FRESH
    for later in view.later:
        later()
    assert row_of(view, 3).surface is Surface.FRESH
    layer.undo()
    controller.pair._followed[0][0].flush()
    assert row_of(view, 3).dice == pytest.approx(2 / 3)
    layer.paint((4, 2, 20), 7)  # a class that nobody had
    controller.pair._followed[0][0].flush()
    assert [row.value for row in view.state.scores.rows] == [1, 3, 7]


def test_a_label_that_is_not_contoured_does_not_keep_the_measuring_going(viewer):
    prediction, truth = pair()
    labels = Labels(tuple(replace(label, contoured=label.name != "spleen") for label in NAMES))
    controller, view = opened(viewer, prediction, replace(truth, labels=labels))
    viewer.layers["prediction"].paint((2, 2, 2), 1)  # in a slice in which the truth has the spleen
    controller.pair._followed[0][0].flush()
    assert row_of(view, 1).surface is Surface.WAITING
    calls = 0
    while view.later and calls < 10:
        view.later.pop()()
        calls += 1
    assert calls == 1 and row_of(view, 1).surface is Surface.FRESH


def row_of_state(state, value):
    return next(row for row in state.scores.rows if row.value == value)


def test_the_error_map_follows_the_brush_and_keeps_the_selection(viewer):
    controller, _ = opened(viewer, *pair())
    prediction, truth = viewer.layers["prediction"], viewer.layers["truth"]
    viewer.layers.selection.active = prediction
    controller.overlays.set_errors(True)
    assert viewer.layers.selection.active is prediction
    errors = viewer.layers["errors"]
    assert np.array_equal(np.asarray(errors.data), error_codes(prediction.data, truth.data))
    prediction.data_setitem((np.array([0]), np.array([0]), np.array([0])), 1)
    controller.pair._followed[0][0].flush()
    assert errors.data[0, 0, 0] == EXTRA
    controller.overlays.set_focus(3)
    assert set(np.unique(np.asarray(errors.data))) == {0, AGREED, MISSED}
    controller.overlays.set_errors(False)
    assert "errors" not in viewer.layers


def test_the_error_map_on_the_canvas_is_that_of_the_arrays_after_every_stroke(viewer):
    """Only the box of a stroke is drawn again; every plane shows what comparing all voxels gives."""
    controller, _ = opened(viewer, *pair())
    prediction, truth = viewer.layers["prediction"], viewer.layers["truth"]
    controller.overlays.set_errors(True)
    errors, rng = viewer.layers["errors"], np.random.default_rng(2)
    drawn = []
    errors.events.set_data.connect(drawn.append)
    for order in ((0, 1, 2), (1, 0, 2), (2, 0, 1), (2, 1, 0)):
        viewer.dims.order = order
        for place in rng.integers((0, 0, 0), SHAPE, (6, 3)):
            viewer.dims.current_step = tuple(place)
            drawn.clear()
            side = (prediction, truth)[int(rng.integers(2))]
            side.locked, side.brush_size = False, int(rng.integers(2, 12))
            side.paint(tuple(place), int(rng.integers(0, 4)))
            Painting.of(side).flush()
            t, p = (
                np.where((one.data == 1) | (one.data == 3), one.data, 0).take(place[order[0]], order[0])
                for one in (truth, prediction)
            )
            wanted = np.select([(t == p) & (t > 0), (t == 0) & (p > 0), (t > 0) & (p == 0), t != p], CODES)
            wanted = wanted if order[1] < order[2] else wanted.T
            shown = errors._slice.image
            assert np.array_equal(shown.raw, wanted)
            assert np.array_equal(shown.view, errors._raw_to_displayed(wanted.astype(np.uint8)))
            assert not drawn  # not sliced again


def test_the_error_map_leaves_out_what_was_not_contoured(viewer):
    prediction, truth = pair()
    liver_only = truth.labels.contoured_only(["liver"])
    opened(viewer, prediction, LabelMap(truth.array, truth.geometry, liver_only))[0].overlays.set_errors(True)
    wrong = np.asarray(viewer.layers["errors"].data) > AGREED
    assert wrong.sum() == 4 * 10 * 2  # a column on either side of the liver; nothing of the spleen


def test_contours_take_the_place_of_filled_labels_and_all_is_put_back(viewer):
    controller, _ = opened(viewer, *pair())
    prediction, truth = viewer.layers["prediction"], viewer.layers["truth"]
    prediction.opacity = 0.4
    controller.overlays.set_contours(True)
    assert prediction.opacity == 0 and prediction.visible and not truth.visible
    for drawing in ("paint", "erase", "fill", "polygon"):
        prediction.mode = drawing
        assert prediction.opacity == 0.25  # what is drawn is seen before its outline has been made
    prediction.mode = "pan_zoom"
    assert prediction.opacity == 0
    viewer.dims.ndisplay = 3
    assert prediction.opacity == 0.4 and truth.visible
    viewer.dims.ndisplay = 2
    controller.overlays.set_contours(False)
    assert prediction.opacity == 0.4 and truth.visible and controller.overlays.contours is None


def test_next_worse_by_wrong_area_goes_to_the_largest_error_first(viewer):
    controller, view = opened(viewer, *pair())
    controller.navigation.set_worse_by(WorseBy.AREA)
    controller.navigation.go_to(8)
    seen = []
    for _ in range(6):
        controller.navigation.next_worse()
        seen.append(view.cursor)
    # 36 voxels of the spleen are missed in slice 1; 10 columns on either side of the liver in 3 to 6.
    assert seen == [1, 3, 4, 5, 6, 1]
    controller.overlays.set_focus(1)
    controller.navigation.next_worse()
    assert view.cursor == 3
    assert CompareController(FakeView(), ViewerModel(), Preferences(), at_once).state.slices.worse_by is (
        WorseBy.AREA
    )


def test_a_tolerance_below_a_voxel_is_pointed_out(viewer):
    controller, view = opened(viewer, *pair())
    controller.scoring.set_tolerance(3.0)
    assert view.state.scores.tolerance_note == ""
    controller.scoring.set_tolerance(2.5)
    assert "2 x 1.5 x 3 mm" in view.state.scores.tolerance_note


def test_the_distance_of_the_label_in_focus_is_a_layer_with_a_symmetric_scale(viewer):
    controller, view = opened(viewer, *pair())
    viewer.layers.selection.active = viewer.layers["prediction"]
    controller.overlays.distance.set_on(True)
    assert NAME not in viewer.layers and view.state.overlays.limit_mm is None
    controller.overlays.set_focus(1)
    layer = viewer.layers[NAME]
    assert list(layer.contrast_limits) == [-view.state.overlays.limit_mm, view.state.overlays.limit_mm]
    assert viewer.layers.selection.active is viewer.layers["prediction"]
    # The last column is one voxel of 2 mm beyond the truth; the first is two voxels from the outside.
    row = layer.data[1, 5]
    assert row[~np.isnan(row)].tolist() == [-4.0, 2.0]
    first = layer.data_to_world((0, 0, 0))
    assert first == pytest.approx(viewer.layers["truth"].data_to_world((3, 4, 4)))
    controller.overlays.set_focus(None)
    assert NAME not in viewer.layers


def test_a_distance_is_replaced_when_the_next_is_there_and_never_that_of_another_label(viewer):
    waiting, hold = [], False

    def aside(function, on_done, on_error):
        if hold:
            waiting.append(lambda: at_once(function, on_done, on_error))
        else:
            at_once(function, on_done, on_error)

    controller, _ = opened(viewer, *pair(), aside)
    controller.overlays.distance.set_on(True)
    controller.overlays.set_focus(1)
    first, hold = viewer.layers[NAME], True
    controller.overlays.distance.draw()
    assert viewer.layers[NAME] == first
    waiting.pop()()
    assert viewer.layers[NAME] != first
    controller.overlays.set_focus(3)
    assert NAME not in viewer.layers
    waiting.pop()()
    assert viewer.layers[NAME].data.shape == (2, 6, 6)  # of the spleen


def test_another_grid_is_resampled_and_said(viewer):
    prediction, truth = pair()
    shifted = LabelMap(prediction.array[:, :, :-3].copy(), grid((9, 20, 21)), NAMES)
    _, view = opened(viewer, shifted, truth)
    assert view.state.phase is Phase.READY and "another grid" in view.state.scores.note
    assert "9 x 20 x 21 voxels against 9 x 20 x 24" in view.state.scores.note
    assert row_of(view, 1).dice == pytest.approx(0.9)


def test_a_prediction_stored_the_other_way_round_is_compared_voxel_by_voxel_and_kept_up(viewer):
    prediction, truth = pair()
    upward = Geometry.from_parts(SHAPE, SPACING, grid().index_to_lps((8, 0, 23)), np.diag([-1.0, 1.0, 1.0]))
    stored = LabelMap(prediction.array[::-1, :, ::-1].copy(), upward, NAMES)
    _, view = opened(viewer, stored, truth)
    assert view.state.scores.note == "" and row_of(view, 1).dice == pytest.approx(0.9)
    layer = viewer.layers["prediction"]
    layer.data_setitem(
        tuple(np.nonzero(layer.data == 3)), 0
    )  # kept up by the slice, not counted again as a whole
    Painting.of(layer).flush()
    assert row_of(view, 3).dice == 0


def test_no_point_in_common_is_a_sentence(viewer):
    prediction, truth = pair()
    _, view = opened(viewer, LabelMap(prediction.array, grid(origin=(500.0, 0.0, 0.0)), NAMES), truth)
    assert (
        view.state.phase is Phase.FAILED and "same scan" in view.state.message and not view.state.scores.rows
    )


def test_a_layer_that_goes_takes_the_comparison_with_it(viewer):
    controller, view = opened(viewer, *pair())
    controller.overlays.set_contours(True)
    viewer.layers.remove("prediction")
    assert (
        view.state.pair.prediction is None
        and not view.state.scores.rows
        and controller.overlays.contours is None
    )
    assert viewer.layers["truth"].visible
    assert view.state.why_not


@pytest.mark.parametrize("ending", [".csv", ".json", ".html"])
def test_the_report_is_written_by_its_ending(viewer, tmp_path, ending):
    controller, view = opened(viewer, *pair())
    controller.save(tmp_path / f"case{ending}")
    assert (tmp_path / f"case{ending}").stat().st_size > 100 and "Written" in view.state.message
    if ending == ".csv":
        rows = list(csv.DictReader((tmp_path / "case.csv").open()))
        assert float(next(row for row in rows if row["name"] == "liver")["dice"]) == pytest.approx(0.9)


def test_a_report_that_cannot_be_written_is_a_sentence(viewer, tmp_path):
    controller, view = opened(viewer, *pair())
    controller.save(tmp_path / "missing" / "case.csv")
    assert "folder" in view.state.message and not view.state.saving


def test_the_real_dock_click_in_the_plot_moves_the_slider_and_the_slider_the_cursor(
    make_plugin_viewer, qtbot
):
    viewer = make_plugin_viewer()
    from napari_ctseg.docks.compare.view import CompareDock

    prediction, truth = pair()
    dock = CompareDock(viewer)
    qtbot.addWidget(dock)
    assert not dock.report.save.isEnabled() and "label layers" in dock.report.save.toolTip()
    assert "File > Open" in dock.empty.text() and not dock.controls.isVisibleTo(dock)
    show_labels(viewer, truth, "truth")
    assert "“truth” is open" in dock.empty.text()
    show_labels(viewer, prediction, "prediction")
    dock.controller.choose(prediction="prediction", truth="truth")
    qtbot.waitUntil(
        lambda: dock.controller.state.phase is Phase.READY and not dock.controller.state.scores.measuring,
        timeout=PATIENCE_MS,
    )
    dock._viewer.window.add_dock_widget(dock, name="Compare")
    dock.scores.plot._ask(3.2)
    assert slice_of(viewer, viewer.layers["truth"]) == 2
    viewer.dims.set_point(0, viewer.layers["truth"].translate[0] + 5 * 3.0)
    assert dock.scores.plot.cursor_line.value() == 6 and dock.scores.where.text().startswith("Slice 6/9")
    assert dock.scores.table.rowCount() == 2 and dock.scores.table.item(0, 1).text() == "0.90"
    layer = viewer.layers["prediction"]
    layer.paint((5, 2, 2), 1)
    qtbot.waitUntil(
        lambda: (
            dock.scores.table.item(0, 1).text() != "0.90"
            or dock.controller.state.scores.rows[0].volume_pred_ml > 3.6
        ),
        timeout=PATIENCE_MS,
    )
    assert dock.report.save.isEnabled()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_what_neither_mask_has_is_a_dash_in_the_dock_and_in_evaluate(
    make_napari_viewer, qtbot, tmp_path, capsys, theme
):
    from napari_ctseg.commands.results.evaluate import evaluate
    from napari_ctseg.docks.compare.view import CompareDock

    labels = Labels.from_names({1: "liver", 2: "spleen", 3: "kidney", 4: "pancreas"})
    prediction, truth = (replace(one, array=np.zeros_like(one.array), labels=labels) for one in pair())
    for one, extra in ((prediction, 3), (truth, 2)):
        one.array[2:4, 2:4, 2:6] = 1
        one.array[5:7, 2:4, 2:6] = extra
        name = "prediction" if one is prediction else "truth"
        formats.write(tmp_path / f"{name}.nii.gz", one)
    viewer = make_napari_viewer(show=True)
    viewer.theme = theme
    dock = CompareDock(viewer)
    show_labels(viewer, truth, "truth")
    show_labels(viewer, prediction, "prediction")
    dock.controller.choose(prediction="prediction", truth="truth")
    viewer.window.add_dock_widget(dock, name="Compare")
    qtbot.waitUntil(
        lambda: dock.controller.state.phase is Phase.READY and not dock.controller.state.scores.measuring,
        timeout=PATIENCE_MS,
    )
    shown = {
        dock.scores.table.item(k, 0).text(): [
            dock.scores.table.item(k, column).text() for column in (1, 2, 3)
        ]
        for k in range(4)
    }
    assert shown == {
        "liver": ["1.00", "0.0", "1.00"],
        "spleen": ["0.00", "∞", "0.00"],
        "kidney": ["0.00", "∞", "0.00"],
        "pancreas": ["–", "–", "–"],
    }
    assert (
        "empty in both" in dock.scores.table.item(3, 0).toolTip()
        and "empty in the prediction" in dock.scores.table.item(1, 2).toolTip()
    )
    (tmp_path / "labels.json").write_text('{"1": "liver", "2": "spleen", "3": "kidney", "4": "pancreas"}')
    evaluate(tmp_path / "prediction.nii.gz", tmp_path / "truth.nii.gz")
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["pancreas"][1:5] == ["-"] * 4 and lines["spleen"][1:3] == ["0.000", "inf"]
