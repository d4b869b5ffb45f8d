"""The Fine-tune dock with a fake job; one real job, started, stopped and taken over, at the end."""

import json
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel

from ctseg_imaging import formats
from ctseg_imaging.errors import BundleError, RecipeError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Label, LabelMap, Labels, Volume
from napari_ctseg.docks.finetune.cases import write_dataset
from napari_ctseg.docks.finetune.controller import FineTuneController
from napari_ctseg.docks.finetune.jobs import TrainingJobs, free_name, plain
from napari_ctseg.docks.finetune.news import CHECKING
from napari_ctseg.docks.finetune.state import (
    CaseSource,
    CurvePoint,
    FineTuneState,
    HoldOut,
    Phase,
    RecipeRow,
    Trainable,
)
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.showing import show_labels, show_volume
from napari_ctseg.viewer.study import study_of
from tests.plugin.workers import at_once

SHAPE, SPACING = (18, 22, 26), (3.0, 2.5, 2.0)
NAMES = Labels.from_names({1: "liver", 2: "spleen"})
RECIPES = (
    RecipeRow("plain-2d", "A plain network"),
    RecipeRow("siamese", "Needs features", "MR", needs_features=True),
    RecipeRow("where", "Finds the box", localises=True),
)


def case(seed, origin=0.0):
    """A bright ball and a dark box; stored from head to feet, so a lost flip shows."""
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]] * np.array(SPACING)[:, None, None, None]
    labels = np.zeros(SHAPE, np.uint8)
    labels[(z - 27) ** 2 + (y - 27) ** 2 + (x - 16) ** 2 < 100] = 1
    labels[(abs(z - 27) < 9) & (abs(y - 27) < 8) & (abs(x - 38) < 7)] = 2
    image = (np.array([-100, 250, -350])[labels] + rng.normal(0, 15, SHAPE)).astype(np.int16)
    grid = Geometry.from_parts(SHAPE, SPACING, (origin, -20, 30), np.diag([1.0, 1.0, -1.0]))
    return Volume(image, grid, modality="CT"), LabelMap(labels, grid, NAMES)


@dataclass
class FakeJob:
    folder: object
    said: list = field(default_factory=list)
    state: str = "running"
    message: str = ""
    stopped: bool = False
    paused: bool = False
    resumable: bool = False
    resumed: list = field(default_factory=list)

    def events(self, offset=0):
        return iter(self.said[offset:])

    def say(self, kind, **data):
        self.said.append(SimpleNamespace(kind=kind, data=data, end=len(self.said) + 1))

    def stop(self, patience_s=None):
        self.stopped = True

    def pause(self):
        self.paused = True

    def resume(self, *, to_finish=False):
        self.resumed.append(to_finish)
        self.state, self.resumable = "running", False

    def ends_paused(self):
        self.say("stopped", bundle=None, message="Ended before a bundle was written.")
        self.state, self.resumable = "paused", True


class FakeJobs:
    def __init__(self, folder):
        self.folder, self.job, self.order, self.found, self.names = (
            folder,
            None,
            None,
            None,
            ["headneck", "phantom"],
        )

    def bundles(self):
        return [SimpleNamespace(name=name, labels=NAMES, path=self.folder) for name in self.names]

    def recipes(self):
        return RECIPES

    def start(self, order):
        self.order = order
        if order.write_cases is not None:
            order.write_cases(self.folder / "data")
        self.job = FakeJob(self.folder)
        return self.job

    def find(self, folder):
        return self.found

    def add(self, folder):
        self.names.append("mine")
        return "mine"


class FakeView:
    def __init__(self):
        self.state, self.following, self.announced = FineTuneState(), False, 0

    def show(self, state):
        self.state = state

    def follow(self, on):
        self.following = on

    def announce(self):
        self.announced += 1


@pytest.fixture
def viewer(qapp):
    viewer = ViewerModel()
    volume, mask = case(1)
    show_volume(viewer, volume, "ct")
    show_labels(viewer, mask, "mask")
    study_of(viewer).edited = "mask"
    return viewer


@pytest.fixture
def dock(viewer, tmp_path):
    view, jobs = FakeView(), FakeJobs(tmp_path)
    return FineTuneController(view, viewer, jobs, Preferences(), at_once), view, jobs


