"""A truth is never changed unasked: not by a dock, not by napari's own tools, in no order in which layers and
roles come.
"""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers._layer_actions import _convert, _duplicate_layer
from napari.utils.notifications import notification_manager

from ctseg_imaging import formats
from ctseg_imaging.volume import LabelMap
from napari_ctseg.docks.compare.controller import CompareController
from napari_ctseg.docks.compare.state import CompareState
from napari_ctseg.docks.correct import words
from napari_ctseg.docks.correct.controller import CorrectController
from napari_ctseg.docks.correct.state import Operation
from napari_ctseg.files import workspace
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.painting import Painting
from napari_ctseg.viewer.proxies import unwrapped
from napari_ctseg.viewer.showing import show_labels, show_volume
from napari_ctseg.viewer.study import study_of
from tests.plugin.docks.correct.test_correct import GRID, NAMES, FakeView, drag, image, mask
from tests.plugin.workers import at_once

MODEL = {"bundles": ["abdomen"]}


@pytest.fixture
def viewer(plugin_model):
    """With an image and a truth, as a plugin gets it."""
    study_of(plugin_model)
    show_volume(plugin_model, image(), "ct")
    show_labels(plugin_model, mask(), "truth")
    return plugin_model


def correct(viewer):
    view = FakeView()
    return CorrectController(view, viewer, Preferences(), at_once)


class CompareView:
    def __init__(self):
        self.state = CompareState()

    def show(self, state):
        self.state = state

    def move_cursor(self, index):
        pass

    def idle(self, then):
        pass


def compare(viewer):
    return CompareController(CompareView(), viewer, Preferences(), at_once)


def prediction():
    array = mask().array.copy()
    array[2] = 0
    return LabelMap(array, GRID, NAMES)


def attack(layer):
    """Everything that a tool can do to a layer; napari's own methods and operations."""
    layer = unwrapped(layer)
    layer.brush_size, layer.n_edit_dimensions = 7, 2
    layer.selected_label = 3
    layer.paint((4, 3, 3), 3)
    layer.fill((4, 0, 0), 1)
    layer.paint_polygon([(4, 1, 1), (4, 1, 9), (4, 9, 9)], 3)
    layer.n_edit_dimensions = 3
    layer.paint((4, 12, 3), 1)
    layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 1)
    layer.undo()
    layer.redo()


def test_a_prediction_that_comes_after_the_truth_is_what_is_corrected(viewer):
    controller = correct(viewer)
    assert controller.state.mask.layer is None and controller.state.mask.to_copy == "truth"
    assert (
        "reference" in words.which(controller.state.mask)
        and "correct a copy" in controller.state.mask.why_not
    )
    show_labels(viewer, prediction(), "model", MODEL)
    assert controller.state.mask.layer == "model" and controller.state.mask.truth == "truth"
    before = viewer.layers["truth"].data.copy()
    attack(viewer.layers["model"])
    assert np.array_equal(viewer.layers["truth"].data, before)
    assert "“model”" in words.which(controller.state.mask) and "the reference “truth”" in words.which(
        controller.state.mask
    )


def test_napari_s_own_tools_change_no_voxel_of_a_truth_without_any_dock(viewer):
    layer = viewer.layers["truth"]
    before, messages = layer.data.copy(), []
    notification_manager.notification_ready.connect(messages.append)
    attack(layer)
    assert np.array_equal(layer.data, before)
    assert (
        len(messages) == 1 and "truth is locked" in messages[0].message
    )  # one announcement for a run of strokes
    actions = dict(messages[0].actions)
    assert set(actions) == {"Correct a copy", "Unlock"}
    actions["Unlock"](None)
    attack(layer)
    assert not np.array_equal(layer.data, before)


def test_a_refused_stroke_offers_to_go_on_in_a_copy(viewer):
    layer, messages = viewer.layers["truth"], []
    before = layer.data.copy()
    layer.mode, layer.selected_label, layer.brush_size = "paint", 3, 9
    notification_manager.notification_ready.connect(messages.append)
    layer.paint((4, 3, 3), 3)
    dict(messages[0].actions)["Correct a copy"](None)
    copy = viewer.layers["truth corrected"]
    assert study_of(viewer).edited == "truth corrected" and viewer.layers.selection.active is not layer
    assert (str(copy.mode), copy.selected_label) == ("paint", 3)
    assert not layer.visible and not copy.locked  # what is erased in the copy is to be seen
    copy.paint((4, 3, 3), 3)
    assert np.array_equal(layer.data, before) and not np.array_equal(copy.data, before)


