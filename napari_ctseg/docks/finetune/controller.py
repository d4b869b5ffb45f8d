"""Decides what the Fine-tune dock does: what is trained on what, and following the job in its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ctseg_imaging.errors import CtsegError
from napari_ctseg import work
from napari_ctseg.aside import Aside, run_aside
from napari_ctseg.docks.finetune.cases import open_cases, write_dataset
from napari_ctseg.docks.finetune.jobs import Jobs, Order, RunningJob
from napari_ctseg.docks.finetune.state import FineTuneState, HoldOut, Phase, Score, Source
from napari_ctseg.layers import label_map_of, volume_of
from napari_ctseg.study import study_of

if TYPE_CHECKING:
    import napari

    from ctseg_models.bundles.bundle import Bundle
    from napari_ctseg.preferences import Preferences

DOCK = "finetune"
LONGEST = 2000  # points of the loss curve; beyond it every second one goes


class FineTuneView(Protocol):
    """The seam to Qt."""

    def show(self, state: FineTuneState) -> None:
        """Draw all of `state`."""

    def follow(self, on: bool) -> None:
        """Call the controller's `poll` twice a second, or no longer."""

    def announce(self) -> None:
        """There is a new model: the Run model dock should look again."""


class FineTuneController:
    """Holds the state and the job that is followed."""

    def __init__(self, view: FineTuneView, viewer: napari.viewer.Viewer, jobs: Jobs, preferences: Preferences,
                 aside: Aside = run_aside) -> None:
        self.view, self.viewer, self._jobs, self._preferences, self._aside = view, viewer, jobs, preferences, aside
        self._study = study_of(viewer)
        self._bundles: dict[str, Bundle] = {}
        self._job: RunningJob | None = None
        self._offset = 0
        self._adding = False
        folder = preferences.get(DOCK, "folder", "")
        self.state = FineTuneState(minutes=preferences.get(DOCK, "minutes", 30.0), folder=Path(folder) if folder else None)
        self._heard = [(viewer.layers.events.inserted, self.refresh), (viewer.layers.events.removed, self.refresh),
                       *((getattr(self._study.events, role), self.refresh) for role in ("image", "truth", "edited", "prediction"))]
        for event, callback in self._heard:
            event.connect(callback)
        self.reload_bundles()
        self._find_again()

    def close(self) -> None:
        """The dock goes; the job goes on."""
        for event, callback in self._heard:
            event.disconnect(callback)
        self._heard = []
        self.view.follow(False)

    # ---- what to train

    def reload_bundles(self) -> None:
        """Look again which models are installed."""
        try:
            self._bundles = {bundle.name: bundle for bundle in self._jobs.bundles()}
        except CtsegError as error:
            self._bundles = {}
            self.state = replace(self.state, message=str(error))
        base = self.state.base if self.state.base in self._bundles else next(iter(self._bundles), None)
        self.state = replace(self.state, bundles=tuple(self._bundles), base=base, name=self._name(base))
        self.refresh()

    def refresh(self, event: Any = None) -> None:
        """Bring the cases in line with the viewer."""
        self._show(replace(self.state, cases=open_cases(self.viewer, self._study, self.state.cases)))

    def choose_base(self, name: str) -> None:
        """Start from this model."""
        if name in self._bundles:
            self._show(replace(self.state, base=name, name=self._name(name)))

    def choose(self, **choices: Any) -> None:
        """Set any of source, folder, trainable, minutes, hold_out, name."""
        if choices.get("source") is Source.LAYERS and self.state.hold_out is HoldOut.VALIDATION:
            choices["hold_out"] = HoldOut.SHARE
        self._show(replace(self.state, **choices))
        for key in ("minutes", "folder"):
            if choices.get(key) is not None:
                self._remember(key, float(choices[key]) if key == "minutes" else str(choices[key]))

    def tick(self, image: str, on: bool) -> None:
        """Take an open case in or leave it out."""
        self._show(replace(self.state, cases=tuple(replace(case, ticked=on) if case.image == image else case for case in self.state.cases)))

    # ---- the run

    def start(self) -> None:
        """Write the cases and start the process."""
        state = self.state
        if state.why_not:
            self._show(replace(state, message=state.why_not))
            return
        try:
            order = self._order()
        except CtsegError as error:
            self._failed(error)
            return
        self._show(replace(state, phase=Phase.PREPARING, stage="Writing the cases and starting", job=None, losses=(), validations=(),
                           step=0, spent=None, seconds_left=None, memory_mb=None, scores=(), better=None, added=None, warnings=(),
                           message="", details=""))
        self._aside(lambda: self._jobs.start(order), self._started, self._failed)

    def stop(self) -> None:
        """Ask the job to end after its step; it still writes its bundle and scores it."""
        if self._job is None or self.state.phase is not Phase.RUNNING:
            return
        try:
            self._job.stop()
        except (CtsegError, OSError) as error:
            self._failed(error)
            return
        self._show(replace(self.state, phase=Phase.STOPPING, stage="Stopping: the model is written and scored"))

    def poll(self) -> None:
        """Read what the job has said since the last time."""
        job = self._job
        if job is None:
            self.view.follow(False)
            return
        ended = str(job.state)  # before the events: what it said last is then among them
        state = self.state
        for event in job.events(self._offset):
            self._offset = event.end
            state = heard(state, event)
        if ended != "running":
            self.view.follow(False)
            self._ended(ended, state)
        elif state is not self.state:
            self._show(state)

    # ---- inside

    def _order(self) -> Order:
        state = self.state
        base = self._bundles[str(state.base)]
        hold_out = state.hold_out
        if state.source is Source.FOLDER:
            return Order(base, state.folder, None, state.trainable.value, state.minutes, hold_out, state.name.strip())
        cases = []
        for case in state.cases:
            if case.ticked:
                mask = label_map_of(self.viewer.layers[case.mask])
                cases.append((volume_of(self.viewer.layers[case.image]), replace(mask, array=mask.array.copy())))
        name = state.name.strip()
        return Order(base, None, lambda folder: write_dataset(folder, cases, base.labels, name), state.trainable.value, state.minutes,
                     hold_out, name)

    def _started(self, job: RunningJob) -> None:
        self._job, self._offset = job, 0
        self._remember("job", str(job.folder))
        self._show(replace(self.state, phase=Phase.RUNNING, job=job.folder, stage="Starting"))
        self.view.follow(True)

    def _find_again(self) -> None:
        """A job of an earlier time that still runs, or that ended while nobody looked."""
        folder = self._preferences.get(DOCK, "job", "")
        job = self._jobs.find(Path(folder)) if folder else None
        if job is None:
            return
        self._job, self._offset = job, 0
        self._show(replace(self.state, phase=Phase.RUNNING, job=job.folder, stage="Found again"))
        self.poll()
        if self.state.phase is Phase.RUNNING:
            self.view.follow(True)

    def _ended(self, ended: str, state: FineTuneState) -> None:
        job = self._job
        assert job is not None
        state = replace(state, stage="", spent=None, seconds_left=None)
        if ended == "failed":
            self._forget()
            self._show(replace(state, phase=Phase.FAILED, message=job.message))
            return
        if not (job.folder / "bundle").is_dir():
            self._forget()
            self._show(replace(state, phase=Phase.FAILED, message="It ended before there was a model; start it again."))
            return
        self._show(replace(state, phase=Phase.STOPPING, stage="Putting the model into Run model"))
        self._aside(lambda: self._jobs.add(job.folder), self._added, self._failed)

    def _added(self, name: str) -> None:
        self._job = None
        self._show(replace(self.state, phase=Phase.DONE, stage="", added=name, message=verdict(name, self.state)))
        self.reload_bundles()
        self.view.announce()

    def _failed(self, error: Exception) -> None:
        self._show(replace(self.state, phase=Phase.FAILED, stage="", message=work.sentence(error), details=work.details(error)))

    def _forget(self) -> None:
        self._job = None
        self._remember("job", "")

    def _name(self, base: str | None) -> str:
        """A name for the new model: the person's own, unless it is the one made up for another base."""
        made_up = {f"{name}-tuned" for name in self._bundles}
        kept = self.state.name and self.state.name not in made_up
        return self.state.name if kept else f"{base}-tuned" if base is not None else ""

    def _remember(self, key: str, value: Any) -> None:
        try:
            self._preferences.set(DOCK, key, value)
        except CtsegError as error:
            self.state = replace(self.state, message=str(error))

    def _show(self, state: FineTuneState) -> None:
        self.state = state
        self.view.show(state)


