"""The Fine-tune dock in Qt: draws the state, hands clicks to the controller."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtWidgets import QFileDialog, QFormLayout, QLabel, QLineEdit, QListWidget, QListWidgetItem, QProgressBar

from napari_ctseg.docks import parts
from napari_ctseg.docks.finetune.controller import FineTuneController
from napari_ctseg.docks.finetune.curves import Curves
from napari_ctseg.docks.finetune.jobs import Jobs, TrainingJobs
from napari_ctseg.docks.finetune.state import FineTuneState, HoldOut, Phase, Source, Trainable
from napari_ctseg.preferences import Preferences

if TYPE_CHECKING:
    import napari

POLL_MS = 500
WORDS = {Trainable.ALL: "Everything", Trainable.DECODER: "Decoder only", Trainable.HEAD: "Last layer only"}


class FineTuneDock(parts.Dock):
    """Model, cases, what is trained, run, curves, verdict."""

    def __init__(self, viewer: napari.viewer.Viewer, jobs: Jobs | None = None) -> None:
        super().__init__()
        self._viewer = viewer
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._build()
        self.controller = FineTuneController(self, viewer, jobs or TrainingJobs(), Preferences())
        self._timer.timeout.connect(self.controller.poll)
        self._connect()

    # ---- building

    def _build(self) -> None:
        self.empty, self.warnings, self.message, self.stage = parts.text(), parts.text(parts.AMBER), parts.text(), parts.text()
        self.base = parts.combo("The model to start from. TorchScript and ONNX files cannot be trained and are not listed.")
        self.source = parts.combo("The open layers: each image with its corrected mask. A dataset folder: with dataset.json.",
                                  [source.value for source in Source])
        self.cases = QListWidget()
        self.cases.setToolTip("Tick what to train on. A class without a voxel counts as not contoured, so that it is not unlearnt.")
        self.folder = parts.button("Choose folder…", "A folder with dataset.json, images and labels (Medical Segmentation Decathlon).")
        self.folder_name = parts.text()
        self.trainable = parts.combo("Everything learns most and forgets most; the last layer alone needs few cases.", list(WORDS.values()))
        self.minutes = parts.number("How long the training may take; scoring comes on top.", 0.5, 10000, 5, " min")
        self.hold_out = parts.combo("Cases that are not trained on: the score before and after is measured on them.",
                                    [choice.value for choice in HoldOut])
        self.name = QLineEdit()
        self.name.setToolTip("The new model's name; a name that is taken gets a number.")
        self.go = parts.button("Start", "")
        self.stop = parts.button("Stop", "")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximum(1000)
        self.curves = Curves()
        self.scores = QLabel()
        self.scores.setToolTip("Dice on the held-out cases: of the model you started from, and of the new one.")
        self.details = parts.button("Details…", "Shows what exactly went wrong, for a report.")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Start from", self.base)
        form.addRow("Cases", self.source)
        more = QFormLayout()
        more.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for words, widget in (("Train", self.trainable), ("Time", self.minutes), ("Hold out", self.hold_out), ("Name", self.name)):
            more.addRow(words, widget)
        column = parts.scrolled(self, [self.empty, form, self.cases, self.folder, self.folder_name, more, parts.row(self.go, self.stop),
                                       self.bar, self.stage, self.curves, self.scores, self.warnings, self.message, self.details])
        column.addStretch()
        self._paint_theme()

    def _connect(self) -> None:
        controller = self.controller
        self.base.textActivated.connect(controller.choose_base)
        self.source.textActivated.connect(lambda words: controller.choose(source=Source(words)))
        self.cases.itemChanged.connect(lambda item: controller.tick(item.data(Qt.ItemDataRole.UserRole),
                                                                    item.checkState() == Qt.CheckState.Checked))
        self.folder.clicked.connect(self._ask_folder)
        self.trainable.textActivated.connect(lambda words: controller.choose(trainable=next(k for k, v in WORDS.items() if v == words)))
        self.minutes.valueChanged.connect(lambda value: controller.choose(minutes=value))
        self.hold_out.textActivated.connect(lambda words: controller.choose(hold_out=HoldOut(words)))
        self.name.textEdited.connect(lambda words: controller.choose(name=words))
        self.go.clicked.connect(controller.start)
        self.stop.clicked.connect(controller.stop)
        self.details.clicked.connect(lambda: parts.show_details(self, controller.state.message, controller.state.details))
        self._viewer.events.theme.connect(self._paint_theme)

    def closed(self) -> None:
        """The job goes on; the dock finds it again when it is opened."""
        self.controller.close()

    # ---- drawing

    def show(self, state: FineTuneState | None = None) -> None:
        """Draw `state`; without one, Qt's own show()."""
        if state is None:
            super().show()
            return
        layers = state.source is Source.LAYERS
        parts.say(self.empty, "Correct a mask in Correct & export; what you corrected trains the next model here."
                  if layers and not state.cases and not state.busy else "")
        self._draw_choices(state, layers)
        parts.able(self.go, state.why_not,
                   "Writes the cases and starts the training in a process of its own; it goes on when napari is closed.")
        can_stop = "" if state.phase is Phase.RUNNING else "It is stopping." if state.phase is Phase.STOPPING else "Nothing runs."
        parts.able(self.stop, can_stop, "Ends after the current step; what was learnt so far becomes a model and is scored.")
        self.bar.setVisible(state.busy)
        self.bar.setMaximum(0 if state.spent is None else 1000)
        self.bar.setValue(round(1000 * (state.spent or 0)))
        parts.say(self.stage, _progress(state) if state.busy else "")
        self.curves.setVisible(bool(state.losses or state.validations))
        self.curves.draw(state)
        self.scores.setText(_score_table(state))
        self.scores.setVisible(bool(state.scores))
        parts.say(self.warnings, "\n".join(state.warnings))
        parts.say(self.message, state.message)
        self.message.setStyleSheet(parts.AMBER if state.phase is Phase.FAILED or state.better is False else "")
        self.details.setVisible(bool(state.details))

    def _draw_choices(self, state: FineTuneState, layers: bool) -> None:
        busy = "A training is under way." if state.busy else ""
        parts.fill(self.base, state.bundles, state.base)
        for combo, words in ((self.source, state.source.value), (self.trainable, WORDS[state.trainable]),
                             (self.hold_out, state.hold_out.value)):
            with QSignalBlocker(combo):
                combo.setCurrentText(words)
        self.hold_out.model().item(1).setEnabled(not layers)
        with QSignalBlocker(self.minutes):
            self.minutes.setValue(state.minutes)
        if self.name.text() != state.name:
            self.name.setText(state.name)
        self.cases.setVisible(layers and bool(state.cases))
        self.folder.setVisible(not layers)
        parts.say(self.folder_name, "" if layers or state.folder is None else state.folder.name)
        self._draw_cases(state)
        none = state.why_not if not state.bundles else ""
        parts.able(self.base, busy or none, "The model to start from. TorchScript and ONNX files cannot be trained and are not listed.")
        parts.able(self.source, busy, "The open layers: each image with its corrected mask. A dataset folder: with dataset.json.")
        parts.able(self.cases, busy, "Tick what to train on. A class without a voxel counts as not contoured, so that it is not unlearnt.")
        parts.able(self.folder, busy, "A folder with dataset.json, images and labels (Medical Segmentation Decathlon).")
        parts.able(self.trainable, busy, "Everything learns most and forgets most; the last layer alone needs few cases.")
        parts.able(self.minutes, busy, "How long the training may take; scoring comes on top.")
        parts.able(self.hold_out, busy, "Cases that are not trained on: the score before and after is measured on them.")
        parts.able(self.name, busy, "The new model's name; a name that is taken gets a number.")

    def _draw_cases(self, state: FineTuneState) -> None:
        with QSignalBlocker(self.cases):
            self.cases.clear()
            for case in state.cases:
                item = QListWidgetItem(f"{case.image} ← {case.mask}", self.cases)
                item.setData(Qt.ItemDataRole.UserRole, case.image)
                item.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled)
                item.setCheckState(Qt.CheckState.Checked if case.ticked else Qt.CheckState.Unchecked)
                item.setToolTip(f"Image \"{case.image}\" with the mask \"{case.mask}\" on its grid.")
            self.cases.setFixedHeight(min(4, max(1, len(state.cases))) * max(20, self.cases.sizeHintForRow(0)) + 6)

    def follow(self, on: bool) -> None:
        """Poll the job, or no longer."""
        self._timer.start() if on else self._timer.stop()

    def announce(self) -> None:
        """Have an open Run model dock look again."""
        for widget in self._viewer.window.dock_widgets.values():
            look_again = getattr(getattr(widget, "controller", None), "reload_bundles", None)
            if look_again is not None and widget is not self:
                look_again()

    def _ask_folder(self) -> None:
        before = self.controller.state.folder
        name = QFileDialog.getExistingDirectory(self, "Dataset folder", "" if before is None else str(before))
        if name:
            self.controller.choose(folder=Path(name))

    def _paint_theme(self, event: object = None) -> None:
        from napari.utils.theme import get_theme

        theme = get_theme(self._viewer.theme)
        self.curves.paint_theme(theme.background.as_hex(), theme.text.as_hex())


def _progress(state: FineTuneState) -> str:
    """Stage, time left, memory."""
    said = [state.stage]
    if state.seconds_left is not None and state.phase is Phase.RUNNING:
        said.append(f"{state.seconds_left:.0f} s left" if state.seconds_left < 90 else f"{state.seconds_left / 60:.0f} min left")
    if state.memory_mb is not None:
        said.append(f"{state.memory_mb / 1000:.1f} GB")
    return " – ".join(filter(None, said))


def _score_table(state: FineTuneState) -> str:
    """Labels with their Dice before and after, the mean in bold."""
    def cell(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    lines = []
    for score in state.scores:
        name, before, after = score.label, cell(score.before), cell(score.after)
        if name == "mean":
            name, before, after = f"<b>{name}</b>", f"<b>{before}</b>", f"<b>{after}</b>"
        lines.append(f"<tr><td>{name}&nbsp;&nbsp;</td><td align='right'>&nbsp;{before}&nbsp;</td><td align='right'>&nbsp;{after}</td></tr>")
    return f"<table><tr><td>held-out Dice</td><td align='right'>before</td><td align='right'>&nbsp;after</td></tr>{''.join(lines)}</table>"