def test_open_layers_become_a_dataset_that_the_training_reads(dock, tmp_path):
    from ctseg_training.data.decathlon import open_dataset

    controller, view, jobs = dock
    controller.training.start()
    assert view.state.phase is Phase.RUNNING and view.following
    data = open_dataset(tmp_path / "data", NAMES)
    volume, mask = case(1)
    (entry,) = data.training
    assert np.array_equal(formats.read(entry.image).array, volume.array)
    back = formats.read_labels(entry.label)
    assert np.array_equal(back.array, mask.array)
    np.testing.assert_allclose(back.geometry.affine_lps, mask.geometry.affine_lps, atol=1e-5)
    assert jobs.order.base.name == "headneck" and jobs.order.name == "headneck-tuned"


def test_values_follow_the_names_and_what_was_not_drawn_is_not_contoured(tmp_path):
    volume, mask = case(1)
    other = LabelMap(
        np.where(mask.array == 1, 7, 0).astype(np.uint8),
        mask.geometry,
        Labels.from_names({7: "liver", 9: "aorta"}),
    )
    write_dataset(tmp_path, [(volume, other)], NAMES, "mine")
    assert np.array_equal(
        formats.read_labels(tmp_path / "labelsTr/case_000.nii.gz").array, np.where(mask.array == 1, 1, 0)
    )
    assert json.loads((tmp_path / "dataset.json").read_text())["labels_present"] == {"case_000": ["liver"]}


def test_a_class_that_the_model_does_not_know_and_an_empty_mask_are_refused(dock, tmp_path):
    volume, mask = case(1)
    with pytest.raises(RecipeError, match="aorta"):
        write_dataset(
            tmp_path,
            [(volume, LabelMap(mask.array, mask.geometry, Labels.from_names({1: "liver", 2: "aorta"})))],
            NAMES,
            "x",
        )
    with pytest.raises(RecipeError, match="empty"):
        write_dataset(tmp_path, [(volume, LabelMap(mask.array * 0, mask.geometry, NAMES))], NAMES, "x")


def test_curves_time_left_and_scores_follow_the_events(dock):
    controller, view, jobs = dock
    controller.training.start()
    jobs.job.say("start", cases=4, held_out=1)
    jobs.job.say("validation", step=0, scores={"liver": 0.5, "mean": 0.5}, whole_bundle=True)
    jobs.job.say("step", step=10, smoothed_loss=1.5, spent=0.25, seconds_left=90.0, memory_mb=1200.0)
    controller.training.poll()
    assert (
        view.state.losses == ((10, 1.5),)
        and view.state.seconds_left == 90
        and view.state.scores[0].before == 0.5
    )
    jobs.job.say("step", step=20, smoothed_loss=1.2, spent=0.5, seconds_left=60.0, memory_mb=1200.0)
    jobs.job.say("validation", step=20, scores={"liver": 0.6, "mean": 0.6}, whole_bundle=False)
    jobs.job.say("warning", message="one case is left out")
    controller.training.poll()
    assert view.state.losses == ((10, 1.5), (20, 1.2)) and view.state.validations == (
        CurvePoint(20, (("liver", 0.6), ("mean", 0.6))),
    )
    assert view.state.warnings == ("one case is left out",)


@pytest.mark.parametrize(("after", "better", "words"), [(0.7, True, "Better"), (0.4, False, "Not better")])
def test_the_new_model_is_announced_with_its_score_and_an_honest_word(dock, tmp_path, after, better, words):
    controller, view, jobs = dock
    controller.training.start()
    controller.training.stop()
    assert jobs.job.stopped and view.state.phase is Phase.STOPPING and view.state.why_not
    (tmp_path / "bundle").mkdir()
    jobs.job.say(
        "stopped",
        step=30,
        before={"liver": 0.5, "mean": 0.5},
        after={"liver": after, "mean": after},
        better=better,
    )
    jobs.job.state = "stopped"
    controller.training.poll()
    assert view.state.phase is Phase.DONE and view.announced == 1 and not view.following
    assert (
        view.state.message.startswith(words)
        and "mine" in view.state.bundles
        and view.state.base == "headneck"
    )
    assert (view.state.scores[1].before, view.state.scores[1].after) == (0.5, after)


