"""Recipes as the Fine-tune dock starts them, and its view: what is greyed, curves, pictures."""

from types import SimpleNamespace

import pytest

from ctseg_imaging.volume import Labels
from napari_ctseg.docks.finetune.jobs import Order, TrainingJobs, recipe_of
from napari_ctseg.docks.finetune.state import (
    CurvePoint,
    HoldOut,
    LearningCurves,
    Phase,
    RecipeRow,
    Score,
)
from napari_ctseg.docks.finetune.words import score_table
from tests.pace import PATIENCE_MS

LISTED = (
    RecipeRow("plain-2d", "A plain network (2D)"),
    RecipeRow("siamese", "Needs features", "MR", needs_features=True),
    RecipeRow("where", "Finds the box.", localises=True),
)


def order(recipe, hold_out=HoldOut.SHARE, features=None):
    return Order(None, None, None, "head", 45.0, hold_out, "mine", recipe, features)


def test_every_recipe_that_is_listed_starts_with_the_time_and_the_held_out_cases_asked_for():
    rows = TrainingJobs().recipes()
    assert {"ct-cues-nnunet-2d-small", "scn-localise", "siamese-denseunet"} <= {row.name for row in rows}
    assert "finetune" not in [row.name for row in rows]  # its network is a placeholder
    for row in rows:
        recipe = recipe_of(order(row.name))
        assert (recipe.budget.minutes, recipe.budget.steps, recipe.trainable) == (45, None, "all"), row
        assert (recipe.validation.share, recipe.validation.every_minutes, recipe.validation.every_steps) == (
            0.2,
            3,
            None,
        ), row
        assert (
            row.description
            and row.localises == ("localise" in row.name)
            and row.needs_features == ("siamese" in row.name)
        ), row


@pytest.mark.parametrize(
    ("hold_out", "split", "share"), [(HoldOut.VALIDATION, "validation", 0.2), (HoldOut.NONE, "training", 0)]
)
def test_held_out_cases_are_those_asked_for_also_where_the_recipe_names_others(hold_out, split, share):
    validation = recipe_of(order("headneck-segment", hold_out)).validation
    assert (validation.split, validation.cases) == (split, ())
    assert hold_out is HoldOut.VALIDATION or validation.share == share


def test_the_features_file_may_have_any_name(tmp_path):
    for name in ("vgg 19: #1.pth", 'a "quoted" \\ one.safetensors', "gewichte-größer.pth"):
        recipe = recipe_of(order("siamese-denseunet-small", features=tmp_path / name))
        assert recipe.content.features == str(tmp_path / name)


class Jobs:
    """Two models, three recipes, and a job with scripted events."""

    def __init__(self, folder):
        names = Labels.from_names({1: "liver", 2: "spleen"})
        self.job = SimpleNamespace(
            folder=folder, state="running", message="", resumable=False, events=lambda offset=0: iter(())
        )
        self.models = [
            SimpleNamespace(name="headneck", labels=names, path=folder),
            SimpleNamespace(name="phantom", labels=names),
        ]

    def bundles(self):
        return self.models

    def recipes(self):
        return LISTED

    def find(self, folder):
        return None


@pytest.fixture
def dock(make_plugin_viewer, qtbot, tmp_path):
    from napari_ctseg.docks.finetune.view import FineTuneDock

    viewer = make_plugin_viewer()
    dock = FineTuneDock(viewer, Jobs(tmp_path))
    viewer.window.add_dock_widget(dock, name="Fine-tune", area="right")
    qtbot.waitUntil(lambda: bool(dock.controller.state.start.recipes), timeout=PATIENCE_MS)
    return dock


def picture(path):
    from qtpy.QtGui import QColor, QPixmap

    path.parent.mkdir(exist_ok=True)
    pixmap = QPixmap(60, 40)
    pixmap.fill(QColor("#334455"))
    assert pixmap.save(str(path))
    return path


