"""Refine on a real viewer: a class at another volume, as one undo step, and corrections stay."""

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.resampling import resample
from ctseg_imaging.volume import LabelMap, Labels, Volume
from ctseg_models.contract.prediction import Prediction
from napari_ctseg.docks.correct.controller import CorrectController
from napari_ctseg.docks.correct.previews.outline import PREVIEW_NAME
from napari_ctseg.docks.correct.state import CorrectState
from napari_ctseg.docks.correct.view import CorrectDock
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.copying import correct_copy
from napari_ctseg.viewer.layers import source_of
from napari_ctseg.viewer.painting import Painting, edits_of
from napari_ctseg.viewer.proxies import unwrapped
from napari_ctseg.viewer.reference import lock
from napari_ctseg.viewer.showing import add_prediction, show_volume
from tests.plugin.workers import at_once

SHAPE, SPACING = (9, 14, 17), (3.0, 1.5, 2.0)
C, S = np.cos(np.radians(10)), np.sin(np.radians(10))
OBLIQUE = np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]]) @ np.diag([-1, 1, -1.0])
GRID = Geometry.from_parts(SHAPE, SPACING, (10.0, -20.0, 30.0), OBLIQUE)
VOXEL_ML = 0.009


class FakeView:
    def __init__(self):
        self.state = CorrectState()

    def show(self, state):
        self.state = state


def chances():
    """Every voxel another probability of the liver, highest in the middle."""
    z, y, x = np.ogrid[tuple(slice(0, n) for n in SHAPE)]
    away = ((z - 4) * 3.0) ** 2 + ((y - 6.3) * 1.5) ** 2 + ((x - 8.2) * 2.0) ** 2
    return np.exp(-away / 60).astype(np.float32)


def shown(viewer, keep=True):
    """An image, and a prediction of liver (where its probability is above a half) and spleen."""
    show_volume(viewer, Volume(np.zeros(SHAPE, np.int16), GRID, modality="CT"), "ct")
    liver = chances()
    labels = (liver > 0.5).astype(np.uint8)
    labels[0, :2, :2] = 3
    maps = np.stack([1 - liver, liver, np.zeros_like(liver)])
    prediction = Prediction(
        LabelMap(labels, GRID, Labels.from_names({1: "liver", 3: "spleen"})),
        probabilities=Volume(maps, GRID) if keep else None,
        provenance={"bundles": []},
    )
    return add_prediction(viewer, prediction, "model")


@pytest.fixture
def opened(plugin_model):
    layer = shown(plugin_model)
    layer.selected_label = 1
    return CorrectController(FakeView(), plugin_model, Preferences(), at_once), plugin_model, layer


def most_probable(count):
    """The `count` most probable voxels, by sorting, in the axes of the patient."""
    liver = chances()
    mask = np.zeros(SHAPE, bool)
    mask.ravel()[np.argsort(-liver.ravel())[:count]] = True
    return np.ascontiguousarray(mask)


def test_a_volume_previews_the_most_probable_voxels_and_apply_is_one_step(opened):
    controller, viewer, layer = opened
    view, before = source_of(layer).view, layer.data.copy()
    controller.refining.begin()
    present = int((before == 1).sum())
    assert controller.state.refine.present_ml == pytest.approx(present * VOXEL_ML)
    assert np.array_equal(viewer.layers[PREVIEW_NAME].data == 1, before == 1)
    for count in (present + 31, present - 17):
        controller.refining.set_volume(count * VOXEL_ML)
        expected = view.apply(most_probable(count))
        assert np.array_equal(viewer.layers[PREVIEW_NAME].data == 1, expected)
        assert controller.state.refine.volume_ml == pytest.approx(count * VOXEL_ML)
        assert np.array_equal(layer.data, before)  # a preview changes nothing
    controller.refining.apply()
    assert np.array_equal(layer.data == 1, expected) and (layer.data == 3).sum() == 4
    assert PREVIEW_NAME not in viewer.layers and controller.state.preview.tool == ""
    assert edits_of(layer)[-1]["operation"] == "refine"
    controller.steps.undo()
    assert np.array_equal(layer.data, before)


