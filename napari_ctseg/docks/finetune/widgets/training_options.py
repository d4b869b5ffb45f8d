"""The options of a training: what is trained, for how long, what is held out, and the new model's name."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import ComboBox, Container, FloatSpinBox, LineEdit, Widget
from qtpy.QtCore import QSignalBlocker

from napari_ctseg.docks.finetune import words
from napari_ctseg.docks.finetune.state import CaseSource, FineTuneState, HoldOut, Trainable

MINUTES = "Time for training; the evaluation takes additional time."
HOLD_OUT = "Cases that are not trained on, used to evaluate the model before and after training."
NAME = "The name of the new model; a number is added if it is taken."
TRAINABLES = {
    Trainable.ALL: "Everything",
    Trainable.DECODER: "Decoder only",
    Trainable.HEAD: "Last layer only",
}


class TrainingOptions(Container):  # type: ignore[type-arg]
    """Four fields, each named as the state's field that it sets."""

    def __init__(self) -> None:
        self.trainable = ComboBox(
            name="trainable", label="Train", choices=[(text, value) for value, text in TRAINABLES.items()]
        )
        self.minutes = FloatSpinBox(name="minutes", label="Time (min)", min=0.5, max=10_000, step=5)
        self.hold_out = ComboBox(
            name="hold_out", label="Hold out", choices=[(choice.value, choice) for choice in HoldOut]
        )
        self.new_name = LineEdit(name="new_name", label="Name")
        super().__init__(widgets=[self.trainable, self.minutes, self.hold_out, self.new_name])
        self.margins = (0, 0, 0, 0)
        self.minutes.native.setKeyboardTracking(False)

    def draw(self, state: FineTuneState, busy: str) -> None:
        """Show the state's choices. busy : why nothing can be changed, "" if it can."""
        scratch = "" if state.from_scratch is None else words.FROM_SCRATCH
        _set(self.trainable, Trainable.ALL if scratch else state.trainable)
        _set(self.minutes, state.minutes)
        _set(self.hold_out, state.hold_out)
        _set(self.new_name, state.name)
        validation = list(HoldOut).index(HoldOut.VALIDATION)
        self.hold_out.native.model().item(validation).setEnabled(state.source is not CaseSource.LAYERS)
        _enable(self.trainable, busy or scratch, words.TRAINABLE)
        _enable(self.minutes, busy, MINUTES)
        _enable(self.hold_out, busy, HOLD_OUT)
        _enable(self.new_name, busy, NAME)


def _set(widget: Any, value: Any) -> None:
    """Set a value without a signal; one that is shown already keeps the cursor in its place."""
    if widget.value != value:
        with widget.changed.blocked(), QSignalBlocker(widget.native):
            widget.value = value


def _enable(widget: Widget, why_not: str, tip: str) -> None:
    widget.enabled = not why_not
    widget.tooltip = why_not or tip
