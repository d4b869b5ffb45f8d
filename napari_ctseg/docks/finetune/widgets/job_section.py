"""The training itself: start, pause and stop it, and see where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QProgressBar

from napari_ctseg import parts
from napari_ctseg.docks.finetune import words
from napari_ctseg.docks.finetune.state import Phase

if TYPE_CHECKING:
    from napari_ctseg.docks.finetune.controller import FineTuneController
    from napari_ctseg.docks.finetune.state import FineTuneState

WHOLE = 1000  # of the bar


class JobSection(parts.Section):
    """Three buttons, the bar and the line about the stage."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.hold = parts.button("Start", words.START), parts.button("Pause", words.PAUSE)
        self.stop, self.stage = parts.button("Stop", words.STOP), parts.text()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.stack(parts.row(self.go, self.hold, self.stop), self.bar, self.stage)

    def connect_to(self, controller: FineTuneController) -> None:
        """Pass clicks on to `controller`."""
        self.go.clicked.connect(controller.training.start)
        self.hold.clicked.connect(lambda: _pause_or_resume(controller))
        self.stop.clicked.connect(controller.training.stop)

    def draw(self, state: FineTuneState) -> None:
        """Show what can be done, and the progress of a training that runs or is paused."""
        self._draw_buttons(state)
        shown, spent = state.busy or state.phase is Phase.PAUSED, state.job.spent
        self.bar.setVisible(shown)
        self.bar.setMaximum(0 if spent is None else WHOLE)
        self.bar.setValue(round(WHOLE * (spent or 0)))
        parts.show_text(self.stage, words.progress(state) if shown else "")

    def _draw_buttons(self, state: FineTuneState) -> None:
        resumable = state.job.resumable
        parts.able(self.go, state.why_not, words.START)
        self.hold.setText("Resume" if resumable else "Pause")
        parts.able(
            self.hold, "" if resumable else state.why_no_pause, words.RESUME if resumable else words.PAUSE
        )
        stop = words.STOP_PAUSED if state.phase is Phase.PAUSED else words.STOP
        parts.able(self.stop, state.why_no_stop, stop)


def _pause_or_resume(controller: FineTuneController) -> None:
    training = controller.training
    training.resume() if controller.state.job.resumable else training.pause()
