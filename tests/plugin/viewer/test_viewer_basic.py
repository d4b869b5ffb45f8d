"""The real viewer: files through the reader, keys, clicks, a run with progress and cancel; and what may not
be imported.
"""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QListWidget,
)

import napari_ctseg
from ctseg_imaging import formats
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import LabelMap, Volume
from napari_ctseg.background import queue
from napari_ctseg.docks.run_model.view import RunModelDock
from napari_ctseg.docks.window.view import WindowDock
from napari_ctseg.files.readers import get_reader
from napari_ctseg.viewer.layers import label_map_of
from napari_ctseg.viewer.showing import show_labels, show_volume
from napari_ctseg.viewer.study import study_of
from tests.pace import PATIENCE_MS, at_most


@pytest.fixture
def viewer(make_plugin_viewer, qtbot):
    return make_plugin_viewer(show=True)


def docked(viewer, dock, name):
    viewer.window.add_dock_widget(dock, name=name, area="right")
    return dock


def test_a_file_opens_radiological_and_a_key_sets_the_window(viewer, qtbot, tmp_path, volume):
    formats.write(
        tmp_path / "ct.nii.gz", Volume(volume.array * 4, volume.geometry)
    )  # from -1000: a NIfTI does not say that it is CT
    docked(viewer, WindowDock(viewer), "Window")
    for data, settings, kind in get_reader(str(tmp_path / "ct.nii.gz"))(str(tmp_path / "ct.nii.gz")):
        layer = getattr(viewer, f"add_{kind}")(data, **settings)
    assert viewer.canvas.overlays["ctseg_left"].text == "R"
    canvas = viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_9)
    assert tuple(layer.contrast_limits) == (-45, 105)
    qtbot.keyClick(canvas, Qt.Key.Key_1)  # napari's pan mode on images, unless the toggle is on
    assert tuple(layer.contrast_limits) == (0, 80)


def test_numbers_stay_naparis_on_labels_and_alt_works_there(viewer, qtbot, volume, label_map):
    image = show_volume(viewer, volume, "ct")
    docked(viewer, WindowDock(viewer), "Window")
    mask = show_labels(viewer, label_map, "mask")
    before = tuple(image.contrast_limits)
    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key.Key_2)
    assert mask.mode == "paint" and tuple(image.contrast_limits) == before
    qtbot.keyClick(canvas, Qt.Key.Key_9, Qt.KeyboardModifier.AltModifier)
    assert tuple(image.contrast_limits) == (-45, 105)


def test_without_the_toggle_naparis_keys_are_back(viewer, qtbot, volume):
    image = show_volume(viewer, volume, "ct")
    dock = docked(viewer, WindowDock(viewer), "Window")
    dock.switches.number_keys.native.click()
    before = tuple(image.contrast_limits)
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_2)
    assert image.mode == "transform" and tuple(image.contrast_limits) == before


def test_a_click_on_a_preset_and_the_sliders(viewer, qtbot, volume):
    image = show_volume(viewer, volume, "ct")
    dock = docked(viewer, WindowDock(viewer), "Window")
    button = next(b for b in dock.findChildren(QAbstractButton) if "mediastinum" in b.text())
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert tuple(image.contrast_limits) == (-125, 225) and button.isChecked()
    dock.sliders.level_box.setValue(0)
    assert tuple(image.contrast_limits) == (-175, 175)
    dock.sliders.level_slider.setValue(dock.sliders.level_slider.value() + 10)
    assert dock.sliders.level_box.value() == pytest.approx(np.mean(image.contrast_limits))
    assert dock.sliders.level_box.value() > 0


def test_napari_opens_and_saves_through_the_manifest(make_plugin_viewer, tmp_path, volume, label_map):
    """File > Open and File > Save in all but the dialog: npe2 finds reader and writer by the file's
    ending.
    """
    manager = PluginManager.instance()
    if "napari-ctseg" not in manager:
        manager.register(PluginManifest.from_file(Path(napari_ctseg.__file__).with_name("napari.yaml")))
    formats.write(tmp_path / "ct.nii.gz", volume)
    formats.write(tmp_path / "ct_seg.nrrd", label_map)
    viewer = make_plugin_viewer(show=False)
    viewer.open([tmp_path / "ct.nii.gz", tmp_path / "ct_seg.nrrd"], plugin="napari-ctseg")
    assert [(layer.name, type(layer).__name__) for layer in viewer.layers] == [
        ("ct", "Image"),
        ("ct_seg", "Labels"),
    ]
    assert viewer.canvas.overlays["ctseg_left"].text == "R" and study_of(viewer).truth == "ct_seg"
    assert viewer.layers["ct"].save(str(tmp_path / "again.nii.gz"), plugin="napari-ctseg") == [
        str(tmp_path / "again.nii.gz")
    ]
    assert (tmp_path / "again.nii.gz").stat().st_size > 0
    back = formats.read(tmp_path / "again.nii.gz")
    np.testing.assert_array_equal(back.array, volume.array)


