"""The training that the Fine-tune dock follows: paused, resumed, stopped, found again; a real job too."""

from dataclasses import replace
from types import SimpleNamespace

from ctseg_imaging.errors import RecipeError
from ctseg_imaging.volume import Label, Labels
from napari_ctseg.docks.finetune.cases import write_dataset
from napari_ctseg.docks.finetune.controller import FineTuneController
from napari_ctseg.docks.finetune.jobs import TrainingJobs, free_name, plain
from napari_ctseg.docks.finetune.news import CHECKING
from napari_ctseg.docks.finetune.state import (
    Phase,
)
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.showing import show_labels, show_volume
from tests.plugin.docks.finetune.fakes import NAMES, FakeJobs, FakeView, case
from tests.plugin.workers import at_once


def test_checking_the_data_is_said_until_the_training_begins(dock):
    controller, view, jobs = dock
    controller.training.start()
    controller.training.poll()
    assert view.state.job.stage == CHECKING
    jobs.job.say("start", cases=4, held_out=1, labels=["liver", "spleen"], from_step=0)
    controller.training.poll()
    assert "4 cases" in view.state.job.stage


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
        and view.state.job.resumable
        and not view.following
        and view.state.job.spent == 0.25
    )
    assert "paused" in view.state.why_not and view.state.outcome.added is None and view.announced == 0
    controller.training.resume()
    assert (
        jobs.job.resumed == [False]
        and view.state.phase is Phase.RUNNING
        and view.following
        and not view.state.job.resumable
    )
    jobs.job.say("start", cases=4, held_out=1, labels=["liver", "spleen"], from_step=10)
    jobs.job.say("step", step=11, smoothed_loss=1.4, spent=0.3, seconds_left=80.0, memory_mb=1.0)
    controller.training.poll()
    assert view.state.curves.losses == ((10, 1.5), (11, 1.4)) and view.state.job.stage == "Step 11"


def test_a_paused_job_is_found_again_and_stop_makes_a_model_of_it(dock, viewer, tmp_path):
    controller, _, jobs = dock
    controller.training.start()
    jobs.job.say("step", step=10, smoothed_loss=1.5, spent=0.25, seconds_left=90.0, memory_mb=1.0)
    jobs.job.ends_paused()
    controller.close()
    again, found = FakeView(), FakeJobs(tmp_path)
    found.found = jobs.job
    second = FineTuneController(again, viewer, found, Preferences(), at_once)
    assert (
        again.state.phase is Phase.PAUSED
        and again.state.curves.losses == ((10, 1.5),)
        and not again.following
    )
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
    assert (
        [step for step, _ in view.state.curves.losses]
        == [point.step for point in view.state.curves.validations]
        == [10]
    )


def test_a_resume_that_fails_says_why_and_can_be_tried_again(dock):
    controller, view, jobs = dock
    controller.training.start()
    jobs.job.ends_paused()
    controller.training.poll()

    def refuse(to_finish):
        raise RecipeError("the data set is gone")

    jobs.job.resume = refuse
    controller.training.resume()
    assert view.state.phase is Phase.FAILED and "gone" in view.state.message and view.state.job.resumable


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
    assert view.state.curves.labels == (("liver", "#FF00FF"), ("spleen", "#00FF00"))
    (point,) = view.state.curves.validations
    assert (point.of("liver"), point.of("spleen"), point.of("mean")) == (0.6, None, 0.6)
    jobs.job.say("start", cases=4, held_out=1, labels=["thymus"], from_step=5)
    controller.training.poll()
    assert view.state.curves.labels == (
        ("thymus", "#E69F00"),
    )  # what no model has: the first of Okabe and Ito's colours


def test_the_newest_picture_of_each_case_is_shown(dock, tmp_path):
    controller, view, jobs = dock
    controller.training.start()
    controller.training.poll()
    assert view.state.curves.samples == ()
    (tmp_path / "samples").mkdir()
    for name in ("a-step-000010.png", "a-step-000200.png", "b-step-2-step-000010.png"):
        (tmp_path / "samples" / name).write_bytes(b"")
    jobs.job.say("validation", step=200, scores={"liver": 0.6, "mean": 0.6}, whole_bundle=False)
    controller.training.poll()
    assert [path.name for path in view.state.curves.samples] == [
        "a-step-000200.png",
        "b-step-2-step-000010.png",
    ]


def test_a_dock_that_was_closed_meanwhile_is_not_drawn_and_the_job_is_kept(viewer, tmp_path):
    view, jobs, waiting = FakeView(), FakeJobs(tmp_path), []

    def later(function, on_done, on_error):
        waiting.append(lambda: at_once(function, on_done, on_error))

    controller = FineTuneController(view, viewer, jobs, Preferences(), later)
    controller.training.start()
    controller.close()
    for work in waiting:
        work()
    assert view.state.phase is Phase.PREPARING and not view.following and view.state.start.recipes == ()
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
    assert dock.cases.list.count() == 3 and [row.mask for row in controller.state.cases.rows] == [
        "mask 0",
        "mask 1",
        "mask 2",
    ]
    controller.choose_options(replace(controller.state.options, minutes=5.0))
    dock.job.go.click()
    qtbot.waitUntil(
        lambda: len(controller.state.curves.losses) > 1 or controller.state.phase is Phase.FAILED,
        timeout=120_000,
    )
    assert controller.state.phase is Phase.RUNNING, controller.state.message
    assert dock.job.stop.isEnabled() and not dock.job.go.isEnabled() and "is running" in dock.job.go.toolTip()
    dock.job.hold.click()
    qtbot.waitUntil(lambda: controller.state.phase is Phase.PAUSED, timeout=120_000)
    paused = controller.state
    assert (
        not (paused.job.folder / "bundle").exists()
        and dock.job.hold.text() == "Resume"
        and dock.job.hold.isEnabled()
        and not dock.job.go.isEnabled()
    )
    dock.job.hold.click()
    qtbot.waitUntil(
        lambda: controller.state.job.step > paused.job.step or controller.state.phase is Phase.FAILED,
        timeout=120_000,
    )
    assert (
        controller.state.phase is Phase.RUNNING
        and controller.state.curves.losses[:2] == paused.curves.losses[:2]
    ), controller.state.message
    dock.job.stop.click()
    qtbot.waitUntil(lambda: not controller.state.busy, timeout=120_000)
    assert controller.state.phase is Phase.DONE, controller.state.message
    assert controller.state.outcome.better is not None and controller.state.outcome.scores[-1].label == "mean"
    assert (
        "tiny-tuned" in [bundle.name for bundle in list_bundles()]
        and free_name("tiny-tuned") == "tiny-tuned-2"
    )
    again = FineTuneController(FakeView(), viewer, TrainingJobs(), Preferences(), at_once)
    assert (
        again.state.phase is Phase.DONE
        and again.state.outcome.added == "tiny-tuned"
        and again.state.curves.losses
    )


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
