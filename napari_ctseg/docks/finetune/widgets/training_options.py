"""The options of a training: what is trained, for how long, what is held out, and the new model's name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox, LineEdit

from napari_ctseg.docks.finetune import words
from napari_ctseg.docks.finetune.state import CaseSource, FineTuneState, HoldOut, Trainable
from napari_ctseg.docks.widgets import form

if TYPE_CHECKING:
    from napari_ctseg.docks.finetune.controller import FineTuneController

MINUTES = "Time for training; the evaluation takes additional time."
HOLD_OUT = "Cases that are not trained on, used to evaluate the model before and after training."
NAME = "The name of the new model; a number is added if it is taken."
TRAINABLES = {
    Trainable.ALL: "Everything",
    Trainable.DECODER: "Decoder only",
    Trainable.HEAD: "Last layer only",
}


class TrainingOptions(form.Form):
    """A field for each of the state's options."""

    def __init__(self) -> None:
        self.trainable = ComboBox(
            name="trainable", label="Train", choices=[(text, value) for value, text in TRAINABLES.items()]
        )
        self.minutes = form.number("minutes", 0.5, 10_000, 5, decimals=2)
        self.minutes.label = "Time (min)"
        self.hold_out = ComboBox(
            name="hold_out", label="Hold out", choices=[(choice.value, choice) for choice in HoldOut]
        )
        self.new_name = LineEdit(name="new_name", label="Name")
        super().__init__(self.trainable, self.minutes, self.hold_out, self.new_name)

    def connect_to(self, controller: FineTuneController) -> None:
        """Pass changes on to `controller`."""
        for field, name in (
            (self.trainable, "trainable"),
            (self.minutes, "minutes"),
            (self.hold_out, "hold_out"),
            (self.new_name, "name"),
        ):
            field.changed.connect(
                lambda value, name=name: controller.choose_options(
                    replace(controller.state.options, **{name: value})
                )
            )

    def draw(self, state: FineTuneState) -> None:
        """Show the state's choices."""
        busy, options = state.why_no_choice, state.options
        scratch = "" if state.start.from_scratch is None else words.FROM_SCRATCH
        form.show(self.trainable, Trainable.ALL if scratch else options.trainable)
        form.show(self.minutes, options.minutes)
        form.show(self.hold_out, options.hold_out)
        form.show(self.new_name, options.name)
        validation = list(HoldOut).index(HoldOut.VALIDATION)
        listed = state.cases.source is CaseSource.FOLDER
        self.hold_out.native.model().item(validation).setEnabled(listed)
        form.able(self.trainable, busy or scratch, words.TRAINABLE)
        form.able(self.minutes, busy, MINUTES)
        form.able(self.hold_out, busy, HOLD_OUT)
        form.able(self.new_name, busy, NAME)
