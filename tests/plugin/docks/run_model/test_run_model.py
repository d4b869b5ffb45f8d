from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from ctseg_imaging.errors import BundleError
from ctseg_models.contract.run_warning import RunWarning, WarningKind
from napari_ctseg.docks.run_model.controller import RunModelController
from napari_ctseg.docks.run_model.library.card import first_paragraph
from napari_ctseg.docks.run_model.run.box import drawn_box
from napari_ctseg.docks.run_model.state import Combine, Phase, RegionChoice
from napari_ctseg.docks.run_model.words import duration, expected
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.layers import label_map_of, source_of
from napari_ctseg.viewer.showing import show_volume
from napari_ctseg.viewer.study import study_of
from tests.plugin.run_model_fakes import FakeView, Later


@pytest.fixture
def made(tmp_path, volume, fakes):
    def make(models=None, image=True):
        viewer, now = ViewerModel(), [0.0]
        preferences = Preferences(tmp_path / "p.json")
        controller = RunModelController(
            FakeView(), viewer, models or fakes.Models(), preferences, Later(), lambda: now[0]
        )
        if image:
            show_volume(viewer, volume, "ct")
        controller.now = now
        return controller, viewer

    return make


def test_without_an_image_the_dock_says_what_to_do(made):
    controller, _ = made(image=False)
    assert controller.view.state.why_not == "Open an image first."
    controller.run()
    assert controller.view.state.message == "Open an image first." and not controller.runner.tasks


def test_models_are_listed_with_what_they_say_about_the_image(made):
    controller, _ = made()
    state = controller.view.state
    assert [info.name for info in state.bundles] == ["abdomen", "headneck"] and state.chosen == ("abdomen",)
    assert state.bundles[0].about == "Trained on phantoms." and state.bundles[0].labels == ("liver", "spleen")
    assert state.warnings == ()
    controller.choose_bundles(["headneck"])
    assert controller.view.state.warnings == ("The image has no values below -200.",)


def test_a_run_adds_labels_named_after_the_model_on_the_images_grid(made, volume):
    controller, viewer = made()
    controller.run()
    assert controller.view.state.phase is Phase.WAITING
    controller.runner.finish()
    assert [layer.name for layer in viewer.layers] == ["ct", "abdomen", "abdomen box"]
    found = label_map_of(viewer.layers["abdomen"])
    assert found.array.dtype == np.uint8 and found.labels.name(2) == "spleen"
    np.testing.assert_array_equal(found.array, volume.array > 0)
    np.testing.assert_array_equal(found.geometry.affine_lps, volume.geometry.affine_lps)
    assert source_of(viewer.layers["abdomen"]).provenance["bundles"] == ["abdomen"]
    assert study_of(viewer).prediction == "abdomen"
    assert controller.view.state.phase is Phase.DONE
    assert controller.view.state.summary.cautions == (RunWarning(WarningKind.IMAGE, "Look with care."),)


def test_progress_rises_and_time_left_follows_the_share(made):
    controller, _ = made()
    controller.run()
    shares = []
    for seconds in (2.0, 3.0, 9.0):
        controller.now[0] = seconds
        controller.runner.step()
        shares.append(controller.view.state.progress.share)
    assert shares == pytest.approx([0.0, 0.15, 0.9])
    assert controller.view.state.progress.seconds_left == pytest.approx(1.0)  # 9 s for nine tenths


def test_an_ensemble_runs_through_all_models_and_its_bar_never_falls(made, fakes):
    models = fakes.Models()
    controller, viewer = made(models)
    controller.choose_bundles(["headneck", "abdomen"])
    controller.choose(combine=Combine.VOTE)
    controller.run()
    controller.runner.finish()
    shares = [state.progress.share for state in controller.view.states if state.phase is Phase.RUNNING]
    assert len(shares) == 6 and shares == sorted(shares) and shares[3] >= 0.5
    assert [bundle.name for bundle in models.requests[0].bundles] == ["abdomen", "headneck"]
    assert viewer.layers[1].name == "vote of abdomen, headneck"


def test_cancel_is_ready_at_once_and_drops_the_result(made):
    controller, viewer = made()
    controller.run()
    controller.runner.step()
    controller.cancel()
    assert (
        controller.runner.tasks[-1].cancelled and not controller.view.state.busy and len(viewer.layers) == 1
    )
    controller.run()
    assert len(controller.runner.tasks) == 2


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BundleError("abdomen: the hash is wrong; get it again."), "abdomen: the hash is wrong"),
        (RuntimeError("conv3d"), "RuntimeError"),
    ],
)
def test_an_error_is_a_sentence_with_details_behind_it(made, error, said, fakes):
    controller, viewer = made(fakes.Models(error=error))
    controller.run()
    controller.runner.finish()
    state = controller.view.state
    assert (
        state.phase is Phase.FAILED
        and said in state.message
        and "Traceback" not in state.message
        and "Traceback" in state.details
    )
    assert len(viewer.layers) == 1


def test_the_store_failing_is_told(made, fakes):
    controller, _ = made(fakes.Models(listing_error=BundleError("the folder is not readable.")))
    assert "the folder is not readable." in [state.message for state in controller.view.states]