def test_what_is_painted_during_the_preview_stays(opened):
    controller, _, layer = opened
    controller.refining.begin()
    controller.refining.set_percent(150)
    wanted = controller._previewed[0]._change.shape.sum()
    erased = tuple(np.argwhere(layer.data == 1)[len(np.argwhere(layer.data == 1)) // 2])
    layer.data_setitem(tuple(np.array([k]) for k in erased), 0)  # the eraser, in the middle of the liver
    controller.refining.apply()
    assert layer.data[erased] == 0 and (layer.data == 1).sum() == wanted - 1


def test_a_threshold_is_one_on_the_probability(opened):
    controller, viewer, layer = opened
    controller.refining.begin()
    controller.refining.set_threshold(0.8)
    expected = source_of(layer).view.apply(chances() >= 0.8)
    assert np.array_equal(viewer.layers[PREVIEW_NAME].data == 1, expected)


def test_corrections_stay_at_every_volume(opened):
    controller, viewer, layer = opened
    inside = tuple(np.argwhere(layer.data == 1)[0])
    outside = tuple(np.argwhere(layer.data == 0)[-1])
    layer.data_setitem(tuple(np.array([i]) for i in inside), 0)
    layer.data_setitem(tuple(np.array([i]) for i in outside), 1)
    controller.refining.begin()
    assert np.array_equal(viewer.layers[PREVIEW_NAME].data == 1, layer.data == 1)
    for percent in (60, 180):
        controller.refining.set_percent(percent)
        preview = viewer.layers[PREVIEW_NAME].data
        assert preview[outside] == 1 and preview[inside] == 0


def test_cancel_and_a_removed_outline_leave_all_as_it_was(opened):
    controller, viewer, layer = opened
    before, steps = layer.data.copy(), len(Painting.of(layer).steps.history.done)
    for leave in (controller.refining.cancel, lambda: viewer.layers.remove(PREVIEW_NAME)):
        controller.refining.begin()
        controller.refining.set_percent(150)
        leave()
        assert controller.state.preview.tool == "" and PREVIEW_NAME not in viewer.layers
        assert controller.state.refine.most_ml == 0
    assert np.array_equal(layer.data, before)
    assert len(Painting.of(layer).steps.history.done) == steps


def test_without_probabilities_the_reason_is_told(plugin_model):
    shown(plugin_model, keep=False).selected_label = 1
    controller = CorrectController(FakeView(), plugin_model, Preferences(), at_once)
    controller.refining.begin()
    assert "not kept" in controller.state.message and PREVIEW_NAME not in plugin_model.layers


def test_a_corrected_copy_has_them_too(plugin_model):
    layer = shown(plugin_model)
    lock(layer)
    copy = correct_copy(plugin_model, "model")
    assert source_of(copy).probability_of(1).array.shape == SHAPE
    assert source_of(copy).probability_of(2) is None


def test_a_coarser_grid_of_the_network_is_enough(plugin_model):
    """The network's lattice is twice as coarse: a volume is kept within what one level of it is worth."""
    layer = shown(plugin_model)
    source = source_of(layer)
    coarse = GRID.with_spacing((6.0, 3.0, 4.0))
    maps = resample(source.probabilities, coarse)
    layer.metadata["ctseg"] = replace(source, probabilities=maps)
    layer.selected_label = 1
    controller = CorrectController(FakeView(), plugin_model, Preferences(), at_once)
    controller.refining.begin()
    controller.refining.set_percent(140)
    wanted = 1.4 * controller.state.refine.present_ml
    assert controller.state.refine.volume_ml == pytest.approx(wanted, abs=2 * VOXEL_ML)
    assert (plugin_model.layers[PREVIEW_NAME].data == 1).sum() == round(
        controller.state.refine.volume_ml / VOXEL_ML
    )


def test_by_key_slider_and_enter(make_plugin_viewer, qtbot):
    viewer = make_plugin_viewer(show=True)
    layer = shown(viewer)
    layer.selected_label = 1
    dock = CorrectDock(viewer)
    viewer.window.add_dock_widget(dock)
    canvas = unwrapped(viewer).window._qt_viewer.canvas.native
    before = int((layer.data == 1).sum())
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    qtbot.keyClick(canvas, Qt.Key.Key_F, both)
    qtbot.waitUntil(lambda: dock.controller.state.preview.ready)
    assert dock.controller.state.operation_why_not == "Apply or cancel refine first."
    dock.refine.percent.setValue(150)
    qtbot.waitUntil(lambda: dock.controller.state.preview.ready)
    qtbot.keyClick(canvas, Qt.Key.Key_Return)
    assert (layer.data == 1).sum() == pytest.approx(1.5 * before, abs=1)
    assert dock.refine.begin.isEnabled() and not dock.refine.isVisibleTo(dock)
