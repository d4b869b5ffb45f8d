"""The Fine-tune dock in Qt: draws the state, hands clicks to the controller."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QLabel,
    QProgressBar,
)

from napari_ctseg import parts
from napari_ctseg.docks.finetune import words
from napari_ctseg.docks.finetune.controller import FineTuneController
from napari_ctseg.docks.finetune.jobs import Jobs, TrainingJobs
from napari_ctseg.docks.finetune.state import CaseSource, FineTuneState, Phase
from napari_ctseg.docks.finetune.widgets.case_list import CaseList
from napari_ctseg.docks.finetune.widgets.curves import Curves
from napari_ctseg.docks.finetune.widgets.samples import Samples
from napari_ctseg.docks.finetune.widgets.training_options import TrainingOptions
from napari_ctseg.preferences import Preferences

if TYPE_CHECKING:
    import napari

POLL_MS = 500
SCROLL_BAR = 24  # px
BASE = (
    "A model to train further, or a recipe to train a new network from scratch. TorchScript and ONNX files "
    "cannot be trained and are not listed."
)
FEATURES = (
    "The file with the VGG-19 weights (from torchvision, .pth or .safetensors) that this recipe's loss uses. "
    "It is not downloaded."
)
SOURCE = "The open layers: each image with its corrected mask. A dataset folder: one with dataset.json."
CASES = (
    "Tick the cases to train on. A class with no voxels is treated as not annotated, so the model does not "
    "forget it."
)
FOLDER = "A folder with dataset.json, images and labels (Medical Segmentation Decathlon, nnU-Net raw)."
SCRATCH = "From scratch: "


class FineTuneDock(parts.Dock):
    """Model, cases, what is trained, run, curves and verdict."""

    def __init__(self, viewer: napari.viewer.Viewer, jobs: Jobs | None = None) -> None:
        super().__init__()
        self._viewer = viewer
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._build()
        self.controller = FineTuneController(self, viewer, jobs or TrainingJobs(), Preferences())
        self._timer.timeout.connect(self.controller.training.poll)
        self._connect()

    # ---- building

    def _build(self) -> None:
        self.empty, self.warnings, self.message, self.stage = (
            parts.text(),
            parts.remark(),
            parts.text(),
            parts.text(),
        )
        self.base = parts.combo(BASE)
        self.about = parts.text()
        self.features = parts.button("VGG-19 weights…", FEATURES)
        self.features_name = parts.text()
        self.source = parts.combo(SOURCE, [source.value for source in CaseSource])
        self.cases = CaseList()
        self.cases.setToolTip(CASES)
        self.folder = parts.button("Choose folder…", FOLDER)
        self.folder_name = parts.text()
        self.options = TrainingOptions()
        self.go = parts.button("Start", "")
        self.hold = parts.button("Pause", "")
        self.stop = parts.button("Stop", "")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximum(1000)
        self.curves = Curves()
        self.samples = Samples()
        self.scores = QLabel()
        self.scores.setToolTip("Dice on the held-out cases, of the original and of the new model.")
        self.details = parts.button("Details…", "Shows the full error, for a report.")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("From", self.base)
        cases = QFormLayout()
        cases.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        cases.addRow("Cases", self.source)
        column = parts.scrolled(
            self,
            [
                self.empty,
                form,
                self.about,
                self.features,
                self.features_name,
                cases,
                self.cases,
                self.folder,
                self.folder_name,
                self.options.native,
                parts.row(self.go, self.hold, self.stop),
                self.bar,
                self.stage,
                self.curves,
                self.samples,
                self.scores,
                self.warnings,
                self.message,
                self.details,
            ],
        )
        column.addStretch()
        self._paint_theme()

    def _connect(self) -> None:
        controller = self.controller
        self.base.activated.connect(self._chosen)
        self.features.clicked.connect(self._ask_features)
        self.source.textActivated.connect(lambda words: controller.choose(source=CaseSource(words)))
        self.cases.ticked.connect(controller.tick)
        self.folder.clicked.connect(self._ask_folder)
        for option, field in (
            (self.options.trainable, "trainable"),
            (self.options.minutes, "minutes"),
            (self.options.hold_out, "hold_out"),
            (self.options.new_name, "name"),
        ):
            option.changed.connect(lambda value, field=field: controller.choose(**{field: value}))
        self.go.clicked.connect(controller.training.start)
        self.hold.clicked.connect(self._pause_or_resume)
        self.stop.clicked.connect(controller.training.stop)
        self.details.clicked.connect(
            lambda: parts.show_details(self, controller.state.message, controller.state.details)
        )
        self._viewer.events.theme.connect(self._paint_theme)

    def _pause_or_resume(self) -> None:
        training = self.controller.training
        training.resume() if self.controller.state.resumable else training.pause()

    def closed(self) -> None:
        """Stop following the job, which continues; the dock finds it again when it is opened."""
        self.controller.close()

    # ---- drawing

    def show(self, state: FineTuneState | None = None) -> None:
        """Draw `state`; without one, Qt's own show()."""
        if state is None:
            super().show()
            return
        layers = state.source is CaseSource.LAYERS
        parts.show_text(
            self.empty,
            "Correct a mask in Correct & export, then train a model on it here."
            if layers and not state.cases and not state.busy
            else "",
        )
        self._draw_choices(state, layers)
        self._draw_buttons(state)
        waiting = state.phase is Phase.PAUSED
        self.bar.setVisible(state.busy or waiting)
        self.bar.setMaximum(0 if state.spent is None else 1000)
        self.bar.setValue(round(1000 * (state.spent or 0)))
        parts.show_text(self.stage, words.progress(state) if state.busy or waiting else "")
        self.curves.setVisible(bool(state.losses or state.validations))
        self.curves.draw(state)
        self.samples.draw(state.samples)
        self.samples.setVisible(bool(state.samples))
        self.scores.setText(words.score_table(state))
        self.scores.setVisible(bool(state.scores))
        parts.show_text(self.warnings, "\n".join(state.warnings))
        parts.show_text(self.message, state.message)
        self.message.mark(state.phase is Phase.FAILED or state.better is False)
        self.details.setVisible(bool(state.details))

    def _draw_buttons(self, state: FineTuneState) -> None:
        parts.able(self.go, state.why_not, words.START)
        self.hold.setText("Resume" if state.resumable else "Pause")
        parts.able(
            self.hold,
            "" if state.resumable else state.why_no_pause,
            words.RESUME if state.resumable else words.PAUSE,
        )
        parts.able(
            self.stop, state.why_no_stop, words.STOP_PAUSED if state.phase is Phase.PAUSED else words.STOP
        )

    def _draw_choices(self, state: FineTuneState, layers: bool) -> None:
        busy = "A training is running." if state.busy else ""
        if state.phase is Phase.PAUSED:
            busy = "A training is paused."
        self._draw_base(state, busy)
        with QSignalBlocker(self.source):
            self.source.setCurrentText(state.source.value)
        self.options.draw(state, busy)
        self.cases.setVisible(layers and bool(state.cases) and not busy)  # the run needs the room
        self.folder.setVisible(not layers)
        parts.show_text(self.folder_name, "" if layers or state.folder is None else state.folder.name)
        self.cases.draw(state.cases)
        parts.able(self.source, busy, SOURCE)
        parts.able(self.cases, busy, CASES)
        parts.able(self.folder, busy, FOLDER)

    def _draw_base(self, state: FineTuneState, busy: str) -> None:
        """The models, then the recipes with their descriptions as tooltips."""
        entries = [*state.bundles, *(f"{SCRATCH}{row.name}" for row in state.recipes)]
        parts.fill(self.base, entries, state.base if state.recipe is None else f"{SCRATCH}{state.recipe}")
        for index, row in enumerate(state.recipes, len(state.bundles)):
            self.base.setItemData(index, row.description, Qt.ItemDataRole.ToolTipRole)
        self.base.view().setMinimumWidth(self.base.view().sizeHintForColumn(0) + SCROLL_BAR)
        parts.able(self.base, busy, BASE)
        parts.show_text(self.about, words.about(state.from_scratch))
        needed = state.from_scratch is not None and state.from_scratch.needs_features
        self.features.setVisible(needed)
        parts.able(self.features, busy, FEATURES)
        parts.show_text(
            self.features_name, state.features.name if needed and state.features is not None else ""
        )

    def follow(self, on: bool) -> None:
        """Start or stop polling the job."""
        self._timer.start() if on else self._timer.stop()

    def announce(self) -> None:
        """Refresh the list of models in an open Run model dock."""
        for widget in self._viewer.window.dock_widgets.values():
            look_again = getattr(getattr(widget, "controller", None), "reload_bundles", None)
            if look_again is not None and widget is not self:
                look_again()

    def _chosen(self, index: int) -> None:
        """The list has the models first, then the recipes."""
        state = self.controller.state
        if index < len(state.bundles):
            self.controller.choose_base(state.bundles[index])
        else:
            self.controller.choose_recipe(state.recipes[index - len(state.bundles)].name)

    def _ask_features(self) -> None:
        before = self.controller.state.features
        name, _ = QFileDialog.getOpenFileName(self, "VGG-19 weights", "" if before is None else str(before))
        if name:
            self.controller.choose(features=Path(name))

    def _ask_folder(self) -> None:
        before = self.controller.state.folder
        name = QFileDialog.getExistingDirectory(self, "Dataset folder", "" if before is None else str(before))
        if name:
            self.controller.choose(folder=Path(name))

    def _paint_theme(self, event: object = None) -> None:
        from napari.utils.theme import get_theme

        theme = get_theme(self._viewer.theme)
        self.curves.paint_theme(theme.background.as_hex(), theme.text.as_hex())