def test_a_stroke_that_another_viewer_keeps_out_is_told_with_and_without_the_dock(viewer):
    layer, messages = show_labels(viewer, prediction(), "model", MODEL), []
    controller = correct(viewer)
    notification_manager.notification_ready.connect(messages.append)
    Painting.of(layer).read_only = "Process 1 edits this image."
    assert (
        controller.state.mask.in_use
        and controller.state.mask.why_not
        == words.which(controller.state.mask)
        == "Process 1 edits this image."
    )
    before = layer.data.copy()
    layer.paint((4, 3, 3), 3)
    assert np.array_equal(layer.data, before) and messages[0].message == "Process 1 edits this image."
    dict(messages[0].actions)["Take over"](None)
    assert not controller.state.mask.in_use and not controller.state.mask.why_not
    layer.paint((4, 3, 3), 3)
    assert not np.array_equal(layer.data, before)


def test_undo_is_refused_for_a_truth_that_was_painted_before_it_was_the_truth(viewer):
    layer = show_labels(viewer, prediction(), "model", MODEL)
    layer.paint((4, 3, 3), 3)
    before = layer.data.copy()
    study_of(viewer).truth = "model"
    layer.undo()
    assert np.array_equal(layer.data, before)


def test_the_mouse_does_not_paint_on_a_truth_that_the_reader_opened(make_napari_viewer, tmp_path):
    formats.write(tmp_path / "labels.nii.gz", mask())
    viewer = make_napari_viewer()
    viewer.open(tmp_path / "labels.nii.gz", plugin="napari-ctseg")
    layer = viewer.layers["labels"]
    before = layer.data.copy()
    layer.mode, layer.selected_label, layer.brush_size = "paint", 3, 9
    drag(layer, [(4, 10, 6), (4, 10, 12)])
    assert layer.locked and np.array_equal(layer.data, before)


def test_a_copy_is_corrected_with_one_click_and_the_truth_stays(viewer):
    controller = correct(viewer)
    truth = viewer.layers["truth"]
    before = truth.data.copy()
    controller.correct_copy()
    assert controller.state.mask.layer == "truth corrected" and controller.state.mask.truth == "truth"
    assert study_of(viewer).edited == "truth corrected" and not viewer.layers["truth corrected"].locked
    attack(viewer.layers["truth corrected"])
    assert np.array_equal(truth.data, before) and not np.array_equal(
        viewer.layers["truth corrected"].data, before
    )
    assert [row.name for row in controller.state.classes.rows] == ["liver", "spleen"]


def test_one_click_unlocks_and_locks_again_and_the_dock_shows_it(viewer):
    controller = correct(viewer)
    before = viewer.layers["truth"].data.copy()
    controller.set_lock(False)
    assert (
        controller.state.mask.layer == "truth"
        and controller.state.mask.reference_at_risk
        and "truth itself" in words.which(controller.state.mask)
    )
    controller.set_lock(True)
    assert controller.state.mask.layer is None and not controller.state.mask.reference_at_risk
    attack(viewer.layers["truth"])
    assert np.array_equal(viewer.layers["truth"].data, before)


def test_a_truth_that_is_chosen_is_shown_locked_and_operations_are_refused(viewer):
    show_labels(viewer, prediction(), "model", MODEL)
    controller = correct(viewer)
    before = viewer.layers["truth"].data.copy()
    controller.choose("truth")
    controller.brush.select(1)
    controller.operations.apply(Operation.EXPAND)
    controller.steps.undo()
    assert (
        controller.state.mask.locked
        and "locked" in controller.state.operation_why_not
        and study_of(viewer).edited is None
    )
    assert np.array_equal(viewer.layers["truth"].data, before)


def test_strokes_keep_the_dock_on_their_mask_when_another_prediction_comes(viewer):
    show_labels(viewer, prediction(), "first", MODEL)
    controller = correct(viewer)
    viewer.layers["first"].paint((4, 3, 3), 3)
    show_labels(viewer, prediction(), "second", MODEL)
    assert study_of(viewer).prediction == "second" and controller.state.mask.layer == "first"


