"""The Run model dock's decisions for every format: adding, trust, channels, ensembles; all without Qt."""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Volume
from ctseg_models.bundles.store import find, shipped_folder
from ctseg_models.contract.run_warning import RunWarning, WarningKind
from napari_ctseg.docks.run_model import words
from napari_ctseg.docks.run_model.library.library import InstalledLibrary
from napari_ctseg.docks.run_model.library.side_draft import MapRow, draft_of, side_of
from napari_ctseg.docks.run_model.run import machine
from napari_ctseg.docks.run_model.state import (
    Combine,
    Confidence,
    Phase,
    RegionChoice,
    Replacement,
    RunSummary,
    TrustQuestion,
)
from napari_ctseg.viewer.layers import channel_volume
from napari_ctseg.viewer.showing import show_volume
from tests.plugin.workers import at_once


class Threads:
    """Asides that go on when the test says so."""

    def __init__(self):
        self.waiting = []

    def __call__(self, function, on_done, on_error):
        self.waiting.append((function, on_done, on_error))

    def go(self):
        while self.waiting:
            at_once(*self.waiting.pop(0))


# ---- adding


def test_an_added_model_is_listed_and_ticked(made, tmp_path):
    controller, _, library = made()
    (tmp_path / "Dataset7").mkdir()
    (tmp_path / "Dataset7" / "plans.json").write_text("{}")
    controller.actions.add(tmp_path / "Dataset7")
    assert controller.state.errand == "Adding Dataset7"
    controller.runner.finish()
    assert ("add", "Dataset7", False) in library.calls
    assert (
        controller.state.chosen == ("Dataset7",)
        and controller.state.message == "Added: Dataset7."
        and not controller.state.errand
    )


def test_a_name_that_is_taken_is_asked_about(made, tmp_path):
    controller, _, library = made()
    path = tmp_path / "net.zip"
    path.write_bytes(b"x")
    library.there["net.zip"] = tmp_path / "Dataset7" / "inner"
    controller.actions.add(path)
    controller.runner.finish()
    state = controller.state
    assert (
        state.asked == Replacement(path, tmp_path / "Dataset7" / "inner")
        and not state.errand
        and state.phase is not Phase.FAILED
    )
    controller.actions.leave()
    assert controller.state.asked is None and not any(call[0] == "add" for call in library.calls)
    controller.actions.copy(path, overwrite=True)
    controller.runner.finish()
    assert ("add", "net.zip", True) in library.calls