def test_without_a_held_out_case_it_says_that_nobody_can_tell(dock, tmp_path):
    controller, view, jobs = dock
    controller.training.start()
    (tmp_path / "bundle").mkdir()
    jobs.job.say("done", step=30, before=None, after=None, better=None)
    jobs.job.state = "done"
    controller.training.poll()
    assert "quality is unknown" in view.state.message


def test_a_job_that_fails_is_a_sentence_and_start_is_free_again(dock):
    controller, view, jobs = dock
    controller.training.start()
    jobs.job.state, jobs.job.message = "failed", "dataset.json: lists no training case."
    controller.training.poll()
    assert (
        view.state.phase is Phase.FAILED
        and "no training case" in view.state.message
        and not view.state.why_not
    )


def test_a_job_that_cannot_start_is_a_sentence(dock):
    controller, view, jobs = dock

    def refuse(order):
        raise BundleError("the model is damaged")

    jobs.start = refuse
    controller.training.start()
    assert view.state.phase is Phase.FAILED and "damaged" in view.state.message


def test_a_running_job_is_found_again_with_all_it_said(dock, viewer, tmp_path):
    controller, _, jobs = dock
    controller.training.start()
    jobs.job.say("step", step=10, smoothed_loss=1.5, spent=0.25, seconds_left=90.0, memory_mb=1.0)
    controller.close()
    again, found = FakeView(), FakeJobs(tmp_path)
    found.found = jobs.job
    second = FineTuneController(again, viewer, found, Preferences(), at_once)
    assert again.state.phase is Phase.RUNNING and again.following and again.state.losses == ((10, 1.5),)
    second.training.stop()
    assert jobs.job.stopped


def test_why_start_is_grey(dock, viewer):
    controller, view, jobs = dock
    controller.choose(source=CaseSource.FOLDER)
    assert "folder" in view.state.why_not
    controller.choose(source=CaseSource.LAYERS, name=" ")
    assert "name" in view.state.why_not
    controller.tick("ct", False)
    assert "Tick" in view.state.why_not
    viewer.layers.clear()
    assert "Open an image" in view.state.why_not
    jobs.names = []
    controller.reload_bundles()
    assert "Choose a model" in view.state.why_not


def test_choices_reach_the_order(dock, tmp_path):
    controller, _, jobs = dock
    controller.choose_base("phantom")
    controller.choose(
        source=CaseSource.FOLDER,
        folder=tmp_path,
        trainable=Trainable.HEAD,
        minutes=2.0,
        hold_out=HoldOut.VALIDATION,
    )
    controller.training.start()
    order = jobs.order
    assert (order.base.name, order.data, order.trainable, order.minutes, order.hold_out, order.name) == (
        "phantom",
        tmp_path,
        "head",
        2.0,
        HoldOut.VALIDATION,
        "phantom-tuned",
    )