def test_roles_swapped_in_compare_lock_the_new_truth_and_keep_the_old_one_locked(viewer):
    show_labels(viewer, prediction(), "model", MODEL)
    corrector, comparer = correct(viewer), compare(viewer)
    comparer.swap()
    assert study_of(viewer).truth == "model" and comparer.state.pair.truth == "model"
    kept = {name: viewer.layers[name].data.copy() for name in ("model", "truth")}
    for name, before in kept.items():
        attack(viewer.layers[name])
        assert np.array_equal(viewer.layers[name].data, before), name
    assert corrector.state.mask.layer is None
    comparer.swap()
    assert (
        corrector.state.mask.layer == "model"
        and not viewer.layers["model"].locked
        and viewer.layers["truth"].locked
    )


def test_a_renamed_truth_stays_the_locked_truth(viewer):
    controller = correct(viewer)
    viewer.layers["truth"].name = "expert 1"
    show_labels(viewer, prediction(), "truth", MODEL)  # and its old name is given to another
    assert (
        study_of(viewer).truth == "expert 1"
        and controller.state.mask.layer == "truth"
        and controller.state.mask.truth == "expert 1"
    )
    assert viewer.layers["expert 1"].locked and not viewer.layers["truth"].locked


def test_a_duplicate_is_no_truth_and_can_be_changed_alone(viewer):
    layers = unwrapped(viewer).layers
    layers.selection = {layers["truth"]}
    _duplicate_layer(layers)
    before = layers["truth"].data.copy()
    attack(layers["truth copy"])
    assert study_of(viewer).truth == "truth" and np.array_equal(layers["truth"].data, before)
    assert not np.array_equal(layers["truth copy"].data, before)


def test_a_duplicated_prediction_does_not_take_the_prediction_s_place(viewer):
    show_labels(viewer, prediction(), "model", MODEL)
    layers = unwrapped(viewer).layers
    layers.selection = {layers["model"]}
    _duplicate_layer(layers)
    assert study_of(viewer).prediction == "model"


def test_a_truth_that_was_converted_and_back_is_the_truth_again(viewer):
    layers = unwrapped(viewer).layers
    for kind in ("image", "labels"):
        layers.selection = {layers["truth"]}
        layers["truth"].locked = False
        _convert(layers, kind)
    before = layers["truth"].data.copy()
    attack(layers["truth"])
    assert (
        study_of(viewer).truth == "truth"
        and study_of(viewer).image == "ct"
        and np.array_equal(layers["truth"].data, before)
    )


def test_an_image_converted_to_labels_is_not_taken_for_the_image(viewer):
    layers = unwrapped(viewer).layers
    layers.selection = {layers["ct"]}
    _convert(layers, "labels")
    assert study_of(viewer).image is None


def test_one_array_shown_twice_is_separated_also_across_viewers(viewer):
    shared = mask()
    other = ViewerModel()
    study_of(other)
    show_labels(other, shared, "truth here")
    study_of(viewer).truth = None
    show_labels(viewer, shared, "mine", role="edited")
    reference = other.layers["truth here"]
    before = reference.data.copy()
    attack(viewer.layers["mine"])
    assert np.array_equal(reference.data, before) and not np.array_equal(viewer.layers["mine"].data, before)


def test_a_mask_that_was_begun_here_or_opened_for_correction_is_no_truth(plugin_model):
    workspace.lay_out(plugin_model, image(), "ct", None, mask())
    assert study_of(plugin_model).truth is None and not plugin_model.layers["labels"].locked
    controller = correct(plugin_model)
    controller.begin_empty()
    assert (
        study_of(plugin_model).truth is None
        and controller.state.mask.layer == study_of(plugin_model).edited == "mask"
    )


def test_a_new_array_in_a_layer_is_counted_anew(viewer):
    show_labels(viewer, prediction(), "model", MODEL)
    controller = correct(viewer)
    viewer.layers["model"].data = np.zeros_like(viewer.layers["model"].data)
    viewer.layers["model"].paint((4, 3, 3), 3)
    Painting.of(viewer.layers["model"]).flush()
    volumes = {row.name: row.volume_ml for row in controller.state.classes.rows}
    assert volumes["liver"] == 0 and volumes["spleen"] > 0


def test_the_study_survives_the_proxy(plugin_model):
    assert study_of(plugin_model) is study_of(unwrapped(plugin_model))
    show_labels(plugin_model, mask(), "truth")
    plugin_model.layers["truth"].name = "renamed"
    assert study_of(plugin_model).truth == "renamed"
