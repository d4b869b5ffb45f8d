"""A viewer with an image and its mask, and the dock on it with fake jobs."""

import pytest
from napari.components import ViewerModel

from napari_ctseg.docks.finetune.controller import FineTuneController
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.showing import show_labels, show_volume
from napari_ctseg.viewer.study import study_of
from tests.plugin.docks.finetune.fakes import FakeJobs, FakeView, case
from tests.plugin.workers import at_once


@pytest.fixture
def viewer(qapp):
    viewer = ViewerModel()
    volume, mask = case(1)
    show_volume(viewer, volume, "ct")
    show_labels(viewer, mask, "mask")
    study_of(viewer).edited = "mask"
    return viewer


@pytest.fixture
def dock(viewer, tmp_path):
    view, jobs = FakeView(), FakeJobs(tmp_path)
    return FineTuneController(view, viewer, jobs, Preferences(), at_once), view, jobs
