"""An image that is open for viewing only, in the real viewer: shown and marked, and no dock works on it."""

from unittest.mock import Mock

import numpy as np
import pytest

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.volume import ViewOnlyVolume
from ctseg_models.contract.upright import Upright
from napari_ctseg.docks.compare.controller import CompareController
from napari_ctseg.docks.compare.state import Phase
from napari_ctseg.docks.correct.controller import CorrectController
from napari_ctseg.docks.run_model.run import channels
from napari_ctseg.export.writers import write_image, write_labels
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.layers import label_map_of, volume_of
from napari_ctseg.viewer.showing import show_labels, show_volume
from napari_ctseg.viewer.study import study_of
from tests.plugin.workers import at_once


@pytest.fixture
def view_only(volume):
    return ViewOnlyVolume(**vars(volume), why="The gantry was tilted.")


def test_the_layer_is_marked_and_gives_its_type_back(make_plugin_viewer, view_only, volume):
    layer = show_volume(make_plugin_viewer(), view_only, "head")
    assert layer.name == "head (view only)"
    back = volume_of(layer)
    assert isinstance(back, ViewOnlyVolume) and back.why == view_only.why
    np.testing.assert_array_equal(back.array, volume.array)


def test_nothing_works_on_it(make_plugin_viewer, view_only, tmp_path):
    viewer = make_plugin_viewer()
    layer = show_volume(viewer, view_only, "head")
    with pytest.raises(GeometryError, match="viewing only and cannot be given to a model"):
        channels.read(viewer, channels.sources(viewer)[layer.name])
    with pytest.raises(GeometryError, match="viewing only and cannot be given to a model"):
        Upright.of(view_only)
    with pytest.raises(GeometryError, match="viewing only and cannot be written"):
        write_image(
            str(tmp_path / "out.nii.gz"), layer.data, {"name": layer.name, "metadata": layer.metadata}
        )
    converted = viewer.add_labels(np.abs(layer.data), metadata=layer.metadata)
    with pytest.raises(GeometryError, match="cannot be used as a mask"):
        label_map_of(converted)


@pytest.mark.parametrize("how", ["napari's own button", "converted"])
def test_masks_on_it_are_not_compared_or_exported(make_plugin_viewer, view_only, tmp_path, how):
    viewer = make_plugin_viewer()
    image = show_volume(viewer, view_only, "head")
    study_of(viewer)
    for k in range(2):
        if how == "converted":
            viewer.add_labels(np.abs(image.data) + k, metadata=image.metadata)
        else:
            viewer._new_labels()
            viewer.layers[-1].data[1, 2, 3 + k] = 1
    controller = CompareController(Mock(), viewer, Preferences(), at_once)
    assert len(controller.state.pair.layers) == 2
    controller.choose(prediction=viewer.layers[1].name, truth=viewer.layers[2].name)
    assert controller.state.phase is Phase.FAILED
    assert "open for viewing only and cannot be used as a mask" in controller.state.message
    controller.save(tmp_path / "report.csv")
    controller.close()
    layer = viewer.layers[2]
    with pytest.raises(GeometryError, match="open for viewing only"):
        write_labels(
            str(tmp_path / "out.nii.gz"),
            layer.data,
            {
                "name": layer.name,
                "metadata": layer.metadata,
                "scale": layer.scale,
                "translate": layer.translate,
            },
        )
    assert not list(tmp_path.iterdir())


def test_the_report_of_other_masks_has_no_picture_of_it(make_plugin_viewer, view_only, label_map, tmp_path):
    viewer = make_plugin_viewer()
    show_volume(viewer, view_only, "head")
    for name in ("truth", "other"):
        show_labels(viewer, label_map, name, role=None if name == "truth" else "prediction")
    controller = CompareController(Mock(), viewer, Preferences(), at_once)
    controller.save(tmp_path / "report.csv")
    assert "cannot be measured" in controller.state.message and not list(tmp_path.iterdir())
    controller.close()


def test_correct_says_why_it_begins_no_mask(make_plugin_viewer, view_only):
    viewer = make_plugin_viewer()
    show_volume(viewer, view_only, "head")
    controller = CorrectController(Mock(), viewer, Preferences())
    assert study_of(viewer).image == "head (view only)"
    controller.begin_empty()
    assert "cannot carry a mask" in controller.state.message
    assert len(viewer.layers) == 1
    controller.close()