def test_a_recipe_from_scratch_learns_what_is_drawn_and_takes_no_model(dock, viewer, tmp_path):
    from ctseg_training.data.decathlon import open_dataset

    controller, view, jobs = dock
    volume, mask = case(2, origin=500.0)  # a second patient, who has something that no model knows
    show_volume(viewer, volume, "ct 2")
    show_labels(
        viewer, replace(mask, array=mask.array // 2 * 5, labels=Labels.from_names({5: "thymus"})), "mask 2"
    )
    controller.choose_recipe("plain-2d")
    assert view.state.base is None and view.state.name == "plain-2d" and view.state.from_scratch == RECIPES[0]
    controller.training.start()
    assert (jobs.order.base, jobs.order.recipe, jobs.order.features) == (None, "plain-2d", None)
    data = open_dataset(tmp_path / "data")
    assert {label.value: label.name for label in data.labels} == {1: "liver", 2: "spleen", 3: "thymus"}
    assert [entry.present[1:] for entry in data.training] == [(True, True, False), (False, False, True)]
    assert np.array_equal(formats.read_labels(data.training[1].label).array, (mask.array == 2) * 3)


def test_nothing_drawn_is_refused_before_a_network_begins(dock, viewer):
    controller, view, _ = dock
    viewer.layers["mask"].data[:] = 0
    controller.choose_recipe("plain-2d")
    controller.training.start()
    assert view.state.phase is Phase.FAILED and "nothing to learn" in view.state.message


def test_a_recipe_with_content_waits_for_its_file_and_going_back_to_a_model_forgets_the_recipe(
    dock, tmp_path
):
    controller, view, jobs = dock
    controller.choose_recipe("siamese")
    assert "VGG-19" in view.state.why_not
    controller.training.start()
    assert jobs.order is None
    controller.choose(features=tmp_path / "vgg19.pth")
    assert not view.state.why_not
    controller.training.start()
    assert jobs.order.features == tmp_path / "vgg19.pth"
    jobs.job.state = "failed"
    controller.training.poll()
    controller.choose_base("phantom")
    assert (
        view.state.recipe is None and view.state.from_scratch is None and view.state.name == "phantom-tuned"
    )
    controller.training.start()
    assert jobs.order.base.name == "phantom" and jobs.order.recipe is None and jobs.order.features is None


def test_without_any_model_recipes_are_still_there(viewer, tmp_path):
    view, jobs = FakeView(), FakeJobs(tmp_path)
    jobs.names = []
    controller = FineTuneController(view, viewer, jobs, Preferences(), at_once)
    assert "Choose a model" in view.state.why_not
    controller.choose_recipe("plain-2d")
    controller.reload_bundles()
    assert view.state.recipe == "plain-2d" and not view.state.why_not


def test_checking_the_data_is_said_until_the_training_begins(dock):
    controller, view, jobs = dock
    controller.training.start()
    controller.training.poll()
    assert view.state.stage == CHECKING
    jobs.job.say("start", cases=4, held_out=1, labels=["liver", "spleen"], from_step=0)
    controller.training.poll()
    assert "4 cases" in view.state.stage


def test_pause_and_resume(dock):
    controller, view, jobs = dock
    controller.training.start()
    jobs.job.say("step", step=10, smoothed_loss=1.5, spent=0.25, seconds_left=90.0, memory_mb=1.0)
    controller.training.pause()
    controller.training.poll()
    assert jobs.job.paused and not jobs.job.stopped and view.state.phase is Phase.PAUSING
    assert "will pause after" in view.state.why_no_pause and view.state.why_no_stop
    jobs.job.ends_paused()
    controller.training.poll()
    assert (
        view.state.phase is Phase.PAUSED
        and view.state.resumable
        and not view.following
        and view.state.spent == 0.25
    )
    assert "paused" in view.state.why_not and view.state.added is None and view.announced == 0
    controller.training.resume()
    assert (
        jobs.job.resumed == [False]
        and view.state.phase is Phase.RUNNING
        and view.following
        and not view.state.resumable
    )
    jobs.job.say("start", cases=4, held_out=1, labels=["liver", "spleen"], from_step=10)
    jobs.job.say("step", step=11, smoothed_loss=1.4, spent=0.3, seconds_left=80.0, memory_mb=1.0)
    controller.training.poll()
    assert view.state.losses == ((10, 1.5), (11, 1.4)) and view.state.stage == "Step 11"


def test_a_paused_job_is_found_again_and_stop_makes_a_model_of_it(dock, viewer, tmp_path):
    controller, _, jobs = dock
    controller.training.start()
    jobs.job.say("step", step=10, smoothed_loss=1.5, spent=0.25, seconds_left=90.0, memory_mb=1.0)
    jobs.job.ends_paused()
    controller.close()
    again, found = FakeView(), FakeJobs(tmp_path)
    found.found = jobs.job
    second = FineTuneController(again, viewer, found, Preferences(), at_once)
    assert again.state.phase is Phase.PAUSED and again.state.losses == ((10, 1.5),) and not again.following
    second.training.stop()
    assert jobs.job.resumed == [True] and again.state.phase is Phase.STOPPING and again.following
    (tmp_path / "bundle").mkdir()
    jobs.job.say("stopped", step=11, bundle="b", before=None, after={"liver": 0.7, "mean": 0.7}, better=None)
    jobs.job.state = "stopped"
    second.training.poll()
    assert again.state.phase is Phase.DONE and "0.700" in again.state.message


def test_a_job_cut_short_can_go_on_and_what_was_lost_leaves_the_curves(dock):
    controller, view, jobs = dock
    controller.training.start()
    for step in (10, 20):
        jobs.job.say("step", step=step, smoothed_loss=1.0, spent=0.1, seconds_left=90.0, memory_mb=1.0)
        jobs.job.say("validation", step=step, scores={"liver": 0.5, "mean": 0.5}, whole_bundle=False)
    jobs.job.state, jobs.job.message, jobs.job.resumable = "failed", "It ended without a word.", True
    controller.training.poll()
    assert view.state.phase is Phase.FAILED and "Resume" in view.state.message and not view.state.why_not
    controller.training.resume()
    jobs.job.say("start", cases=4, held_out=1, labels=["liver"], from_step=12)
    controller.training.poll()
    assert [step for step, _ in view.state.losses] == [point.step for point in view.state.validations] == [10]


def test_a_resume_that_fails_says_why_and_can_be_tried_again(dock):
    controller, view, jobs = dock
    controller.training.start()
    jobs.job.ends_paused()
    controller.training.poll()

    def refuse(to_finish):
        raise RecipeError("the data set is gone")

    jobs.job.resume = refuse
    controller.training.resume()
    assert view.state.phase is Phase.FAILED and "gone" in view.state.message and view.state.resumable


def test_every_label_has_its_curve_in_its_models_colour(dock):
    controller, view, jobs = dock
    pink = Labels((Label(1, "liver", "#FF00FF"), Label(2, "spleen", "#00FF00")))
    jobs.bundles = lambda: [
        SimpleNamespace(name="headneck", labels=NAMES),
        SimpleNamespace(name="phantom", labels=pink),
    ]
    controller.reload_bundles()
    controller.choose_base("phantom")
    controller.training.start()
    jobs.job.say("start", cases=4, held_out=1, labels=["liver", "spleen"], from_step=0)
    jobs.job.say("validation", step=5, scores={"liver": 0.6, "spleen": None, "mean": 0.6}, whole_bundle=False)
    controller.training.poll()
    assert view.state.labels == (("liver", "#FF00FF"), ("spleen", "#00FF00"))
    (point,) = view.state.validations
    assert (point.of("liver"), point.of("spleen"), point.of("mean")) == (0.6, None, 0.6)
    jobs.job.say("start", cases=4, held_out=1, labels=["thymus"], from_step=5)
    controller.training.poll()
    assert view.state.labels == (
        ("thymus", "#E69F00"),
    )  # what no model has: the first of Okabe and Ito's colours


def test_the_newest_picture_of_each_case_is_shown(dock, tmp_path):
    controller, view, jobs = dock
    controller.training.start()
    controller.training.poll()
    assert view.state.samples == ()
    (tmp_path / "samples").mkdir()
    for name in ("a-step-000010.png", "a-step-000200.png", "b-step-2-step-000010.png"):
        (tmp_path / "samples" / name).write_bytes(b"")
    jobs.job.say("validation", step=200, scores={"liver": 0.6, "mean": 0.6}, whole_bundle=False)
    controller.training.poll()
    assert [path.name for path in view.state.samples] == ["a-step-000200.png", "b-step-2-step-000010.png"]


def test_a_dock_that_was_closed_meanwhile_is_not_drawn_and_the_job_is_kept(viewer, tmp_path):
    view, jobs, waiting = FakeView(), FakeJobs(tmp_path), []

    def later(function, on_done, on_error):
        waiting.append(lambda: at_once(function, on_done, on_error))

    controller = FineTuneController(view, viewer, jobs, Preferences(), later)
    controller.training.start()
    controller.close()
    for work in waiting:
        work()
    assert view.state.phase is Phase.PREPARING and not view.following and view.state.recipes == ()
    assert Preferences().get("finetune", "job", "") == str(tmp_path)


def test_names_become_plain():
    assert plain(" my model/2 ") == "my-model-2" and plain("...") == "model"


def tiny_bundle(folder, tmp_path):
    """A model of a few thousand parameters that has seen two steps, in the user's store."""
    from ctseg_imaging.progress import finish
    from ctseg_models.bundles.store import add
    from ctseg_training.recipes import load_recipe
    from ctseg_training.run.engine import train

    recipe = load_recipe(
        "scn-segment",
        (
            "data.spacing_mm=[3, 3, 3]",
            "data.sizes={min: [16, 16, 16], max: [32, 32, 32], step: [8, 8, 8]}",
            "data.margin_mm=6",
            "budget={steps: 2}",
            "precision=fp32",
            "validation={share: 0, at_most: 1}",
            "schedule.warmup_steps=0",
            "workers=0",
            "network={kind: scn, levels: 2, filters: 4, spatial_levels: 1, spatial_filters: 4, norm: "
            "instance}",
            "sampling={mode: patch, size: [16, 16, 16], margin_mm: 6, near_distance_mm: [6, 6, 6]}",
        ),
    )
    path = finish(train(recipe, folder, tmp_path / "first", name="tiny", device="cpu"))
    path.rename(path.with_name("tiny"))
    return add(path.with_name("tiny"))


def test_a_real_job_from_open_layers_is_paused_resumed_and_stopped_and_its_model_is_in_run_model(
    make_plugin_viewer, qtbot, tmp_path
):
    from ctseg_models.bundles.store import list_bundles
    from napari_ctseg.docks.finetune.view import FineTuneDock

    write_dataset(tmp_path / "data", [case(seed) for seed in range(2)], NAMES, "balls")
    tiny_bundle(tmp_path / "data", tmp_path)
    viewer = make_plugin_viewer()
    for seed in range(3):  # three patients side by side, so each mask has its own image
        volume, mask = case(seed, origin=500.0 * seed)
        show_volume(viewer, volume, f"ct {seed}")
        show_labels(viewer, mask, f"mask {seed}")
    dock = FineTuneDock(viewer)
    viewer.window.add_dock_widget(dock, name="Fine-tune")
    controller = dock.controller
    controller.choose_base("tiny")
    assert dock.cases.count() == 3 and [row.mask for row in controller.state.cases] == [
        "mask 0",
        "mask 1",
        "mask 2",
    ]
    controller.choose(minutes=5.0)
    dock.go.click()
    qtbot.waitUntil(
        lambda: len(controller.state.losses) > 1 or controller.state.phase is Phase.FAILED, timeout=120_000
    )
    assert controller.state.phase is Phase.RUNNING, controller.state.message
    assert dock.stop.isEnabled() and not dock.go.isEnabled() and "is running" in dock.go.toolTip()
    dock.hold.click()
    qtbot.waitUntil(lambda: controller.state.phase is Phase.PAUSED, timeout=120_000)
    paused = controller.state
    assert (
        not (paused.job / "bundle").exists()
        and dock.hold.text() == "Resume"
        and dock.hold.isEnabled()
        and not dock.go.isEnabled()
    )
    dock.hold.click()
    qtbot.waitUntil(
        lambda: controller.state.step > paused.step or controller.state.phase is Phase.FAILED, timeout=120_000
    )
    assert controller.state.phase is Phase.RUNNING and controller.state.losses[:2] == paused.losses[:2], (
        controller.state.message
    )
    dock.stop.click()
    qtbot.waitUntil(lambda: not controller.state.busy, timeout=120_000)
    assert controller.state.phase is Phase.DONE, controller.state.message
    assert controller.state.better is not None and controller.state.scores[-1].label == "mean"
    assert (
        "tiny-tuned" in [bundle.name for bundle in list_bundles()]
        and free_name("tiny-tuned") == "tiny-tuned-2"
    )
    again = FineTuneController(FakeView(), viewer, TrainingJobs(), Preferences(), at_once)
    assert again.state.phase is Phase.DONE and again.state.added == "tiny-tuned" and again.state.losses


def test_opening_the_docks_imports_no_torch():
    import subprocess
    import sys

    code = (
        "import sys\nfrom napari.components import ViewerModel\nfrom qtpy.QtWidgets import QApplication\napp "
        "= QApplication([])\n"
        "from napari_ctseg.docks.compare.view import CompareDock\nfrom napari_ctseg.docks.correct.view "
        "import CorrectDock\n"
        "from napari_ctseg.docks.finetune.view import FineTuneDock\nviewer = ViewerModel()\n"
        "docks = [make(viewer) for make in (CompareDock, CorrectDock, FineTuneDock)]\nprint('torch' in "
        "sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert answer.stdout.split()[-1:] == ["False"], answer.stderr
