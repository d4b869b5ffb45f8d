"""Decides what the Fine-tune dock does: what is trained on what, and following the job in its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.volume import LabelMap, Labels, Volume, exact
from napari_ctseg.background import queue
from napari_ctseg.background.threads import ThreadedCall, run_in_thread
from napari_ctseg.docks.finetune.cases import drawn_labels, open_cases, write_dataset
from napari_ctseg.docks.finetune.jobs import Jobs, Order, RunningJob, model_of
from napari_ctseg.docks.finetune.news import CHECKING, heard, newest_pictures, verdict
from napari_ctseg.docks.finetune.state import CaseSource, FineTuneState, HoldOut, Phase, RecipeRow
from napari_ctseg.viewer.layers import label_map_of, volume_of
from napari_ctseg.viewer.proxies import unwrapped
from napari_ctseg.viewer.study import study_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari

    from ctseg_models.contract.bundle import Bundle
    from napari_ctseg.preferences import Preferences

DOCK = "finetune"
KEPT = ("minutes", "folder", "features")  # choices that the dock remembers


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

    def __init__(
        self,
        view: FineTuneView,
        viewer: napari.viewer.Viewer,
        jobs: Jobs,
        preferences: Preferences,
        aside: ThreadedCall = run_in_thread,
    ) -> None:
        viewer = unwrapped(viewer)
        self.view, self.viewer, self._jobs, self._preferences, self._aside = (
            view,
            viewer,
            jobs,
            preferences,
            aside,
        )
        self._study = study_of(viewer)
        self._bundles: dict[str, Bundle] = {}
        self._job: RunningJob | None = None
        self._offset = 0
        folder, features = preferences.get(DOCK, "folder", ""), preferences.get(DOCK, "features", "")
        self.state = FineTuneState(
            minutes=preferences.get(DOCK, "minutes", 30.0),
            folder=Path(folder) if folder else None,
            features=Path(features) if features else None,
        )
        self._heard = [
            (viewer.layers.events.inserted, self.refresh),
            (viewer.layers.events.removed, self.refresh),
            *(
                (getattr(self._study.events, role), self.refresh)
                for role in ("image", "truth", "edited", "prediction")
            ),
        ]
        for event, callback in self._heard:
            event.connect(callback)
        self.reload_bundles()
        self._find_again()
        aside(jobs.recipes, self._listed, self._not_listed)

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
        base = self.state.base if self.state.base in self._bundles else None
        if base is None and self.state.recipe is None:
            base = next(iter(self._bundles), None)
        self.state = replace(
            self.state, bundles=tuple(self._bundles), base=base, name=self._name(base, self.state.recipe)
        )
        self.refresh()

    def refresh(self, event: Any = None) -> None:
        """Bring the cases in line with the viewer."""
        self._show(replace(self.state, cases=open_cases(self.viewer, self._study, self.state.cases)))

    def choose_base(self, name: str) -> None:
        """Train this model further."""
        if name in self._bundles:
            self._show(replace(self.state, base=name, recipe=None, name=self._name(name, None)))

    def choose_recipe(self, name: str) -> None:
        """Train from scratch, as this recipe says."""
        if name in [row.name for row in self.state.recipes]:
            self._show(replace(self.state, base=None, recipe=name, name=self._name(None, name)))

    def choose(self, **choices: Any) -> None:
        """Set any of source, folder, features, trainable, minutes, hold_out, name."""
        if choices.get("source") is CaseSource.LAYERS and self.state.hold_out is HoldOut.VALIDATION:
            choices["hold_out"] = HoldOut.SHARE
        self._show(replace(self.state, **choices))
        for key in KEPT:
            if choices.get(key) is not None:
                self._remember(key, float(choices[key]) if key == "minutes" else str(choices[key]))

    def tick(self, image: str, on: bool) -> None:
        """Take an open case in or leave it out."""
        self._show(
            replace(
                self.state,
                cases=tuple(
                    replace(case, ticked=on) if case.image == image else case for case in self.state.cases
                ),
            )
        )

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
        self._job = None
        self._show(
            replace(
                state,
                phase=Phase.PREPARING,
                stage="Writing the cases and starting",
                job=None,
                labels=(),
                losses=(),
                validations=(),
                samples=(),
                step=0,
                spent=None,
                seconds_left=None,
                memory_mb=None,
                resumable=False,
                scores=(),
                better=None,
                added=None,
                warnings=(),
                message="",
                details="",
            )
        )
        self._aside(lambda: self._jobs.start(order), self._started, self._failed)

    def pause(self) -> None:
        """Ask the job to end after its step with a checkpoint: no model is written, and `resume` goes on."""
        if self._job is None or self.state.why_no_pause:
            return
        try:
            self._job.pause()
        except (CtsegError, OSError) as error:
            self._failed(error)
            return
        self._show(replace(self.state, phase=Phase.PAUSING, stage="Pausing after the current step"))

    def resume(self) -> None:
        """Go on from the checkpoint of a job that was paused, or that was cut short."""
        if self.state.resumable:
            self._go_on(to_finish=False)

    def stop(self) -> None:
        """Ask the job to end after its step; it still writes its bundle and scores it. A paused one goes on
        for that.
        """
        if self._job is None or self.state.why_no_stop:
            return
        if self.state.phase is Phase.PAUSED:
            self._go_on(to_finish=True)
            return
        try:
            self._job.stop()
        except (CtsegError, OSError) as error:
            self._failed(error)
            return
        self._show(
            replace(self.state, phase=Phase.STOPPING, stage="Stopping: the model is written and scored")
        )

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
            state = heard(state, event, self._known())
        if len(state.validations) != len(self.state.validations):
            state = replace(state, samples=newest_pictures(job.folder))
        if ended != "running":
            self.view.follow(False)
            self._ended(ended, state)
        elif state is not self.state:
            self._show(state)

    # ---- inside

    def _order(self) -> Order:
        state = self.state
        base = self._bundles.get(state.base) if state.base is not None else None
        features = (
            state.features if state.from_scratch is not None and state.from_scratch.needs_features else None
        )
        order = Order(
            base,
            state.folder,
            None,
            state.trainable.value,
            state.minutes,
            state.hold_out,
            state.name.strip(),
            state.recipe,
            features,
        )
        if state.source is CaseSource.FOLDER:
            return order
        cases = []
        for case in state.cases:
            if case.ticked:
                mask = label_map_of(self.viewer.layers[case.mask])
                cases.append(
                    (
                        exact(volume_of(self.viewer.layers[case.image]), "train a model"),
                        replace(mask, array=mask.array.copy()),
                    )
                )
        return replace(order, data=None, write_cases=_writing(cases, base, order.name))

    def _listed(self, recipes: Sequence[RecipeRow]) -> None:
        self._show(replace(self.state, recipes=tuple(recipes)))

    def _not_listed(self, error: Exception) -> None:
        self._show(replace(self.state, message=queue.sentence(error), details=queue.details(error)))

    def _started(self, job: RunningJob) -> None:
        self._job, self._offset = job, 0
        self._remember("job", str(job.folder))
        self._show(replace(self.state, phase=Phase.RUNNING, job=job.folder, stage=CHECKING))
        self._follow(True)

    def _go_on(self, to_finish: bool) -> None:
        """Start the job's process again."""
        job = self._job
        if job is None:
            return
        self._show(
            replace(
                self.state,
                phase=Phase.PREPARING,
                stage="Going on from the last checkpoint",
                resumable=False,
                message="",
                details="",
            )
        )
        self._aside(lambda: job.resume(to_finish=to_finish), lambda _: self._gone_on(to_finish), self._failed)

    def _gone_on(self, to_finish: bool) -> None:
        phase, stage = (
            (Phase.STOPPING, "Stopping: the model is written and scored")
            if to_finish
            else (Phase.RUNNING, CHECKING)
        )
        self._show(replace(self.state, phase=phase, stage=stage))
        self._follow(True)

    def _find_again(self) -> None:
        """A job of an earlier time that still runs, is paused, or ended while nobody looked."""
        folder = self._preferences.get(DOCK, "job", "")
        job = self._jobs.find(Path(folder)) if folder else None
        if job is None:
            return
        self._job, self._offset = job, 0
        self._show(replace(self.state, phase=Phase.RUNNING, job=job.folder, stage=CHECKING))
        self.poll()
        if self.state.phase is Phase.RUNNING:
            self._follow(True)

    def _ended(self, ended: str, state: FineTuneState) -> None:
        job = self._job
        assert job is not None
        if ended == "paused":
            stage = f'"{model_of(job.folder)}" is paused at step {state.step}'
            self._show(replace(state, phase=Phase.PAUSED, stage=stage, resumable=True))
            return
        state = replace(state, stage="", spent=None, seconds_left=None)
        if ended == "failed" and job.resumable:
            kept = (
                f"{job.message} What it learnt until its last checkpoint is kept: Resume goes on from there."
            )
            self._show(replace(state, phase=Phase.FAILED, resumable=True, message=kept))
            return
        if ended == "failed":
            self._forget()
            self._show(replace(state, phase=Phase.FAILED, message=job.message))
            return
        if not (job.folder / "bundle").is_dir():
            self._forget()
            self._show(
                replace(
                    state, phase=Phase.FAILED, message="It ended before there was a model; start it again."
                )
            )
            return
        self._show(replace(state, phase=Phase.STOPPING, stage="Putting the model into Run model"))
        self._aside(lambda: self._jobs.add(job.folder), self._added, self._failed)

    def _added(self, name: str) -> None:
        self._job = None
        self._show(
            replace(self.state, phase=Phase.DONE, stage="", added=name, message=verdict(name, self.state))
        )
        self.reload_bundles()
        self.view.announce()

    def _failed(self, error: Exception) -> None:
        resumable = self._job is not None and self._job.resumable
        self._show(
            replace(
                self.state,
                phase=Phase.FAILED,
                stage="",
                resumable=resumable,
                message=queue.sentence(error),
                details=queue.details(error),
            )
        )

    def _forget(self) -> None:
        self._job = None
        self._remember("job", "")

    def _known(self) -> list[Labels]:
        """The labels of the installed models, those of the chosen one first."""
        first = self._bundles.get(self.state.base or "")
        return [
            bundle.labels for bundle in ([first] if first is not None else []) + list(self._bundles.values())
        ]

    def _name(self, base: str | None, recipe: str | None) -> str:
        """A name for the new model: the user's own, unless it is the one made up for another choice."""
        made_up = {f"{name}-tuned" for name in self._bundles} | {row.name for row in self.state.recipes}
        if self.state.name and self.state.name not in made_up:
            return self.state.name
        return f"{base}-tuned" if base is not None else recipe or ""

    def _follow(self, on: bool) -> None:
        if self._heard:
            self.view.follow(on)

    def _remember(self, key: str, value: Any) -> None:
        try:
            self._preferences.set(DOCK, key, value)
        except CtsegError as error:
            self.state = replace(self.state, message=str(error))

    def _show(self, state: FineTuneState) -> None:
        """Keep the state; draw it, unless the dock was closed while something was under way."""
        self.state = state
        if self._heard:
            self.view.show(state)


def _writing(
    cases: Sequence[tuple[Volume, LabelMap]], base: Bundle | None, name: str
) -> Callable[[Path], None]:
    """What writes `cases` into a folder, with the model's labels or, from scratch, with those that are
    drawn.
    """

    def write(folder: Path) -> None:
        labels = drawn_labels(mask for _, mask in cases) if base is None else base.labels
        write_dataset(folder, cases, labels, name)

    return write
