"""The Fine-tune dock with a fake job: cases, choices, and what it shows of a training."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ctseg_imaging import formats
from ctseg_imaging.errors import BundleError, RecipeError
from ctseg_imaging.volume import LabelMap, Labels
from napari_ctseg.docks.finetune.cases import write_dataset
from napari_ctseg.docks.finetune.controller import FineTuneController
from napari_ctseg.docks.finetune.state import (
    CaseSource,
    CurvePoint,
    HoldOut,
    Phase,
    Trainable,
)
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.showing import show_labels, show_volume
from tests.plugin.docks.finetune.fakes import (
    NAMES,
    RECIPES,
    FakeJobs,
    FakeView,
    case,
)
from tests.plugin.workers import at_once


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
        view.state.curves.losses == ((10, 1.5),)
        and view.state.job.seconds_left == 90
        and view.state.outcome.scores[0].before == 0.5
    )
    jobs.job.say("step", step=20, smoothed_loss=1.2, spent=0.5, seconds_left=60.0, memory_mb=1200.0)
    jobs.job.say("validation", step=20, scores={"liver": 0.6, "mean": 0.6}, whole_bundle=False)
    jobs.job.say("warning", message="one case is left out")
    controller.training.poll()
    assert view.state.curves.losses == ((10, 1.5), (20, 1.2)) and view.state.curves.validations == (
        CurvePoint(20, (("liver", 0.6), ("mean", 0.6))),
    )
    assert view.state.outcome.warnings == ("one case is left out",)


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
        and "mine" in view.state.start.bundles
        and view.state.start.base == "headneck"
    )
    assert (view.state.outcome.scores[1].before, view.state.outcome.scores[1].after) == (0.5, after)


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
    assert (
        again.state.phase is Phase.RUNNING and again.following and again.state.curves.losses == ((10, 1.5),)
    )
    second.training.stop()
    assert jobs.job.stopped


def test_why_start_is_grey(dock, viewer):
    controller, view, jobs = dock
    controller.choose_source(CaseSource.FOLDER)
    assert "folder" in view.state.why_not
    controller.choose_source(CaseSource.LAYERS)
    controller.choose_options(replace(view.state.options, name=" "))
    assert "name" in view.state.why_not
    controller.tick("ct", False)
    assert "Tick" in view.state.why_not
    viewer.layers.clear()
    assert "Open an image" in view.state.why_not
    jobs.names = []
    controller.reload_bundles()
    assert "Choose a model" in view.state.why_not


def test_choices_reach_the_order(dock, tmp_path):
    controller, view, jobs = dock
    controller.choose_base("phantom")
    controller.choose_source(CaseSource.FOLDER)
    controller.choose_folder(tmp_path)
    controller.choose_options(
        replace(view.state.options, trainable=Trainable.HEAD, minutes=2.0, hold_out=HoldOut.VALIDATION)
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
    assert (
        view.state.start.base is None
        and view.state.options.name == "plain-2d"
        and view.state.start.from_scratch == RECIPES[0]
    )
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
    controller.choose_features(tmp_path / "vgg19.pth")
    assert not view.state.why_not
    controller.training.start()
    assert jobs.order.features == tmp_path / "vgg19.pth"
    jobs.job.state = "failed"
    controller.training.poll()
    controller.choose_base("phantom")
    assert (
        view.state.start.recipe is None
        and view.state.start.from_scratch is None
        and view.state.options.name == "phantom-tuned"
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
    assert view.state.start.recipe == "plain-2d" and not view.state.why_not