def test_a_damaged_model_among_others_is_told(made):
    controller, _ = made(image=False)
    assert (
        controller.view.state.message == "broken: is damaged; get it again."
        and len(controller.view.state.bundles) == 2
    )


def test_the_estimate_is_shown_and_dropped_when_a_choice_changes(made):
    controller, _ = made()
    controller.estimate()
    controller.runner.finish()
    assert expected(controller.view.state) == "Expected: 12 s, 1.5 GB of memory."
    controller.run()
    controller.now[0] = 2.0
    controller.runner.step()
    assert controller.view.state.progress.seconds_left == pytest.approx(10.0)
    controller.cancel()
    controller.choose(precision="fp32")
    assert controller.view.state.estimate is None and expected(controller.view.state) == ""


def test_a_run_ends_what_is_still_being_worked_out(made):
    controller, _ = made()
    controller.estimate()
    state = controller.view.state
    assert state.estimating and expected(state) == "Working out time and memory…"
    controller.run()
    assert (
        controller.runner.tasks[0].cancelled
        and not controller.view.state.estimating
        and expected(controller.view.state) == ""
    )


def test_an_empty_result_is_said(made, volume):
    controller, viewer = made(image=False)
    show_volume(viewer, replace(volume, array=np.full_like(volume.array, -9)), "ct")
    controller.run()
    controller.runner.finish()
    assert controller.view.state.message.endswith('"abdomen". No label was found: the layer is empty.')


def test_without_a_choice_a_model_that_asks_first_is_not_ticked(made, fakes):
    class Asking(fakes.Models):
        def bundles(self):
            found, faults = super().bundles()
            found[0].needs_trust = ("scripts.net.Net",)
            return found, faults

    controller, _ = made(Asking())
    assert controller.view.state.chosen == ("headneck",)


def test_choices_are_remembered(made):
    controller, _ = made()
    controller.choose_bundles(["headneck"])
    controller.choose(precision="fp32", edge_map=True, entropy=True)
    controller.run()
    again, _ = made()
    assert (
        again.state.chosen,
        again.state.options.precision,
        again.state.options.edge_map,
        again.state.options.entropy,
    ) == (
        ("headneck",),
        "fp32",
        True,
        True,
    )


def test_a_drawn_box_needs_a_shape(made):
    controller, viewer = made()
    controller.choose(region=RegionChoice.BOX)
    assert "Draw a box first" in controller.view.state.why_not
    layer = viewer.layers["ct"]
    low, high = layer.data_to_world((3, 2, 1)), layer.data_to_world((3, 5, 6))
    viewer.add_shapes(
        [np.array([low, (low[0], low[1], high[2]), high, (low[0], high[1], low[2])])],
        shape_type="rectangle",
        name="mine",
    )
    controller.refresh()
    assert controller.view.state.options.box == "mine"
    controller.run()
    assert next(controller.runner.tasks[-1].work).stage == "load"
    assert controller.models.requests[0].box == (
        (0, 2, 1),
        (7, 6, 7),
    )  # no extent along z: all of it; voxel centres 2..5 and 1..6


def test_rectangles_in_two_planes_make_a_box(made, volume):
    _, viewer = made()
    layer = viewer.layers["ct"]
    flat = np.array([layer.data_to_world(p) for p in [(3, 2, 1), (3, 2, 6), (3, 5, 6), (3, 5, 1)]])
    upright = np.array([layer.data_to_world(p) for p in [(1, 4, 2), (1, 4, 5), (5, 4, 5), (5, 4, 2)]])
    shapes = viewer.add_shapes([flat, upright], shape_type="rectangle")
    assert drawn_box(shapes, volume.geometry) == ((1, 2, 1), (6, 6, 7))


def test_drawing_starts_in_millimetres_and_counts_as_soon_as_there_is_a_shape(made):
    controller, viewer = made()
    controller.draw_box()
    layer = viewer.layers["region"]
    assert layer.mode == "add_rectangle" and {str(unit) for unit in layer.units} == {"millimeter"}
    assert (
        controller.view.state.options.region is RegionChoice.BOX
        and controller.view.state.why_not == "Draw a box first."
    )
    layer.add_rectangles(np.array([(3, 2, 1), (3, 2, 6), (3, 5, 6), (3, 5, 1)]))
    assert controller.view.state.options.box == "region" and controller.view.state.why_not == ""


def test_a_models_own_box_is_not_offered(made):
    controller, _ = made()
    controller.run()
    controller.runner.finish()
    assert controller.view.state.boxes == ()


def test_a_box_beside_the_image_is_refused(made):
    controller, viewer = made()
    far = np.array([(0, 500, 500), (0, 500, 600), (0, 600, 600), (0, 600, 500)], float)
    viewer.add_shapes([far], shape_type="rectangle", name="far")
    controller.choose(region=RegionChoice.BOX, box="far")
    controller.run()
    assert "outside" in controller.view.state.message and not controller.runner.tasks


def test_small_words():
    assert [duration(s) for s in (0.2, 12, 150, 7200)] == ["under a second", "12 s", "2 min", "2.0 h"]
    assert (
        first_paragraph("---\n# Title\n\n## Two\n\nfirst\nline\n\nsecond") == "first line"
        and first_paragraph("") == ""
        and first_paragraph("**Not** for `x`.") == "Not for x."
    )