def heard(state: FineTuneState, event: Any) -> FineTuneState:
    """The state after one more event of the job."""
    data = event.data
    if event.kind == "start":
        held = int(data.get("held_out", 0))
        counted = f"{data.get('cases', '?')} cases to train on, {held or 'none'} held out"
        return replace(state, stage=counted if state.phase is Phase.RUNNING else state.stage)
    if event.kind == "step":
        losses = state.losses
        if (loss := data.get("smoothed_loss", data.get("loss"))) is not None:
            losses = (*(losses if len(losses) < LONGEST else losses[::2]), (int(data["step"]), float(loss)))
        stage = state.stage if state.phase is Phase.STOPPING else f"Step {data['step']}"
        return replace(state, losses=losses, step=int(data["step"]), spent=data.get("spent"), seconds_left=data.get("seconds_left"),
                       memory_mb=data.get("memory_mb"), stage=stage)
    if event.kind == "validation" and data.get("scores"):
        mean = data["scores"].get("mean")
        if mean is None or data.get("whole_bundle"):
            return replace(state, scores=_scores(data["scores"], None)) if data.get("step") == 0 else state
        return replace(state, validations=(*state.validations, (int(data["step"]), float(mean))))
    if event.kind == "warning":
        return replace(state, warnings=tuple(dict.fromkeys((*state.warnings, str(data.get("message", ""))))))
    if event.kind in ("done", "stopped"):
        scores = _scores(data.get("before"), data.get("after"))
        return replace(state, scores=scores, better=data.get("better"), step=int(data.get("step", state.step)))
    return state


def _scores(before: dict[str, float | None] | None, after: dict[str, float | None] | None) -> tuple[Score, ...]:
    names = list(dict.fromkeys([*(before or {}), *(after or {})]))
    return tuple(Score(name, (before or {}).get(name), (after or {}).get(name)) for name in names)


def verdict(name: str, state: FineTuneState) -> str:
    """What came out, in words."""
    there = f"\"{name}\" is in Run model now."
    mean = next((score for score in state.scores if score.label == "mean"), None)
    if state.better is None or mean is None or mean.before is None or mean.after is None:
        return f"{there} No case was held out, so that nobody can say whether it is better."
    change = f"mean Dice on the held-out cases {mean.before:.3f} before, {mean.after:.3f} after"
    if state.better:
        return f"Better: {change}. {there}"
    return f"Not better: {change}. {there} The model that you started from is the one to use."


