"""Which value a new class gets, and a mask that outgrows its type."""

import nibabel
import numpy as np
import pytest

from ctseg_imaging import formats
from ctseg_imaging.volume import LabelMap, Labels
from napari_ctseg.docks.correct.classes import free_value
from napari_ctseg.docks.correct.controller import CorrectController
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.painting import Painting
from napari_ctseg.viewer.showing import show_labels, show_volume
from napari_ctseg.viewer.study import study_of
from tests.plugin.docks.correct.test_correct import GRID, FakeView, image, mask
from tests.plugin.workers import at_once


def correcting(viewer, label_map, truth=None):
    study_of(viewer)
    show_volume(viewer, image(), "ct")
    if truth is not None:
        show_labels(viewer, truth, "truth")
    layer = show_labels(viewer, label_map, "mask", role="edited")
    return CorrectController(FakeView(), viewer, Preferences(), at_once), layer


def full(values):
    """A mask in which each of `values` has at least one voxel and is named."""
    array = np.zeros(GRID.shape, np.uint8)
    array.ravel()[: len(values)] = list(values)
    return LabelMap(array, GRID, Labels.from_names({value: f"class {value}" for value in values}))


@pytest.mark.parametrize(
    ("taken", "highest", "value"),
    [
        ({0, 1, 3}, 255, 4),
        ({0, 1, 255}, 255, 2),
        (set(range(256)), 255, None),
        ({0}, 255, 1),
        (set(range(256)), 65535, 256),
    ],
)
def test_the_next_value_or_else_the_first_free_one(taken, highest, value):
    assert free_value(taken, highest) == value


def test_label_255_leaves_room(plugin_model):
    controller, layer = correcting(plugin_model, full([1, 2, 255]))
    controller.add_class("tumour")
    assert layer.selected_label == 3 and layer.data.dtype == np.uint8


def test_a_value_that_was_painted_without_a_name_is_taken(plugin_model):
    controller, layer = correcting(plugin_model, mask())
    layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 4)
    controller.add_class("tumour")
    assert layer.selected_label == 5


def test_a_mask_with_255_classes_becomes_uint16_and_everything_goes_on(plugin_model, tmp_path):
    controller, layer = correcting(plugin_model, full(range(1, 256)))
    layer.brush_size = 3
    layer.paint((4, 3, 3), 7)
    before = layer.data.copy()
    controller.add_class("tumour")
    assert (
        layer.data.dtype == np.uint16 and layer.selected_label == 256 and np.array_equal(layer.data, before)
    )
    layer.contour = 1
    layer.paint((4, 12, 12), 256)
    Painting.of(layer).flush()
    painted = int((layer.data == 256).sum())
    row = next(row for row in controller.state.classes.rows if row.value == 256)
    assert painted > 0 and row.name == "tumour" and row.volume_ml == pytest.approx(painted * 9 / 1000)
    controller.save(tmp_path / "mask.nii.gz")
    assert "Written" in controller.state.message
    back = formats.read_labels(tmp_path / "mask.nii.gz")
    shown = layer.data[::-1, :, ::-1]  # the grid is stored from the left and from above
    assert (
        np.array_equal(back.array, shown)
        and nibabel.load(tmp_path / "mask.nii.gz").get_data_dtype() == np.uint16
    )
    controller.steps.undo()
    assert np.array_equal(layer.data, before)
    controller.steps.undo()
    assert int((layer.data == 7).sum()) == 1  # the stroke from before the change of type
    controller.steps.redo()
    assert np.array_equal(layer.data, before)


def test_dice_goes_on_after_the_change_of_type(plugin_model):
    controller, layer = correcting(plugin_model, full(range(1, 256)), truth=mask())
    controller.add_class("tumour")
    layer.data[:] = plugin_model.layers["truth"].data
    layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 1)
    Painting.of(layer)._everything()
    Painting.of(layer).flush()
    liver = next(row for row in controller.state.classes.rows if row.value == 1)
    assert liver.dice == pytest.approx(2 * 400 / 801)


def test_a_class_that_the_truth_has_gets_the_truth_s_value_and_another_one_does_not(plugin_model):
    array = np.zeros(GRID.shape, np.uint8)
    array[2, 2, 2] = 1
    controller, layer = correcting(
        plugin_model, LabelMap(array, GRID, Labels.from_names({1: "liver"})), truth=mask()
    )
    controller.add_class("tumour")
    assert layer.selected_label == 4  # 3 is the truth's spleen
    controller.add_class("Spleen")
    assert layer.selected_label == 3
