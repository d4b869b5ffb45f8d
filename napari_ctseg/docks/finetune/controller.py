"""Decides what the Fine-tune dock does: what is trained on what; `training` runs and follows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import CtsegError
from napari_ctseg.background.threads import ThreadedCall, run_in_thread
from napari_ctseg.docks.finetune.cases import open_cases
from napari_ctseg.docks.finetune.jobs import Jobs, Order
from napari_ctseg.docks.finetune.orders import order_of
from napari_ctseg.docks.finetune.state import (
    BaseChoice,
    CaseChoice,
    CaseSource,
    FineTuneState,
    HoldOut,
    Options,
    RecipeRow,
)
from napari_ctseg.docks.finetune.training import FineTuneView, Training, TrainingDock
from napari_ctseg.viewer.study import ROLES

if TYPE_CHECKING:
    import napari

    from ctseg_imaging.volume import Labels
    from ctseg_models.contract.bundle import Bundle
    from napari_ctseg.preferences import Preferences


class FineTuneController(TrainingDock):
    """Holds the state and the choices. training : the job that is followed."""

    def __init__(
        self,
        view: FineTuneView,
        viewer: napari.viewer.Viewer,
        jobs: Jobs,
        preferences: Preferences,
        aside: ThreadedCall = run_in_thread,
    ) -> None:
        super().__init__(view, viewer, preferences, _kept_choices(preferences))
        self._jobs = jobs
        self._bundles: dict[str, Bundle] = {}
        self.training = Training(self, jobs, aside)
        self.follow_layers_and_roles(*ROLES)
        self.reload_bundles()
        self.training.find_again(preferences.get(self.NAME, "job", ""))
        aside(jobs.recipes, self._show_recipes, self.show_error)

    def on_close(self) -> None:
        """Follow the job no longer; it goes on."""
        self.view.follow(False)

    # ---- what to train

    def reload_bundles(self) -> None:
        """Look again which models are installed."""
        try:
            self._bundles = {bundle.name: bundle for bundle in self._jobs.bundles()}
        except CtsegError as error:
            self._bundles = {}
            self.state = replace(self.state, message=str(error))
        start = self.state.start
        base = start.base if start.base in self._bundles else None
        if base is None and start.recipe is None:
            base = next(iter(self._bundles), None)
        self.state = self._started_from(replace(start, bundles=tuple(self._bundles), base=base))
        self.refresh()

    def refresh(self, event: Any = None) -> None:
        """Bring the cases in line with the viewer."""
        cases = self.state.cases
        self.update(cases=replace(cases, rows=open_cases(self.viewer, self.study, cases.rows)))

    def choose_base(self, name: str) -> None:
        """Train this model further."""
        if name in self._bundles:
            self.show(self._started_from(replace(self.state.start, base=name, recipe=None)))

    def choose_recipe(self, name: str) -> None:
        """Train from scratch with this recipe."""
        if name in [row.name for row in self.state.start.recipes]:
            self.show(self._started_from(replace(self.state.start, base=None, recipe=name)))

    def choose_features(self, path: Path) -> None:
        """The file with VGG-19's weights."""
        self.update(start=replace(self.state.start, features=path))
        self.remember("features", str(path))

    def choose_source(self, source: CaseSource) -> None:
        """Where the cases come from; only a dataset has a validation list."""
        options = self.state.options
        if source is CaseSource.LAYERS and options.hold_out is HoldOut.VALIDATION:
            options = replace(options, hold_out=HoldOut.SHARE)
        self.update(cases=replace(self.state.cases, source=source), options=options)

    def choose_folder(self, folder: Path) -> None:
        """The folder of the dataset."""
        self.update(cases=replace(self.state.cases, folder=folder))
        self.remember("folder", str(folder))

    def choose_options(self, options: Options) -> None:
        """How it is trained."""
        minutes = self.state.options.minutes
        self.update(options=options)
        if options.minutes != minutes:
            self.remember("minutes", float(options.minutes))

    def tick(self, image: str, on: bool) -> None:
        """Take an open case in or leave it out."""
        cases = self.state.cases
        rows = [replace(row, ticked=on) if row.image == image else row for row in cases.rows]
        self.update(cases=replace(cases, rows=tuple(rows)))

    # ---- for the training

    def order(self) -> Order:
        """The training as chosen; raises CtsegError if a case cannot be trained on."""
        return order_of(self.state, self.viewer, self._bundles.get(self.state.start.base or ""))

    def known_labels(self) -> list[Labels]:
        """The labels of the installed models, those of the chosen one first."""
        first = self._bundles.get(self.state.start.base or "")
        return [bundle.labels for bundle in (first, *self._bundles.values()) if bundle is not None]

    # ---- inside

    def _show_recipes(self, recipes: Sequence[RecipeRow]) -> None:
        self.update(start=replace(self.state.start, recipes=tuple(recipes)))

    def _started_from(self, start: BaseChoice) -> FineTuneState:
        """The state with this start, and a name for the new model: the user's own, unless it is the one made
        up for another choice.
        """
        name = self.state.options.name
        made_up = {f"{bundle}-tuned" for bundle in self._bundles} | {row.name for row in start.recipes}
        if not name or name in made_up:
            name = f"{start.base}-tuned" if start.base is not None else start.recipe or ""
        return replace(self.state, start=start, options=replace(self.state.options, name=name))


def _kept_choices(preferences: Preferences) -> FineTuneState:
    """The state with the choices of the last session."""
    folder = preferences.get(FineTuneController.NAME, "folder", "")
    features = preferences.get(FineTuneController.NAME, "features", "")
    return FineTuneState(
        start=BaseChoice(features=Path(features) if features else None),
        cases=CaseChoice(folder=Path(folder) if folder else None),
        options=Options(minutes=preferences.get(FineTuneController.NAME, "minutes", 30.0)),
    )
