"""A network's side file is opened in the form again: nothing of it is lost, and what was wrong can be fixed
in the dock.
"""

import json
from dataclasses import replace

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from ctseg_imaging.errors import BundleError
from napari_ctseg.docks.run_model.controller import RunModelController
from napari_ctseg.docks.run_model.library.library import InstalledLibrary
from napari_ctseg.docks.run_model.library.side_draft import draft_of, side_of
from napari_ctseg.docks.run_model.state import Phase
from napari_ctseg.docks.run_model.view import RunModelDock
from napari_ctseg.docks.run_model.widgets.side_form import SideForm
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.showing import show_volume
from tests.pace import PATIENCE_MS
from tests.plugin.run_model_fakes import FakeLibrary, FakeView, Later
from tests.plugin.workers import at_once

FULL = {
    "labels": {"1": "liver", "2": "spleen", "9": "never drawn"},
    "modality": "MR",
    "spacing": [1.5, None, 2],
    "orientation": "RAS",
    "channels": [
        {"clip": [-57, 164], "normalise": "range", "to": [-1, 1]},
        {
            "name": "T2",
            "source": 1,
            "clip_quantiles": [0.01, 0.99],
            "normalise": "zscore",
            "statistics": "input",
        },
    ],
    "align": "centres",
    "multiple_of": [8, 16, 8],
    "min_size": [32, 32, 32],
    "pad": 0,
    "name": "abdomen of yesterday",
    "output": {"kind": "logits", "classes": [0, 1, 2, 1, None], "merge": "sum"},
}


@pytest.fixture
def network(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"x")
    (tmp_path / "net.json").write_text(json.dumps(FULL))
    return tmp_path / "net.onnx"


@pytest.fixture
def models(fakes, network):
    class WithNetwork(fakes.Models):
        """One of this project's models, and the network file, called as its side file says; it runs with
        sides of multiples of 16 only.
        """

        def bundles(self):
            bare = fakes.Bundle(json.loads(network.with_suffix(".json").read_text())["name"])
            bare.kind, bare.path = "onnx", network
            own = fakes.Bundle("abdomen")
            for bundle in (bare, own):
                bundle.mirror_axes = 0
            return [own, bare], []

        def run(self, request):
            if json.loads(network.with_suffix(".json").read_text())["multiple_of"] != 16:
                raise BundleError("net.onnx: fails on this image; fix multiple_of in the side file.")
            return (yield from super().run(request))

    return WithNetwork()


def test_the_form_keeps_every_field_of_a_side_file(network):
    description = InstalledLibrary().description(network)
    side, faults = side_of(draft_of(description))
    assert faults == {}
    InstalledLibrary().write_side_file(network, side, True)
    assert InstalledLibrary().description(network) == description
    wanted = {**FULL, "labels": {int(value): name for value, name in FULL["labels"].items()}}
    kept = {**json.loads(network.with_suffix(".json").read_text())}
    assert {**kept, "labels": {int(value): name for value, name in kept["labels"].items()}} == wanted


@pytest.mark.parametrize(
    ("typed", "written"), [(("16", "16", "16"), 16), (("8", "", "4"), [8, 1, 4]), (("", "", ""), None)]
)
def test_multiples_are_a_field_of_the_form(network, typed, written):
    side, faults = side_of(replace(draft_of(InstalledLibrary().description(network)), multiple_of=typed))
    assert faults == {} and side.get("multiple_of") == written


@pytest.mark.parametrize("typed", ["0", "half", "-2"])
def test_a_wrong_multiple_is_told_at_its_field(network, typed):
    faults = side_of(
        replace(draft_of(InstalledLibrary().description(network)), multiple_of=(typed, "2", "2"))
    )[1]
    assert set(faults) == {"multiple_of"}


def test_a_description_that_is_no_longer_one_is_a_sentence(network, models, tmp_path, volume):
    controller = RunModelController(
        FakeView(),
        ViewerModel(),
        models,
        Preferences(tmp_path / "p.json"),
        Later(),
        lambda: 0.0,
        FakeLibrary(models),
        at_once,
    )
    network.with_suffix(".json").write_text("{")
    controller.actions.describe(network)
    assert controller.state.asked is None and "cannot be read as JSON" in controller.state.message


def test_only_networks_with_a_writable_side_file_can_be_described(network, tmp_path):
    library = InstalledLibrary()
    assert (
        library.described(network)
        and not library.described(network.with_suffix(".json"))
        and not library.described(tmp_path)
    )
    network.with_suffix(".json").unlink()
    assert not library.described(network)


def test_adding_that_fails_offers_the_description(network, models, tmp_path):
    library = FakeLibrary(models, no_model="net.onnx")
    controller = RunModelController(
        FakeView(),
        ViewerModel(),
        models,
        Preferences(tmp_path / "p.json"),
        Later(),
        lambda: 0.0,
        library,
        at_once,
    )
    controller.actions.add(network)
    controller.runner.finish()
    assert controller.state.phase is Phase.FAILED and controller.state.to_fix == network
    controller.actions.add(tmp_path / "gone.onnx")
    assert controller.state.phase is Phase.FAILED and controller.state.to_fix is None


def test_after_a_run_that_failed_the_description_is_mended_in_the_dock(
    make_plugin_viewer, qtbot, volume, network, models
):
    viewer = make_plugin_viewer(show=True)
    show_volume(viewer, volume, "t1")
    dock = RunModelDock(viewer, models, FakeLibrary(models))
    viewer.window.add_dock_widget(dock, name="Run model", area="right")
    dock.controller.choose_bundles(["abdomen of yesterday"])
    assert (
        not dock.result.fix.isVisible()
        and dock.more_menu.describe.isVisible()
        and dock.more_menu.describe.isEnabled()
    )
    dock.run_panel.go.click()
    qtbot.waitUntil(lambda: dock.controller.state.phase is Phase.FAILED, timeout=PATIENCE_MS)
    assert "multiple_of" in dock.result.message.text() and dock.result.fix.isVisible()
    qtbot.mouseClick(dock.result.fix, Qt.MouseButton.LeftButton)
    form = dock.dialog
    assert isinstance(form, SideForm) and form.add.text() == "Save" and form.add.isEnabled()
    assert [box.text() for box in form.input.multiple_of] == ["8", "16", "8"] and form.output.maps.item(
        2, 2
    ).text() == "spleen"
    for box in form.input.multiple_of:
        box.setText("16")
    form.model.name.setText("abdomen of today")
    form.add.click()
    assert (
        dock.dialog is None
        and dock.controller.state.chosen == ("abdomen of today",)
        and not dock.result.fix.isVisible()
    )
    assert dock.result.message.text() == "Description of net.onnx updated."
    dock.run_panel.go.click()
    qtbot.waitUntil(lambda: dock.controller.state.phase is Phase.DONE, timeout=PATIENCE_MS)
    assert "abdomen of today" in viewer.layers
