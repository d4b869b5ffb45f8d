"""The list of components in the Compare dock: hand-made lesions, islands and holes."""

import numpy as np
import pytest
from napari.components import ViewerModel

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.metrics.components import Finding
from ctseg_imaging.volume import LabelMap, Labels
from napari_ctseg.docks.compare.components.listed import ListKind
from napari_ctseg.docks.compare.controller import CompareController
from napari_ctseg.docks.compare.state import CompareState
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.layers import slice_of
from napari_ctseg.viewer.painting import Painting
from napari_ctseg.viewer.showing import show_labels
from napari_ctseg.viewer.study import study_of
from tests.plugin.workers import at_once

SHAPE, SPACING = (9, 20, 24), (3.0, 1.5, 2.0)
ORIGIN = (-10.0, 20.0, 30.0)
DOWNWARD = np.diag([1.0, 1.0, -1.0])  # slice k of the array is slice 8 - k of the viewer


class FakeView:
    def __init__(self):
        self.state = CompareState()

    def show(self, state):
        self.state = state

    def move_cursor(self, index):
        pass

    def idle(self, then):
        pass


@pytest.fixture
def dock(qapp):
    viewer = ViewerModel()
    truth, prediction = np.zeros((2, *SHAPE), np.uint8)
    truth[1:3, 2:6, 2:6] = 1  # found, off by one column
    prediction[1:3, 2:6, 3:7] = 1
    truth[6, 15, 15:18] = 1  # missed
    prediction[4, 10:12, 20] = 1  # false
    geometry = Geometry.from_parts(SHAPE, SPACING, ORIGIN, DOWNWARD)
    names = Labels.from_names({1: "lesion"})
    show_labels(viewer, LabelMap(truth, geometry, names), "truth")
    show_labels(viewer, LabelMap(prediction, geometry, names), "prediction")
    study_of(viewer).truth, study_of(viewer).prediction = "truth", "prediction"
    return CompareController(FakeView(), viewer, Preferences(), at_once)


def test_lesions_are_listed_with_their_numbers_and_places(dock):
    dock.listing.make(ListKind.LESIONS)
    components = dock.state.components
    assert components.summary == "1 missed, 1 false, 1 found"
    missed, false, found = components.rows
    assert [row.component.finding for row in components.rows] == [
        Finding.MISSED,
        Finding.FALSE,
        Finding.FOUND,
    ]
    assert missed.component.volume_ml == pytest.approx(3 * 9.0 / 1000)
    assert missed.component.voxel == (8 - 6, 15, 16)
    assert missed.centroid_lps_mm == pytest.approx((-10 + 16 * 2, 20 + 15 * 1.5, 30 - 6 * 3))
    assert found.component.dice == pytest.approx(0.75)
    assert found.component.iou == pytest.approx(0.6)
    assert found.component.hd95_mm == pytest.approx(2.0)
    assert not false.component.in_truth


def test_next_and_previous_go_round_the_list_in_all_three_axes(dock):
    dock.listing.step(1)
    assert dock.state.components.current is None  # nothing is listed yet
    dock.listing.make(ListKind.LESIONS)
    truth = dock.viewer.layers["truth"]
    dock.listing.step(1)
    assert tuple(slice_of(dock.viewer, truth, axis) for axis in range(3)) == (2, 15, 16)
    dock.listing.step(-1)
    assert dock.state.components.current == 2
    dock.listing.step(1)
    assert dock.state.components.current == 0


def test_painting_marks_the_list_as_old_and_islands_are_listed_for_the_label_in_focus(dock):
    dock.listing.make(ListKind.LESIONS)
    prediction = dock.viewer.layers["prediction"]
    prediction.selected_label, prediction.brush_size = 1, 1
    prediction.paint((2, 15, 16), 1)
    Painting.of(prediction).flush()
    assert dock.state.components.outdated
    assert "again" in dock.state.components.summary
    dock.overlays.set_focus(1)
    dock.listing.make(ListKind.PIECES)
    assert not dock.state.components.outdated
    islands = [(row.component.finding, row.component.in_truth) for row in dock.state.components.rows]
    assert islands == [(Finding.ISLAND, True), (Finding.ISLAND, False), (Finding.ISLAND, False)]


def test_another_pair_forgets_the_list_and_keeps_what_is_listed(dock):
    dock.listing.make(ListKind.PIECES)
    dock.swap()
    assert dock.state.components.rows == ()
    assert dock.state.components.found is None
    assert dock.state.components.kind is ListKind.PIECES