@pytest.fixture
def slow_models(fakes):
    """Continues only on request, as a network's steps would."""

    class Slow(fakes.Models):
        def __init__(self):
            super().__init__()
            self.go, self.closed = threading.Event(), threading.Event()

        def run(self, request):
            try:
                for done in range(100):
                    yield Progress("segment", done, 100, "Segmenting")
                    self.go.wait(0.05)
            finally:
                self.closed.set()
            labels = LabelMap(
                (request.volume.array > 0).astype(np.uint8),
                request.volume.geometry,
                request.bundles[0].labels,
            )
            return fakes.Answer(
                labels=labels,
                roi_boxes=(),
                edge_map=None,
                probabilities=None,
                disagreement=None,
                provenance={"bundles": ["abdomen"]},
                warnings=(),
            )

    return Slow()


def test_run_by_click_adds_the_result(viewer, qtbot, volume, slow_models):
    show_volume(viewer, volume, "ct")
    models = slow_models
    models.go.set()
    dock = docked(viewer, RunModelDock(viewer, models), "Run model")
    qtbot.mouseClick(dock.run_panel.go, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "abdomen" in viewer.layers, timeout=PATIENCE_MS)
    np.testing.assert_array_equal(label_map_of(viewer.layers["abdomen"]).array, volume.array > 0)
    assert (
        study_of(viewer).prediction == "abdomen"
        and dock.run_panel.go.isEnabled()
        and not dock.run_panel.stop.isEnabled()
    )


def test_cancel_is_ready_within_a_second_and_computing_ends_within_two(viewer, qtbot, volume, slow_models):
    show_volume(viewer, volume, "ct")
    models = slow_models
    dock = docked(viewer, RunModelDock(viewer, models), "Run model")
    dock.run_panel.go.click()
    qtbot.waitUntil(lambda: dock.run_panel.stage.text().startswith("Segmenting"), timeout=PATIENCE_MS)
    with at_most(1):
        dock.run_panel.stop.click()
    assert dock.run_panel.go.isEnabled() and not dock.run_panel.bar.isVisible()
    with at_most(2):
        qtbot.waitUntil(lambda: not queue.is_busy(), timeout=PATIENCE_MS)
    assert models.closed.is_set() and len(viewer.layers) == 1


@pytest.mark.parametrize("make", [lambda viewer, _: WindowDock(viewer), RunModelDock])
def test_every_control_has_a_tooltip_and_the_dock_fits_320_pixels(viewer, qtbot, volume, fakes, make):
    show_volume(viewer, volume, "ct")
    dock = make(viewer, fakes.Models())
    qtbot.addWidget(dock)
    kinds = (QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit, QListWidget)
    controls = [
        w
        for w in dock.findChildren(kinds)
        if not w.objectName().startswith("qt_") and "QScrollBar" not in type(w).__name__
    ]
    assert len(controls) >= 10
    assert [type(w).__name__ + " " + getattr(w, "text", str)() for w in controls if not w.toolTip()] == []
    dock.resize(320, 700)
    dock.setVisible(True)
    qtbot.waitExposed(dock)
    inside = [w.mapTo(dock, QPoint(w.width(), 0)).x() for w in controls if w.isVisible()]
    assert max(inside) <= 320


def test_docks_and_reader_import_no_torch(tmp_path, volume):
    formats.write(tmp_path / "ct.nii.gz", volume)
    code = f"""
import sys, napari
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication
app = QApplication([])
from napari_ctseg.docks.window.view import WindowDock
from napari_ctseg.docks.run_model.view import RunModelDock
from napari_ctseg.files.readers import get_reader
import napari_ctseg.export.writers, napari_ctseg.files.samples
path = {str(tmp_path / "ct.nii.gz")!r}
viewer = ViewerModel()
for data, settings, kind in get_reader(path)(path):
    getattr(viewer, "add_" + kind)(data, **settings)
docks = [WindowDock(viewer), RunModelDock(viewer)]
assert docks[1].controller.state.image == "ct"
print("torch" in sys.modules, "monai" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False False"
