"""The Fine-tune dock in Qt: draws the state, hands clicks to the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_ctseg import parts
from napari_ctseg.docks.finetune.controller import FineTuneController
from napari_ctseg.docks.finetune.jobs import Jobs, TrainingJobs
from napari_ctseg.docks.finetune.state import CaseSource, FineTuneState, Phase
from napari_ctseg.docks.finetune.widgets.base_section import BaseSection
from napari_ctseg.docks.finetune.widgets.case_section import CaseSection
from napari_ctseg.docks.finetune.widgets.job_section import JobSection
from napari_ctseg.docks.finetune.widgets.learning_section import LearningSection
from napari_ctseg.docks.finetune.widgets.training_options import TrainingOptions
from napari_ctseg.preferences import Preferences

if TYPE_CHECKING:
    import napari

POLL_MS = 500
EMPTY = "Correct a mask in Correct & export, then train a model on it here."


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

    def _build(self) -> None:
        self.empty, self.message = parts.text(), parts.Message()
        self.start, self.cases, self.options = BaseSection(), CaseSection(), TrainingOptions()
        self.job, self.learning = JobSection(), LearningSection()
        chosen = [self.start, self.cases, self.options.native]
        parts.scrolled(self, [self.empty, *chosen, self.job, self.learning, self.message]).addStretch(1)
        self._paint_theme()

    def _connect(self) -> None:
        for section in (self.start, self.cases, self.options, self.job):
            section.connect_to(self.controller)
        self._viewer.events.theme.connect(self._paint_theme)

    def closed(self) -> None:
        """Stop following the job, which continues; the dock finds it again when it is opened."""
        self.controller.close()

    # ---- drawing

    def show(self, state: FineTuneState | None = None) -> None:
        """Draw `state`; without one, Qt's own show()."""
        if state is None:
            super().show()
            return
        none = state.cases.source is CaseSource.LAYERS and not state.cases.rows and not state.busy
        parts.show_text(self.empty, EMPTY if none else "")
        self.start.draw(state.start, state.why_no_choice)
        self.cases.draw(state.cases, state.why_no_choice)
        self.options.draw(state)
        self.job.draw(state)
        self.learning.draw(state.curves, state.outcome)
        bad = state.phase is Phase.FAILED or state.outcome.better is False
        self.message.draw(state.message, state.details, remark=bad)

    def follow(self, on: bool) -> None:
        """Start or stop polling the job."""
        self._timer.start() if on else self._timer.stop()

    def announce(self) -> None:
        """Refresh the list of models in an open Run model dock."""
        for widget in self._viewer.window.dock_widgets.values():
            look_again = getattr(getattr(widget, "controller", None), "reload_bundles", None)
            if look_again is not None and widget is not self:
                look_again()

    def _paint_theme(self, event: object = None) -> None:
        from napari.utils.theme import get_theme

        theme = get_theme(self._viewer.theme)
        self.learning.curves.paint_theme(theme.background.as_hex(), theme.text.as_hex())
