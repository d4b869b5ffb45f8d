"""Two windows of one CT in the Run model dock: one image is enough, and the labels are the command's."""

import numpy as np

from napari_ctseg.background import queue
from napari_ctseg.docks.run_model.view import RunModelDock
from napari_ctseg.viewer.showing import show_volume
from tests.commands.test_two_windows import two_windows
from tests.models.making import body_with_organ


def test_the_dock_takes_one_ct(make_plugin_viewer, qtbot, tmp_path, monkeypatch):
    volume, organ = body_with_organ()
    two_windows(tmp_path / "windows.ts")
    monkeypatch.setenv("CTSEG_BUNDLES", str(tmp_path))
    viewer = make_plugin_viewer()
    image = show_volume(viewer, volume, "ct")
    before = list(viewer.layers)
    dock = RunModelDock(viewer)
    viewer.window.add_dock_widget(dock, name="Run model", area="right")
    qtbot.waitUntil(
        lambda: any(info.name == "windows" for info in dock.controller.state.bundles), timeout=30_000
    )
    dock.controller.choose_bundles(["windows"])
    qtbot.waitUntil(dock.run_panel.go.isEnabled, timeout=30_000)
    assert dock.controller.state.wanted == ("wide / narrow",)
    dock.run_panel.go.click()
    qtbot.waitUntil(lambda: len(viewer.layers) > len(before) and not queue.is_busy(), timeout=120_000)
    (labels,) = [layer for layer in viewer.layers if layer not in before and layer.name != image.name]
    assert np.array_equal(np.unique(labels.data), [0, 1, 2])
    assert abs(int((labels.data == 2).sum()) - int(organ.sum())) < 0.05 * organ.sum()
