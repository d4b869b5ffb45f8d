"""A window with planes, and what is seen on its canvases."""

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_ctseg.viewer.planes import planes_of


class Canvases:
    """The three canvases of a viewer: its own, then those of the two planes beside it."""

    def __init__(self, viewer):
        self.viewer, self.planes = viewer, planes_of(viewer)

    @property
    def widgets(self):
        return (self.viewer.window._qt_window._qt_viewer, *self.planes.view.canvases)

    @property
    def models(self):
        return (self.viewer, *self.planes.models)

    def shown_axis(self, number):
        return self.models[number].dims.order[-3] - (self.viewer.dims.ndim - 3)

    def picture(self, number):
        return self.widgets[number].screenshot(flash=False)[..., :3].astype(int)

    def native(self, number):
        return self.widgets[number].canvas.native

    def fit(self):
        """Whole slices, with room for the letters."""
        QApplication.processEvents()  # the canvases have their sizes now
        for model in self.models:
            model.reset_view()
            model.scene.camera.zoom *= 0.6


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1100, 800)
    return viewer


@pytest.fixture
def canvases(viewer):
    return Canvases(viewer)


def red(shot):
    """(row, column) of the centre of what is red in a picture; the crosshair's vermilion is not."""
    rows, columns = np.nonzero((shot[..., 0] > 200) & (shot[..., 1] < 60) & (shot[..., 2] < 60))
    assert len(rows) > 20, "the marker is not on the canvas"
    return rows.mean(), columns.mean()
