"""The training of the Fine-tune dock: start, pause, resume and stop it, and follow it in its folder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ctseg_imaging.errors import CtsegError
from napari_ctseg.background.threads import ThreadedCall
from napari_ctseg.docks.dock_controller import DockController, DockView
from napari_ctseg.docks.finetune.jobs import Jobs, Order, RunningJob, model_of
from napari_ctseg.docks.finetune.news import CHECKING, after_event, newest_pictures, verdict
from napari_ctseg.docks.finetune.state import FineTuneState, JobProgress, Phase

if TYPE_CHECKING:
    from ctseg_imaging.volume import Labels

STOPPING = "Stopping: writing and evaluating the model"


class FineTuneView(DockView[FineTuneState], Protocol):
    """What the controller needs of the view."""

    def follow(self, on: bool) -> None:
        """Call the training's `poll` twice a second, or no longer."""

    def announce(self) -> None:
        """Tell the Run model dock that there is a new model."""


class TrainingDock(DockController[FineTuneState]):
    """A dock with one training."""

    NAME = "finetune"
    view: FineTuneView

    @abstractmethod
    def order(self) -> Order:
        """The training as chosen; raises CtsegError if it cannot be done."""

    @abstractmethod
    def known_labels(self) -> list[Labels]:
        """The labels of the installed models, whose colours a job takes over."""

    @abstractmethod
    def reload_bundles(self) -> None:
        """Look again which models are installed."""


class Training:
    """The job that the dock follows, if any."""

    def __init__(self, dock: TrainingDock, jobs: Jobs, aside: ThreadedCall) -> None:
        self._dock, self._jobs, self._aside = dock, jobs, aside
        self._job: RunningJob | None = None
        self._offset = 0

    def start(self) -> None:
        """Write the cases and start the process."""
        dock, state = self._dock, self._dock.state
        if state.why_not:
            dock.update(message=state.why_not)
            return
        try:
            order = dock.order()
        except CtsegError as error:
            self._failed(error)
            return
        self._job = None
        dock.show(_without_results(state))
        self._aside(lambda: self._jobs.start(order), self._started, self._failed)

    def pause(self) -> None:
        """Ask the job to save a checkpoint and end after its step; `resume` continues from it."""
        if self._job is not None and not self._dock.state.why_no_pause:
            self._ask(self._job.pause, Phase.PAUSING, "Pausing after the current step")

    def resume(self) -> None:
        """Continue from the checkpoint of a job that was paused or interrupted."""
        if self._dock.state.job.resumable:
            self._go_on(to_finish=False)

    def stop(self) -> None:
        """Ask the job to end after its step, write its bundle and score it; a paused job is started again
        for that.
        """
        if self._job is None or self._dock.state.why_no_stop:
            return
        if self._dock.state.phase is Phase.PAUSED:
            self._go_on(to_finish=True)
        else:
            self._ask(self._job.stop, Phase.STOPPING, STOPPING)

    def poll(self) -> None:
        """Read the job's events since the last time."""
        job = self._job
        if job is None:
            self._follow(False)
            return
        ended = str(job.state)  # before the events, so they include its last ones
        before = state = self._dock.state
        for event in job.events(self._offset):
            self._offset = event.end
            state = after_event(state, event, self._dock.known_labels())
        if len(state.curves.validations) != len(before.curves.validations):
            state = replace(state, curves=replace(state.curves, samples=newest_pictures(job.folder)))
        if ended != "running":
            self._follow(False)
            self._ended(job, ended, state)
        elif state is not before:
            self._dock.show(state)

    def find_again(self, folder: str) -> None:
        """Follow the job of an earlier session that still runs, is paused, or has ended meanwhile."""
        job = self._jobs.find(Path(folder)) if folder else None
        if job is None:
            return
        self._job, self._offset = job, 0
        self._show_stage(Phase.RUNNING, CHECKING, folder=job.folder)
        self.poll()
        if self._dock.state.phase is Phase.RUNNING:
            self._follow(True)

    # ---- inside

    def _ask(self, request: Callable[[], None], phase: Phase, stage: str) -> None:
        try:
            request()
        except (CtsegError, OSError) as error:
            self._failed(error)
            return
        self._show_stage(phase, stage)

    def _started(self, job: RunningJob) -> None:
        self._job, self._offset = job, 0
        self._dock.remember("job", str(job.folder))
        self._show_stage(Phase.RUNNING, CHECKING, folder=job.folder)
        self._follow(True)

    def _go_on(self, to_finish: bool) -> None:
        """Start the job's process again."""
        if (job := self._job) is None:
            return
        stage = "Continuing from the last checkpoint"
        self._dock.update(message="", details="")
        self._show_stage(Phase.PREPARING, stage, resumable=False)
        self._aside(lambda: job.resume(to_finish=to_finish), lambda _: self._gone_on(to_finish), self._failed)

    def _gone_on(self, to_finish: bool) -> None:
        phase, stage = (Phase.STOPPING, STOPPING) if to_finish else (Phase.RUNNING, CHECKING)
        self._show_stage(phase, stage)
        self._follow(True)

    def _ended(self, job: RunningJob, ended: str, state: FineTuneState) -> None:
        if ended == "paused":
            stage = f'"{model_of(job.folder)}" is paused at step {state.job.step}'
            paused = replace(state.job, stage=stage, resumable=True)
            self._dock.show(replace(state, phase=Phase.PAUSED, job=paused))
            return
        ends = replace(state.job, stage="", spent=None, seconds_left=None)
        state = replace(state, job=ends)
        if ended == "failed" and job.resumable:
            kept = f"{job.message} Press Resume to continue from the last checkpoint."
            ends = replace(ends, resumable=True)
            self._dock.show(replace(state, phase=Phase.FAILED, job=ends, message=kept))
        elif ended == "failed":
            self._give_up(state, job.message)
        elif not (job.folder / "bundle").is_dir():
            self._give_up(state, "The training ended before it produced a model; start it again.")
        else:
            adding = replace(ends, stage="Adding the model to Run model")
            self._dock.show(replace(state, phase=Phase.STOPPING, job=adding))
            self._aside(lambda: self._jobs.add(job.folder), self._added, self._failed)

    def _give_up(self, state: FineTuneState, message: str) -> None:
        self._job = None
        self._dock.remember("job", "")
        self._dock.show(replace(state, phase=Phase.FAILED, message=message))

    def _added(self, name: str) -> None:
        self._job = None
        outcome = self._dock.state.outcome
        self._dock.update(outcome=replace(outcome, added=name), message=verdict(name, outcome))
        self._show_stage(Phase.DONE, "")
        self._dock.reload_bundles()
        self._dock.view.announce()

    def _failed(self, error: Exception) -> None:
        resumable = self._job is not None and self._job.resumable
        job = replace(self._dock.state.job, stage="", resumable=resumable)
        self._dock.show_error(error, phase=Phase.FAILED, job=job)

    def _show_stage(self, phase: Phase, stage: str, **changes: Any) -> None:
        """Show where the job is. changes : of other fields of its progress."""
        self._dock.update(phase=phase, job=replace(self._dock.state.job, stage=stage, **changes))

    def _follow(self, on: bool) -> None:
        if not self._dock.closed:
            self._dock.view.follow(on)


def _without_results(state: FineTuneState) -> FineTuneState:
    """The state of a training that begins: the results of the last one go."""
    return FineTuneState(
        state.start,
        state.cases,
        state.options,
        Phase.PREPARING,
        JobProgress(stage="Writing the cases and starting"),
    )
