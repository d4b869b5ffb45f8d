"""A new result hides those that earlier runs left on its image, and nothing that a user made."""

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_ctseg.docks.run_model.controller import RunModelController
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.painting import set_mask
from napari_ctseg.viewer.showing import show_labels, show_volume
from tests.plugin.run_model_fakes import FakeView, Later


@pytest.fixture
def controller(tmp_path, volume, fakes):
    viewer = ViewerModel()
    made = RunModelController(
        FakeView(), viewer, fakes.Models(), Preferences(tmp_path / "p.json"), Later(), lambda: 0.0
    )
    show_volume(viewer, volume, "ct")
    return made


def ran(controller):
    controller.run()
    controller.runner.finish()


def visible(controller):
    return {layer.name for layer in controller.viewer.layers if layer.visible}


def test_a_second_run_hides_the_first_and_keeps_it(controller):
    ran(controller)
    ran(controller)
    assert [layer.name for layer in controller.viewer.layers] == [
        "ct",
        "abdomen",
        "abdomen box",
        "abdomen [1]",
        "abdomen box [1]",
    ]
    assert visible(controller) == {"ct", "abdomen [1]", "abdomen box [1]"}
    assert controller.state.message.endswith('"abdomen [1]". Hidden below it: "abdomen".')
    controller.choose_bundles(["headneck"])
    ran(controller)
    assert visible(controller) == {"ct", "headneck", "headneck box"}


def test_a_first_run_says_nothing_about_others(controller, label_map):
    show_labels(controller.viewer, label_map, "mine")
    ran(controller)
    assert (
        visible(controller) == {"ct", "mine", "abdomen", "abdomen box"}
        and "Hidden" not in controller.state.message
    )


@pytest.mark.parametrize(
    "edit",
    [
        lambda layer: layer.fill((1, 1, 1), 2),
        lambda layer: layer.paint((1, 1, 1), 2),
        lambda layer: setattr(layer, "data", layer.data + 1),
        lambda layer: set_mask(layer, 2, np.ones(layer.data.shape, bool)),
    ],
)
def test_what_a_person_has_edited_stays_in_sight(controller, edit):
    ran(controller)
    edit(controller.viewer.layers["abdomen"])
    ran(controller)
    assert visible(controller) == {"ct", "abdomen", "abdomen [1]", "abdomen box [1]"}


def test_results_on_another_image_stay_in_sight(controller, volume):
    ran(controller)
    show_volume(controller.viewer, replace(volume, array=volume.array + 1), "other")
    controller.choose_image("other")
    ran(controller)
    assert {"abdomen", "abdomen [1]"} <= visible(controller)
