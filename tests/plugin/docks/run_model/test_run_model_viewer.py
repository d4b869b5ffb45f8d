"""The Run model dock in the real viewer: what is dropped on it, its form, its question, its lists."""

from dataclasses import replace
from threading import Event

import numpy as np
import pytest
from PyQt6 import sip
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QMessageBox,
    QScrollArea,
    QTableWidget,
    QTextEdit,
    QTreeWidget,
)

from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import Volume
from napari_ctseg.background import queue
from napari_ctseg.docks.run_model import words
from napari_ctseg.docks.run_model.state import Confidence, Phase, RegionChoice, RunSummary
from napari_ctseg.docks.run_model.view import RunModelDock
from napari_ctseg.docks.run_model.widgets.side_form import SideForm
from napari_ctseg.parts import show_details
from napari_ctseg.viewer.showing import show_volume
from tests.pace import PATIENCE_MS
from tests.plugin.run_model_fakes import FakeLibrary, with_kinds

KINDS = (QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit, QTreeWidget, QTableWidget)


@pytest.fixture
def docked(make_plugin_viewer, qtbot, volume, fakes):
    viewer, models = make_plugin_viewer(show=True), with_kinds(fakes)
    show_volume(viewer, volume, "t1")
    dock = RunModelDock(viewer, models, FakeLibrary(models))
    viewer.window.add_dock_widget(dock, name="Run model", area="right")
    yield dock
    if dock.dialog is not None:
        dock.dialog.reject()


