"""From a file to a corrected export in one viewer, with a trained bundle and its real network."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from ctseg_imaging import formats, phantom
from napari_ctseg.background import queue
from napari_ctseg.docks.compare.state import Phase
from napari_ctseg.docks.compare.view import CompareDock
from napari_ctseg.docks.correct.view import CorrectDock
from napari_ctseg.docks.run_model.view import RunModelDock
from napari_ctseg.docks.window.view import WindowDock
from napari_ctseg.files.readers import get_reader
from napari_ctseg.viewer.layers import go_to_slice, label_map_of, slice_of
from tests.pace import PATIENCE_MS, at_most

BUNDLE = "phantom-abdomen-scn"


def opened(viewer, path):
    """What dropping the file on the viewer does, without napari's question which reader to take."""
    for data, settings, kind in get_reader(str(path))(str(path)):
        layer = getattr(viewer, f"add_{kind}")(data, **settings)
    return layer


@pytest.fixture
def case(tmp_path):
    made = phantom.abdomen(90_100, (70, 100, 112), (5.0, 3.6, 3.4), tilt_deg=4)
    formats.write(tmp_path / "ct.nii.gz", made.image)
    formats.write(tmp_path / "ct_labels.nii.gz", made.labels)
    return tmp_path


def running(viewer, qtbot):
    """The Run model dock with the phantom's bundle chosen and its network at work in the segment stage."""
    dock = RunModelDock(viewer)
    viewer.window.add_dock_widget(dock, name="Run model", area="right")
    dock.controller.choose_bundles([BUNDLE])
    dock.run_panel.go.click()
    return dock


def test_open_window_run_compare_correct_export_reload(make_plugin_viewer, qtbot, case):
    viewer = make_plugin_viewer(show=True)
    viewer.window.add_dock_widget(WindowDock(viewer), name="Window", area="right")
    image = opened(viewer, case / "ct.nii.gz")
    opened(viewer, case / "ct_labels.nii.gz")
    viewer.layers.selection.active = image
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_8)
    assert tuple(image.contrast_limits) == (-150, 250)  # abdomen, 400/50

    running(viewer, qtbot)
    qtbot.waitUntil(lambda: BUNDLE in viewer.layers, timeout=120_000)
    result = viewer.layers[BUNDLE]
    assert result.data.dtype == np.uint8 and result.metadata["ctseg"].provenance

    compare = CompareDock(viewer)
    viewer.window.add_dock_widget(compare, name="Compare", area="right")
    compare.controller.choose(prediction=BUNDLE, truth="ct_labels")
    qtbot.waitUntil(
        lambda: (
            compare.controller.state.phase is Phase.READY and not compare.controller.state.scores.measuring
        ),
        timeout=PATIENCE_MS,
    )
    dice = {row.name: row.dice for row in compare.controller.state.scores.rows}
    assert set(dice) == {"liver", "kidneys", "spleen", "pancreas"} and np.mean(list(dice.values())) > 0.85, (
        dice
    )
    compare.scores.plot._ask(31)
    assert slice_of(viewer, result) == 30

    correct = CorrectDock(viewer)
    viewer.window.add_dock_widget(correct, name="Correct & export", area="right")
    go_to_slice(viewer, result, 30)
    before = label_map_of(result).array.copy()
    result.selected_label, result.brush_size = 3, 9
    result.paint((30, 20, 60), 3)
    assert not np.array_equal(label_map_of(result).array, before)
    qtbot.waitUntil(
        lambda: (
            {row.name: row.dice for row in compare.controller.state.scores.rows}["spleen"] < dice["spleen"]
        ),
        timeout=PATIENCE_MS,
    )
    result.undo()
    np.testing.assert_array_equal(label_map_of(result).array, before)
    result.paint((30, 20, 60), 3)

    correct.controller.choose(BUNDLE)
    correct.controller.save(case / "out.nii.gz")
    qtbot.waitUntil(lambda: (case / "out.nii.gz").exists(), timeout=PATIENCE_MS)
    back, source = formats.read_labels(case / "out.nii.gz"), formats.read(case / "ct.nii.gz")
    np.testing.assert_array_equal(back.array, label_map_of(result).array)
    np.testing.assert_array_equal(back.geometry.affine_lps, source.geometry.affine_lps)


def test_cancel_ends_a_real_network_in_time(make_plugin_viewer, qtbot, case):
    viewer = make_plugin_viewer(show=True)
    opened(viewer, case / "ct.nii.gz")
    dock = running(viewer, qtbot)
    qtbot.waitUntil(lambda: (dock.controller.state.progress.share or 0) > 0.2, timeout=PATIENCE_MS)
    with at_most(1):
        dock.run_panel.stop.click()
    assert dock.run_panel.go.isEnabled()
    with at_most(2):
        qtbot.waitUntil(lambda: not queue.is_busy(), timeout=PATIENCE_MS)
    assert BUNDLE not in viewer.layers
