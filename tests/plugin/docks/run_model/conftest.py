"""The dock's controller on an open image, with models and a library that are not real."""

import pytest
from napari.components import ViewerModel

from napari_ctseg.docks.run_model.controller import RunModelController
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.showing import show_volume
from tests.plugin.run_model_fakes import FakeLibrary, FakeView, Later, with_kinds
from tests.plugin.workers import at_once


@pytest.fixture
def made(tmp_path, volume, fakes):
    def make(aside=at_once, no_model=""):
        viewer, models = ViewerModel(), with_kinds(fakes)
        library = FakeLibrary(models, no_model)
        controller = RunModelController(
            FakeView(), viewer, models, Preferences(tmp_path / "p.json"), Later(), lambda: 0.0, library, aside
        )
        show_volume(viewer, volume, "t1")
        return controller, viewer, library

    return make
