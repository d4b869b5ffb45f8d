"""Docks that are opened one after the other, as napari's menu does, and the image next to them."""

import numpy as np
import pytest
from qtpy.QtWidgets import QScrollArea

from napari_ctseg.dock_frame.view import WIDTH
from napari_ctseg.viewer.showing import show_volume


def shown_extent(viewer):
    """(height, width) in mm that the canvas shows."""
    return np.array(viewer.canvas.size) / viewer.scene.camera.zoom


def test_docks_become_tabs_next_to_a_whole_image(make_napari_viewer, qtbot, volume):
    viewer = make_napari_viewer(show=True)
    window = viewer.window._qt_window
    window.resize(853, 508)
    show_volume(viewer, volume, "scan")
    frames = []
    for name in ("Window", "Measure"):
        frame, widget = viewer.window.add_plugin_dock_widget("napari-ctseg", name)
        frames.append(frame)
        assert widget.findChildren(QScrollArea)
        qtbot.waitUntil(lambda: frame.windowTitle() == name)  # noqa: B023
    qtbot.waitUntil(lambda: window.tabifiedDockWidgets(frames[1]) == [frames[0]])
    qtbot.waitUntil(lambda: not frames[1].visibleRegion().isEmpty())
    qtbot.waitUntil(lambda: frames[1].width() == WIDTH)
    canvas, room = window.centralWidget(), window.screen().availableGeometry()
    assert canvas.width() >= WIDTH
    assert window.width() <= room.width() and window.height() <= room.height()
    assert (shown_extent(viewer) >= (8 * 1.5, 9 * 2.0)).all()  # voxels of 1.5 x 2 mm


@pytest.mark.parametrize("zoomed", [1.0, 3.0])
def test_the_image_keeps_its_share_of_the_canvas(make_napari_viewer, qtbot, volume, zoomed):
    viewer = make_napari_viewer(show=True)
    window = viewer.window._qt_window
    window.resize(1200, 800)
    show_volume(viewer, volume, "scan")
    qtbot.waitUntil(lambda: viewer.canvas.size[0] > 500)
    viewer.reset_view()
    viewer.scene.camera.zoom *= zoomed
    before = viewer.canvas.size, min(shown_extent(viewer) / (12, 18))
    window.resize(800, 800)
    qtbot.waitUntil(lambda: viewer.canvas.size != before[0])
    assert min(shown_extent(viewer) / (12, 18)) == pytest.approx(before[1], rel=1e-3)