def drop(dock, path):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    event = QDropEvent(
        QPointF(20, 20),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    dock.dropEvent(event)
    assert event.isAccepted()


def button(box, words):
    return next(found for found in box.buttons() if found.text() == words)


def test_a_dropped_folder_becomes_a_ticked_model(docked, qtbot, tmp_path):
    (tmp_path / "colon").mkdir()
    (tmp_path / "colon" / "plans.json").write_text("{}")
    drop(docked, tmp_path / "colon")
    qtbot.waitUntil(lambda: docked.result.message.text() == "Added: colon.", timeout=PATIENCE_MS)
    ticked = [
        item.text(0)
        for item in map(docked.models.topLevelItem, range(docked.models.topLevelItemCount()))
        if item.checkState(0) == Qt.CheckState.Checked
    ]
    assert ticked == ["colon"] and docked.run_panel.go.isEnabled()


def test_a_dropped_image_is_refused_in_a_sentence(docked, tmp_path):
    (tmp_path / "ct.nii.gz").write_bytes(b"x")
    drop(docked, tmp_path / "ct.nii.gz")
    assert (
        docked.result.message.text()
        == "ct.nii.gz: is an image, not a model; drop it on the canvas to open it."
    )
    assert docked.controller.state.phase is Phase.FAILED and "E69F00" in docked.result.message.styleSheet()


def test_the_form_shows_faults_beside_fields_and_writes_only_when_complete(docked, qtbot, tmp_path):
    network = tmp_path / "net.onnx"
    network.write_bytes(b"x")
    drop(docked, network)
    qtbot.waitUntil(lambda: isinstance(docked.dialog, SideForm), timeout=PATIENCE_MS)
    form = docked.dialog
    assert (
        form.faults["labels"].text() == "the name of label 1 is required"
        and not form.add.isEnabled()
        and "incomplete" in form.add.toolTip()
    )
    form.output.maps.item(1, 2).setText("liver")
    assert not form.faults["labels"].isVisible() and form.add.isEnabled()
    form.input.orientation.setCurrentText("SSL")
    assert "different axes" in form.faults["orientation"].text() and not form.add.isEnabled()
    form.input.orientation.setCurrentText("RAS")
    form.input.sides[1].setText("9.5")
    assert form.faults["spacing"].text() == '"9.5" is not a whole number'
    form.input.sides[1].setText("11")
    assert list(tmp_path.glob("*.json")) == []
    form.add.click()
    qtbot.waitUntil(lambda: docked.result.message.text() == "Added: net.", timeout=PATIENCE_MS)
    assert docked.dialog is None and '"orientation": "RAS"' in network.with_suffix(".json").read_text()


def test_cancelling_the_form_leaves_nothing(docked, qtbot, tmp_path):
    network = tmp_path / "net.onnx"
    network.write_bytes(b"x")
    drop(docked, network)
    qtbot.waitUntil(lambda: docked.dialog is not None, timeout=PATIENCE_MS)
    docked.dialog.reject()
    assert docked.dialog is None and docked.controller.state.asked is None
    assert [path.name for path in tmp_path.iterdir() if "net" in path.name] == ["net.onnx"]


def test_more_channels_and_classes_get_rows(docked, qtbot, tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"x")
    drop(docked, tmp_path / "net.onnx")
    qtbot.waitUntil(lambda: docked.dialog is not None, timeout=PATIENCE_MS)
    form = docked.dialog
    form.model.channel_count.setValue(2)
    form.model.channels.item(1, 2).setText("-500")
    form.output.map_count.setValue(4)
    draft = form.draft()
    assert [row.low for row in draft.channels] == ["", "-500"] and [row.value for row in draft.maps] == [
        "0",
        "1",
        "2",
        "3",
    ]
    form.output.map_count.setValue(2)
    assert len(form.draft().maps) == 2


def test_the_trust_question_names_the_code_and_its_default_is_no(docked, qtbot):
    docked.controller.choose_bundles(["spleen"])
    qtbot.waitUntil(lambda: docked.controller.state.members[0].trusted is False, timeout=PATIENCE_MS)
    item = docked.models.topLevelItem(3)
    assert (
        not item.icon(0).isNull()
        and "scripts.net.Net" in item.toolTip(0)
        and docked.models.topLevelItem(0).icon(0).isNull()
    )
    for answer, ran in (("Do not run", False), ("Run this code", True)):
        docked.run_panel.go.click()
        qtbot.waitUntil(lambda: docked.dialog is not None, timeout=PATIENCE_MS)
        box = docked.dialog
        assert (
            isinstance(box, QMessageBox)
            and box.defaultButton() is not None
            and box.defaultButton().text() == "Do not run"
        )
        assert "/models/spleen" in box.informativeText() and "scripts.net.Net" in box.informativeText()
        button(box, answer).click()
        if ran:
            qtbot.waitUntil(lambda: docked.controller.state.phase is Phase.DONE, timeout=PATIENCE_MS)
        else:
            assert docked.result.message.text() == "Nothing was run." and docked.dialog is None
    assert "spleen" in docked.controller.viewer.layers and "allowed" in item_tip(docked, 3)


def item_tip(dock, row):
    return dock.models.topLevelItem(row).toolTip(0)


def test_escape_does_not_run_the_code(docked, qtbot):
    docked.controller.choose_bundles(["spleen"])
    qtbot.waitUntil(lambda: docked.controller.state.members[0].trusted is False, timeout=PATIENCE_MS)
    docked.run_panel.go.click()
    qtbot.waitUntil(lambda: docked.dialog is not None, timeout=PATIENCE_MS)
    qtbot.keyClick(docked.dialog, Qt.Key.Key_Escape)
    assert (
        docked.dialog is None
        and not docked.controller.state.busy
        and docked.result.message.text() == "Nothing was run."
    )


def test_an_ensemble_shows_weights_and_several_channels_show_rows(docked, volume):
    assert (
        docked.models.isColumnHidden(2)
        and not docked.choices.combine.isVisible()
        and not docked.channels.isVisible()
    )
    docked.controller.choose_bundles(["abdomen", "headneck"])
    weight = docked.models.itemWidget(docked.models.topLevelItem(1), 2)
    weight.setValue(3.0)
    assert docked.controller.state.options.weights == {"headneck": 3.0} and docked.choices.combine.isVisible()
    assert docked.models.isColumnHidden(1) and "nnU-Net, MR" in item_tip(docked, 2)
    assert not docked.choices.edges.isEnabled() and "single model" in docked.choices.edges.toolTip()
    docked.choices.combine.setCurrentIndex(2)
    assert docked.models.isColumnHidden(2) and docked.controller.state.options.combine == "staple"
    show_volume(docked.controller.viewer, Volume(volume.array, volume.geometry), "flair")
    docked.controller.choose_bundles(["brain-mr"])
    assert [combo.currentText() for combo in docked.channels.combos] == [
        "t1",
        "flair",
    ] and docked.channels.isVisible()
    docked.channels.combos[0].setCurrentText("flair")
    docked.channels.combos[0].textActivated.emit("flair")
    assert (
        docked.controller.state.sources == ("flair", "flair")
        and "more than one channel" in docked.warnings.text()
    )


def endless(request):
    """A run that only ends when it is cancelled."""
    while not Event().wait(0.02):
        yield Progress("segment", 1, 2)


@pytest.mark.parametrize("how", ["viewer", "dock"])
def test_a_dock_that_is_gone_cancels_its_run_and_hears_of_nothing(docked, qtbot, monkeypatch, volume, how):
    controller, viewer = docked.controller, docked.controller.viewer
    monkeypatch.setattr(controller.models, "run", endless)
    controller.run()
    qtbot.waitUntil(lambda: controller.state.phase is Phase.RUNNING, timeout=PATIENCE_MS)
    task, shown = controller.model_run.task, []
    monkeypatch.setattr(controller.view, "show", shown.append)
    if how == "dock":
        viewer.window.remove_dock_widget(docked)
    else:
        sip.delete(docked)  # as Qt does with what is in a window that closes
    qtbot.waitUntil(lambda: not queue.is_busy(), timeout=PATIENCE_MS)
    show_volume(viewer, Volume(volume.array, volume.geometry), "later")
    controller.update(message="later")
    controller.run()
    assert (
        task.cancelled
        and not queue.is_busy()
        and shown == []
        and [layer.name for layer in viewer.layers] == ["t1", "later"]
    )


def test_a_missing_device_is_grey_with_its_reason(docked):
    model = docked.choices.device.model()
    grey = [number for number in range(3) if not model.item(number).isEnabled()]
    assert {docked.choices.device.itemText(number) for number in grey} == set(
        docked.controller.state.unable
    ) & {"cuda", "mps"}
    assert all(model.item(number).toolTip() for number in grey) and model.item(0).isEnabled()


def test_everything_has_a_tooltip_and_fits_320_by_700(docked, qtbot, volume):
    show_volume(docked.controller.viewer, Volume(volume.array, volume.geometry), "flair")
    docked.controller.choose_bundles(["abdomen", "headneck"])
    docked.controller.run()
    qtbot.waitUntil(lambda: docked.controller.state.phase is Phase.DONE, timeout=PATIENCE_MS)
    controls = [w for w in docked.findChildren(KINDS) if not w.objectName().startswith("qt_")]
    assert (
        len(controls) >= 15
        and [w for w in controls if not w.toolTip() and not isinstance(w.parent(), QAbstractSpinBox)] == []
    )
    docked.resize(320, 700)
    inside = [w.mapTo(docked, QPoint(w.width(), 0)).x() for w in controls if w.isVisible()]
    assert max(inside) <= 320
    assert np.all([docked.run_panel.go.isVisible(), docked.run_panel.stop.isVisible()])


def test_the_region_of_a_model_without_a_localiser_is_the_whole_volume(docked):
    region = docked.choices.region
    assert region.currentText() == "Found by the model" and region.count() == 3
    docked.controller.choose_bundles(["headneck"])
    assert (
        region.currentText() == "Whole volume"
        and region.count() == 2
        and "none of the ticked models" in region.toolTip()
    )
    region.setCurrentText("A box I drew")
    docked.controller.choose_bundles(["abdomen"])
    assert (
        docked.controller.state.options.region is RegionChoice.BOX
        and region.currentText() == "A box I drew"
        and region.count() == 3
    )


def test_the_names_of_labels_are_readable_beside_all_columns_of_numbers(docked):
    rows = tuple(Confidence(name, 1802.7, 0.88, 1.0, 0.37) for name in ("LeftParotid", "SpinalCord"))
    docked.controller.show(replace(docked.controller.state, summary=RunSummary(confidence=rows)))
    docked.resize(320, 700)
    QApplication.processEvents()
    table = docked.result.confidence
    assert table.columnWidth(0) > max(table.fontMetrics().horizontalAdvance(row.name) for row in rows)
    assert sum(table.columnWidth(column) for column in range(5)) <= table.viewport().width()
    assert table.item(0, 1).text() == "1803" and "disagreement" in docked.result.sure.text()


def test_a_column_of_entropy_says_that_it_is_one(docked):
    rows = (Confidence("spleen", 180.0, 0.9, 0.8, 0.12, entropy=True),)
    docked.controller.show(replace(docked.controller.state, summary=RunSummary(confidence=rows)))
    table = docked.result.confidence
    assert table.horizontalHeaderItem(4).text() == "entropy" and "Mean entropy" in table.item(0, 4).toolTip()
    assert "entropy" in docked.result.sure.text() and "disagreement" not in docked.result.sure.text()
    docked.controller.show(
        replace(docked.controller.state, summary=RunSummary(confidence=(replace(rows[0], entropy=False),)))
    )
    assert table.horizontalHeaderItem(4).text() == "differ" and "disagreement" in docked.result.sure.text()


@pytest.mark.parametrize(("count", "scrolls"), [(7, False), (40, True)])
def test_the_table_of_confidence_shows_its_rows_and_says_what_they_are(docked, count, scrolls):
    rows = tuple(Confidence(f"organ {number}", 1.0, 0.9, 0.8) for number in range(count))
    docked.controller.show(replace(docked.controller.state, summary=RunSummary(confidence=rows)))
    table = docked.result.confidence
    QApplication.processEvents()
    last = table.visualItemRect(table.item(6, 0))
    assert table.viewport().rect().contains(last) and table.verticalScrollBar().isVisible() is scrolls
    assert (
        docked.result.sure.isVisible()
        and "mean probability inside" in docked.result.sure.text()
        and "disagreement" not in docked.result.sure.text()
    )
    docked.controller.show(replace(docked.controller.state, summary=RunSummary(confidence=())))
    assert not docked.result.sure.isVisible() and not table.isVisible()


@pytest.mark.parametrize("names", [["abdomen", "headneck"], ["headneck"], ["brain-mr"], ["spleen"]])
def test_nothing_is_cut_off_at_the_least_width(docked, volume, names):
    show_volume(docked.controller.viewer, Volume(volume.array, volume.geometry), "flair")
    docked.controller.choose_bundles(names)
    body = docked.findChild(QScrollArea).widget()
    assert body.minimumSizeHint().width() <= docked.minimumWidth()
    assert (
        docked.choices.mirroring.text() == words.mirroring(docked._state)
        and docked.choices.mirroring.x() == 0
    )  # no column before it


def test_details_are_open_at_once(docked):
    show_details(docked, "Done.", "the whole record")
    box = docked.findChildren(QMessageBox)[-1]
    shown = [edit.toPlainText() for edit in box.findChildren(QTextEdit) if edit.isVisible()]
    assert box.text() == "Done." and shown == ["the whole record"]
    box.reject()