def test_the_view_shows_choices_curves_and_pictures(dock, qtbot, tmp_path):
    from dataclasses import replace

    from qtpy.QtCore import Qt

    controller = dock.controller
    entries = [dock.start.base.itemText(i) for i in range(dock.start.base.count())]
    assert entries == ["headneck", "phantom", *(f"From scratch: {row.name}" for row in LISTED)]
    assert dock.start.base.itemData(2, Qt.ItemDataRole.ToolTipRole) == "A plain network (2D)"

    dock.start.base.activated.emit(
        dock.start.base.findText("From scratch: where")
    )  # what a click on the entry does
    assert (
        not dock.options.trainable.enabled
        and "from scratch" in dock.options.trainable.tooltip
        and "one region" in dock.start.about.text()
    )
    assert dock.start.features.isHidden()
    dock.start.base.activated.emit(dock.start.base.findText("From scratch: siamese"))
    assert (
        not dock.start.features.isHidden()
        and not dock.job.go.isEnabled()
        and "VGG-19" in dock.job.go.toolTip()
        and "MR" in dock.start.about.text()
    )
    dock.start.base.activated.emit(dock.start.base.findText("phantom"))
    assert (
        dock.options.trainable.enabled
        and dock.start.features.isHidden()
        and dock.start.about.isHidden()
        and controller.state.start.base == "phantom"
    )
    dock.options.minutes.native.setValue(20)
    dock.options.new_name.native.setText("mine")
    dock.options.hold_out.native.setCurrentIndex(2)
    options = controller.state.options
    assert (options.minutes, options.name, options.hold_out) == (20.0, "mine", HoldOut.NONE)

    curves = LearningCurves(
        losses=((1, 2.0), (9, 1.0)),
        labels=(("liver", "#FF0000"), ("spleen", "#00FF00")),
        validations=(
            CurvePoint(4, (("liver", 0.25), ("spleen", None), ("mean", 0.25))),
            CurvePoint(9, (("liver", 0.5), ("spleen", 0.25), ("mean", 0.375))),
        ),
        samples=(
            picture(tmp_path / "samples/Doe^John-step-000009.png"),
            tmp_path / "samples/gone-step-000009.png",
        ),
    )
    running = replace(controller.state, phase=Phase.RUNNING, curves=curves)
    controller.state = running
    dock.show(running)
    lines = dock.learning.curves.lines
    assert list(lines) == ["mean", "liver", "spleen"]
    assert list(lines["liver"].getData()[1]) == [0.25, 0.5] and list(lines["liver"].getData()[0]) == [4, 9]
    assert (
        lines["liver"].opts["pen"].color().name() == "#ff0000"
        and lines["mean"].opts["pen"].width() > lines["liver"].opts["pen"].width()
    )
    legend = dock.learning.curves.legend.text()
    assert "#FF0000" in legend and "0.50" in legend and "<b>" in legend and "0.38" in legend
    assert dock.job.hold.isEnabled() and dock.job.hold.text() == "Pause"

    (thumbnail,) = dock.learning.samples.thumbnails  # the file that is gone is passed over
    assert "Doe" not in thumbnail.toolTip() and "after step 9" in thumbnail.toolTip()
    thumbnail.click()
    large = dock.learning.samples.large
    assert large.isVisible() and "Doe" not in large.windowTitle()
    large.close()
    qtbot.waitUntil(lambda: dock.learning.samples.large is None, timeout=PATIENCE_MS)

    only_after = score_table((Score("a<b", None, 0.5), Score("mean", None, 0.5)))
    both = score_table((Score("liver", 0.25, None), Score("mean", 0.25, None)))
    assert "before" not in only_after and "a&lt;b" in only_after and only_after.count("0.500") == 2
    assert "before" in both and both.count("0.250") == both.count("–") == 2

    job, no_pictures = replace(running.job, resumable=True), replace(curves, samples=())
    dock.show(replace(running, phase=Phase.PAUSED, job=job, curves=no_pictures))
    assert (
        dock.job.hold.text() == "Resume" and dock.learning.samples.isHidden() and not dock.job.bar.isHidden()
    )
    assert (
        not dock.options.new_name.enabled
        and "paused" in dock.options.new_name.tooltip
        and "from the checkpoint" in dock.job.stop.toolTip()
    )
    assert dock.minimumSizeHint().width() <= 320
