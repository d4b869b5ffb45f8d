"""The lines on rendered canvases, and which slice they are of while the work is still running."""

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels, Volume
from napari_ctseg.viewer.contours import Contours
from napari_ctseg.viewer.contours.lines import Readers
from napari_ctseg.viewer.planes import Layout, planes_of
from napari_ctseg.viewer.planes.place import slice_axis
from napari_ctseg.viewer.proxies import unwrapped
from napari_ctseg.viewer.showing import show_labels, show_volume
from tests.plugin.workers import at_once

SHAPE, SPACING = (20, 30, 40), (3.0, 2.0, 1.5)
BOX = (slice(5, 15), slice(8, 20), slice(10, 30))
COLOURS = {1: "#FF0000", 2: "#00FF00"}


class Later:
    """A worker whose results come when the test wants them."""

    def __init__(self):
        self.waiting = []

    def __call__(self, function, on_done, on_error):
        self.waiting.append(lambda: on_done(function()))

    def work(self):
        self.waiting.pop(0)()


def fail(error):
    raise error


@pytest.fixture
def viewer(make_plugin_viewer):
    viewer = make_plugin_viewer(show=True)
    viewer.window.resize(1100, 800)
    return viewer


@pytest.fixture
def truth(viewer):
    geometry = Geometry.from_parts(SHAPE, SPACING)
    show_volume(viewer, Volume(np.zeros(SHAPE, np.int16), geometry, modality="CT"), "ct")
    return show_labels(
        viewer, LabelMap(np.zeros(SHAPE, np.uint8), geometry, Labels.from_names({1: "a"})), "t"
    )


def readers():
    prediction, truth = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    prediction[BOX] = 1
    truth[BOX[0], BOX[1], 12:36] = 2
    return Readers(prediction, truth, SPACING, COLOURS)


def pictures(viewer):
    """RGB of all canvases, with the pixel of a (row, column) in world mm."""
    window = unwrapped(viewer).window._qt_window
    view = planes_of(viewer).view
    widgets = (window._qt_viewer, *(view.canvases if view is not None else ()))
    QApplication.processEvents()
    return [widget.screenshot(flash=False)[..., :3].astype(int) for widget in widgets], widgets


def extent_mm(picture, widget, channel):
    """(width, height) in mm of what has one colour on a canvas."""
    others = [k for k in range(3) if k != channel]
    rows, columns = np.nonzero((picture[..., channel] > 150) & (picture[..., others] < 90).all(-1))
    assert len(rows) > 10
    zoom = widget.viewer.scene.camera.zoom
    return np.ptp(columns) / zoom, np.ptp(rows) / zoom


def test_lines_lie_on_the_voxels_boundary_in_all_planes(viewer, truth, qtbot):
    planes = planes_of(viewer)
    planes.show(Layout.EQUAL)
    QApplication.processEvents()
    viewer.dims.point = truth.data_to_world((10, 12, 20))
    contours = Contours(viewer, truth, readers(), at_once, fail)
    for model in (viewer, *planes.models):
        model.reset_view()
    shots, widgets = pictures(viewer)
    sizes = {0: (20 * 1.5, 12 * 2.0), 1: (20 * 1.5, 10 * 3.0), 2: (12 * 2.0, 10 * 3.0)}
    axes = [0, *(plane.axis for plane in planes.view.planes)]
    for shot, widget, axis in zip(shots, widgets, axes, strict=True):
        tolerance = 4 / widget.viewer.scene.camera.zoom  # two widths of a line
        assert extent_mm(shot, widget, 0) == pytest.approx(sizes[axis], abs=tolerance)
    planes.show(Layout.ONE)
    assert len(contours.canvases) == 1
    contours.close()


def test_the_truth_is_dashed_and_the_prediction_solid():
    lines = readers().lines(0, 10)
    lengths = np.abs(np.diff(lines.ends.reshape(-1, 2, 2), axis=1)).reshape(-1, 2)
    red, green = (lengths[(lines.rgba[::2, channel] == 1)].sum(0) for channel in (0, 1))
    assert red.tolist() == [40, 24]  # voxels along x and y, there and back
    assert 0.4 * 72 < green.sum() < 0.6 * 72


def test_lines_of_another_slice_are_never_shown(viewer, truth):
    later = Later()
    contours = Contours(viewer, truth, readers(), later, fail)
    canvas = contours.canvases[0]
    viewer.dims.set_current_step(0, 10)
    assert canvas.shown is None and not contours.complete
    later.work()  # of the slice that was shown first
    assert canvas.shown is None
    later.work()
    assert canvas.shown is not None
    made = canvas.shown
    later.work()  # the slices next to it
    viewer.dims.set_current_step(0, 11)
    assert canvas.shown is not None and canvas.shown is not made  # at once, from the cache
    viewer.dims.set_current_step(0, 10)
    assert canvas.shown is made
    viewer.dims.set_current_step(0, 19)
    assert canvas.shown is None
    viewer.dims.ndisplay = 3
    assert canvas.shown is None
    contours.close()


def test_painting_replaces_the_lines_of_the_slice(viewer, truth):
    maps = readers()
    contours = Contours(viewer, truth, maps, at_once, fail)
    viewer.dims.set_current_step(0, 10)
    before = contours.canvases[0].shown
    maps.prediction[10, 0:3, 0:3] = 2
    contours.painted((slice(10, 11), slice(0, 3), slice(0, 3)))
    assert len(contours.canvases[0].shown.ends) == len(before.ends) + 2 * 12
    contours.close()


def test_planes_that_a_stroke_does_not_cross_keep_their_lines(viewer, truth):
    planes_of(viewer).show(Layout.LARGE)
    maps = readers()
    contours = Contours(viewer, truth, maps, at_once, fail)
    viewer.dims.current_step = (10, 15, 20)
    assert [slice_axis(canvas.model) for canvas in contours.canvases] == [0, 2, 1]
    before = [canvas.shown for canvas in contours.canvases]
    maps.prediction[10, 1:4, 20:23] = 2  # beside row 15, across column 20
    contours.painted((slice(10, 11), slice(1, 4), slice(20, 23)))
    same = [canvas.shown is old for canvas, old in zip(contours.canvases, before, strict=True)]
    assert same == [False, False, True]
    assert len(contours.canvases[1].shown.ends) == len(before[1].ends) + 2 * (3 + 3 + 1 + 1)
    contours.close()


def test_painting_while_the_lines_are_being_made_makes_them_again(viewer, truth):
    maps, later = readers(), Later()
    contours = Contours(viewer, truth, maps, later, fail)
    late = later.waiting.pop()
    contours.painted((slice(0, 1), slice(0, 5), slice(0, 5)))
    late()
    assert contours.canvases[0].shown is None and len(later.waiting) == 1
    later.work()
    assert contours.canvases[0].shown is not None
    contours.close()
    assert not contours.canvases