def test_what_is_no_model_gives_one_sentence(made, tmp_path):
    controller, _, _ = made(no_model="notes.txt")
    (tmp_path / "empty").mkdir()
    for name in ("scan.nii.gz", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    for name, said in (
        ("empty", "is an empty folder; choose the folder of a model."),
        ("gone", "does not exist; check the name."),
        ("scan.nii.gz", "is an image, not a model; drop it on the canvas to open it."),
        ("notes.txt", "is not a bundle."),
    ):
        controller.actions.add(tmp_path / name)
        if name == "notes.txt":
            controller.runner.finish()
        state = controller.state
        assert state.phase is Phase.FAILED and state.message.endswith(f"{name}: {said}") and not state.errand
        assert [info.name for info in state.bundles] == ["abdomen", "headneck", "brain-mr", "spleen"]


def test_a_bare_network_opens_the_form_and_leaving_it_writes_nothing(made, tmp_path):
    controller, _, library = made()
    network = tmp_path / "net.onnx"
    network.write_bytes(b"x")
    controller.actions.add(network)
    assert controller.state.asked.network == network and controller.state.asked.guess["size"] == [8, 9, 10]
    controller.actions.leave()
    assert controller.state.asked is None and [path.name for path in tmp_path.glob("net*")] == ["net.onnx"]
    controller.actions.add(network)
    side, faults = side_of(
        replace(draft_of(controller.state.asked.guess), maps=(MapRow("0"), MapRow("1", "liver")))
    )
    assert faults == {} and library.faults(side) == {}
    assert controller.actions.write_side_file(network, side) == ""
    controller.runner.finish()
    assert (
        controller.state.asked is None
        and network.with_suffix(".json").is_file()
        and ("add", "net.onnx", False) in library.calls
    )


def test_a_side_file_that_cannot_be_written_says_so_in_the_form(made, tmp_path):
    controller, _, _ = made()
    network = tmp_path / "net.onnx"
    network.write_bytes(b"x")
    controller.actions.add(network)
    side, _ = side_of(
        replace(draft_of(controller.state.asked.guess), maps=(MapRow("0"), MapRow("1", "liver")))
    )
    network.with_suffix(".json").write_text("mine")
    assert "already exists" in controller.actions.write_side_file(network, side)
    assert controller.state.asked is not None and network.with_suffix(".json").read_text() == "mine"


def test_verify_and_export_speak_and_can_be_cancelled(made, tmp_path):
    controller, _, library = made()
    controller.actions.verify("abdomen")
    controller.runner.finish()
    assert controller.state.message == "abdomen is intact." and not controller.state.errand
    controller.actions.export("abdomen", "onnx", tmp_path / "a.onnx")
    controller.cancel()
    assert (
        controller.runner.tasks[-1].cancelled
        and not controller.state.errand
        and controller.state.message == "Cancelled."
    )
    assert library.calls == [("trusted", "spleen")]


# ---- trust


def test_code_of_a_model_runs_only_after_the_person_has_said_so(made):
    controller, _, library = made()
    controller.choose_bundles(["spleen"])
    assert controller.state.members[0].locked
    controller.estimate()
    controller.run()
    assert controller.state.questions == (
        TrustQuestion(
            "spleen", "/models/spleen", ("configs/inference.json asks for scripts.net.Net.",), "as listed"
        ),
    )
    assert not controller.runner.tasks
    controller.answer(run_code=False)
    assert not controller.runner.tasks and not library.allowed
    assert controller.state.message == "Nothing was run." and not controller.state.busy
    controller.run()
    controller.answer(run_code=True)
    assert library.allowed == {"spleen"} and controller.state.busy and len(controller.runner.tasks) == 1
    controller.runner.finish()
    assert not controller.state.members[0].locked
    controller.run()
    assert controller.state.busy and not controller.state.questions
    controller.cancel()
    controller.actions.withdraw("spleen")
    controller.run()
    assert controller.state.questions and len(controller.runner.tasks) == 2


def test_an_answer_is_about_the_files_that_were_asked_about(made):
    controller, _, library = made()
    controller.choose_bundles(["spleen"])
    controller.run()
    library.files["spleen"] = "written while the question was open"
    controller.answer(run_code=True)
    assert not library.allowed and not controller.runner.tasks and controller.state.members[0].locked
    assert "changed" in controller.state.message
    controller.run()
    assert [question.digest for question in controller.state.questions] == [
        "written while the question was open"
    ]
    controller.answer(run_code=True)
    assert library.allowed == {"spleen"} and len(controller.runner.tasks) == 1


def test_a_run_waits_until_it_is_known_what_is_trusted(made):
    threads = Threads()
    controller, _, library = made(aside=threads)
    library.allowed.add("spleen")
    controller.choose_bundles(["spleen"])
    assert controller.state.members[0].trusted is None and controller.state.members[0].locked
    controller.run()
    assert not controller.runner.tasks
    threads.go()
    assert len(controller.runner.tasks) == 1 and not controller.state.questions


def test_an_ensemble_asks_only_about_the_member_with_code(made):
    controller, _, _ = made()
    controller.choose_bundles(["abdomen", "spleen"])
    controller.run()
    assert [question.name for question in controller.state.questions] == ["spleen"]


# ---- channels


def test_channels_find_their_images_by_name_and_are_stacked_in_order(made, volume):
    controller, viewer, _ = made()
    show_volume(viewer, Volume(volume.array * 2, volume.geometry), "flair of today")
    show_volume(viewer, Volume(volume.array * 3, volume.geometry), "other")
    controller.choose_bundles(["brain-mr"])
    assert controller.state.sources == ("t1", "flair of today") and controller.state.why_not == ""
    controller.choose_source(1, "other")
    controller.run()
    next(controller.runner.tasks[-1].work)
    given = controller.models.requests[0].volume
    np.testing.assert_array_equal(given.array, np.stack([volume.array, volume.array * 3]))
    np.testing.assert_array_equal(given.geometry.affine_lps, volume.geometry.affine_lps)


def test_a_missing_channel_another_grid_and_one_image_twice_are_told(made, volume):
    controller, viewer, _ = made()
    controller.choose_bundles(["brain-mr"])
    assert controller.state.why_not == "The model reads 2 images on one grid; also open the one for FLAIR."
    shape = (7, 8, 9)
    show_volume(
        viewer,
        Volume(np.zeros(shape, np.int16), Geometry.from_parts(shape, (3.0, 1.5, 2.5), (10, -20, 30))),
        "flair",
    )
    assert controller.state.why_not.startswith('"flair" lies on another grid than "t1"')
    show_volume(
        viewer,
        Volume(np.zeros(shape, np.int16), Geometry.from_parts(shape, (3.0, 1.5, 2.0), (500, 500, 500))),
        "far",
    )
    controller.choose_source(1, "far")
    assert controller.state.why_not.startswith('"far" has no point in common with "t1"')
    controller.run()
    assert not controller.runner.tasks
    controller.choose_source(1, "t1")
    assert (
        controller.state.why_not == ""
        and '"t1" is chosen for more than one channel.' in controller.state.warnings
    )
    controller.choose_bundles(["abdomen", "brain-mr"])
    assert "different numbers of images" in controller.state.why_not


def test_channels_of_one_four_dimensional_layer(made):
    controller, viewer, _ = made()
    array = np.arange(2 * 4 * 5 * 6, dtype=np.float32).reshape(2, 4, 5, 6)
    layer = viewer.add_image(
        array, name="mr", scale=(1, 3, 1.5, 2), translate=(0, 5, 6, 7), channel_axis=None
    )
    assert controller.state.images == ("t1", "mr [1]", "mr [2]")
    controller.choose_image("mr [1]")
    controller.choose_bundles(["brain-mr"])
    assert controller.state.sources == ("mr [1]", "mr [2]") and controller.state.why_not == ""
    second = channel_volume(layer, 1)
    np.testing.assert_array_equal(second.array, array[1])
    assert second.geometry.spacing_mm == (3, 1.5, 2) and tuple(second.geometry.origin_lps_mm) == (7, 6, 5)
    controller.run()
    next(controller.runner.tasks[-1].work)
    np.testing.assert_array_equal(controller.models.requests[0].volume.array, array)


# ---- ensembles, mirroring, results


def test_weights_go_with_mean_and_vote_only(made):
    controller, _, _ = made()
    controller.choose_bundles(["abdomen", "headneck"])
    for combine, wanted in ((Combine.MEAN, (1.0, 2.5)), (Combine.STAPLE, None)):
        controller.choose(combine=combine)
        controller.choose_weight("headneck", 2.5)
        request, _ = controller._request()
        assert request.weights == wanted and request.combine is combine
    controller.choose(combine=Combine.VOTE)
    controller.choose_weight("headneck", 1.0)
    assert controller._request()[0].weights is None


@pytest.mark.parametrize(
    ("names", "said", "why"),
    [
        (["abdomen"], "Mirroring", "left and right"),
        (["headneck"], "Mirroring (x2 the time)", ""),
        (["brain-mr"], "Mirroring (up to x8 the time)", ""),
        (["abdomen", "headneck"], "Mirroring (x2 the time)", ""),
    ],
)
def test_mirroring_has_its_cost_beside_it_or_its_reason(made, names, said, why):
    controller, _, _ = made()
    controller.choose_bundles(names)
    controller.choose(mirroring=True)
    assert words.mirroring(controller.state) == said
    assert (why in controller.state.why_no_mirroring) if why else (controller.state.why_no_mirroring == "")
    if names != ["brain-mr"]:
        assert controller._request()[0].mirroring is not bool(why)


def test_a_result_says_how_sure_it_is_and_comes_although_its_image_is_gone(made, fakes, monkeypatch):
    controller, viewer, _ = made()
    plain = fakes.Models.run
    rows = [
        {
            "value": 1,
            "name": "liver",
            "volume_ml": 12.5,
            "mean_probability": 0.61,
            "share_above_0.9": 0.2,
            "mean_disagreement": 0.25,
        }
    ]

    def run(self, request):
        answer = yield from plain(self, request)
        answer.provenance["confidence"] = rows
        return answer

    monkeypatch.setattr(fakes.Models, "run", run)
    controller.run()
    controller.runner.step()
    viewer.layers.remove("t1")
    controller.runner.finish()
    assert controller.state.summary.confidence == (Confidence("liver", 12.5, 0.61, 0.2, 0.25),)
    assert (
        "abdomen" in viewer.layers
        and controller.state.phase is Phase.DONE
        and '"warnings"' in controller.state.details
    )
    controller.choose_bundles(["headneck"])
    assert (
        controller.state.summary.confidence == ()
        and controller.state.summary.cautions == ()
        and controller.state.details == ""
    )


@pytest.mark.parametrize(("version", "why"), [("2.13.0+cpu", "CPU-only"), ("2.13.0", "No NVIDIA driver")])
def test_a_missing_device_says_why(monkeypatch, version, why):
    monkeypatch.setattr(machine, "version", lambda _: version)
    monkeypatch.setattr(machine, "find_library", lambda _: None)
    assert why in machine.unable()["cuda"]
    monkeypatch.setattr(machine, "find_library", lambda _: "libcuda.so.1")
    assert ("cuda" in machine.unable()) is (version.endswith("+cpu"))


def test_a_processor_without_bf16_greys_it(monkeypatch, tmp_path):
    for flags, wanted in (("avx2 avx512f", {"bf16"}), ("avx512f avx512_bf16", set())):
        (tmp_path / "cpuinfo").write_text(f"flags\t\t: fpu {flags}\n")
        monkeypatch.setattr(machine, "PROCESSOR", tmp_path / "cpuinfo")
        assert set(machine.slow_on_cpu()) == wanted


def test_what_is_said_of_models_stays_short(made):
    controller, _, _ = made()
    controller.choose_bundles(["abdomen", "spleen"])
    spleen = replace(
        controller.state.members[1],
        needs_trust=("one <b>", "two", "three"),
        labels=tuple(f"l{n}" for n in range(104)),
    )
    said = words.about(spleen, controller.state)
    assert said.startswith("Ensemble: abdomen, spleen.<br><b>spleen, CT: l0,")
    assert "and 92 more" in said and "one &lt;b&gt; and 2 more." in said
    warnings = tuple(RunWarning(WarningKind.IMAGE, text) for text in "abcde")
    state = replace(controller.state, summary=RunSummary(cautions=warnings))
    assert words.cautions(state) == "a\nb\nc\nAnd 2 more under Details."


def test_what_was_computed_more_exactly_than_asked_is_no_warning(made):
    note = RunWarning(WarningKind.PRECISION, "bfloat16 gave numbers that were not finite.")
    summary = RunSummary(cautions=(note, RunWarning(WarningKind.MEMORY, "a")))
    state = replace(made()[0].state, summary=summary)
    assert words.cautions(state) == "a" and words.precision_notes(state) == note.text


# ---- regions, one model twice


def test_a_model_without_a_localiser_has_no_choice_of_one(made):
    controller, _, _ = made()
    controller.choose_bundles(["headneck"])
    assert (
        controller.state.regions == (RegionChoice.WHOLE, RegionChoice.BOX)
        and controller.state.looks_in is RegionChoice.WHOLE
    )
    controller.choose_bundles(["headneck", "abdomen"])
    assert (
        controller.state.regions == tuple(RegionChoice)
        and controller.state.looks_in is RegionChoice.LOCALISER
    )
    controller.choose(region=RegionChoice.BOX)
    controller.choose_bundles(["headneck"])
    assert controller.state.looks_in is RegionChoice.BOX


def test_only_a_bundle_with_a_localiser_localises():
    both = find(shipped_folder() / "headneck-ct-scn")
    alone = replace(both, block=both.block.model_copy(update={"stages": both.stages[-1:]}))
    assert InstalledLibrary().localises(both) and not InstalledLibrary().localises(alone)


def test_one_model_under_two_names_is_refused_in_an_ensemble(made, monkeypatch):
    controller, _, library = made()
    monkeypatch.setattr(library, "identity", lambda bundle: "" if bundle.name == "spleen" else bundle.name[0])
    controller.actions.bundles["also headneck"] = copied = copy(controller.actions.bundles["headneck"])
    copied.name = "headneck of today"
    controller.actions.bundles = {bundle.name: bundle for bundle in controller.actions.bundles.values()}
    controller.refresh()
    controller.choose_bundles(["headneck", "headneck of today"])
    assert controller.state.why_not.startswith(
        "headneck and headneck of today are the same model under two names; untick one"
    )
    controller.run()
    assert not controller.runner.tasks
    controller.choose_bundles(["headneck", "abdomen"])
    assert controller.state.why_not == ""
