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
from napari_ctseg.docks.finetune.state import CaseSource, FineTuneState, HoldOut, RecipeRow
from napari_ctseg.docks.finetune.training import FineTuneView, Training, TrainingDock
from napari_ctseg.viewer.study import ROLES

if TYPE_CHECKING:
    import napari

    from ctseg_imaging.volume import Labels
    from ctseg_models.contract.bundle import Bundle
    from napari_ctseg.preferences import Preferences

KEPT = ("minutes", "folder", "features")  # choices that the dock remembers


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
        base = self.state.base if self.state.base in self._bundles else None
        if base is None and self.state.recipe is None:
            base = next(iter(self._bundles), None)
        self.state = replace(
            self.state, bundles=tuple(self._bundles), base=base, name=self._name(base, self.state.recipe)
        )
        self.refresh()

    def refresh(self, event: Any = None) -> None:
        """Bring the cases in line with the viewer."""
        self.update(cases=open_cases(self.viewer, self.study, self.state.cases))

    def choose_base(self, name: str) -> None:
        """Train this model further."""
        if name in self._bundles:
            self.update(base=name, recipe=None, name=self._name(name, None))

    def choose_recipe(self, name: str) -> None:
        """Train from scratch with this recipe."""
        if name in [row.name for row in self.state.recipes]:
            self.update(base=None, recipe=name, name=self._name(None, name))

    def choose(self, **choices: Any) -> None:
        """Set any of source, folder, features, trainable, minutes, hold_out, name."""
        if choices.get("source") is CaseSource.LAYERS and self.state.hold_out is HoldOut.VALIDATION:
            choices["hold_out"] = HoldOut.SHARE
        self.update(**choices)
        for key in KEPT:
            if choices.get(key) is not None:
                self.remember(key, float(choices[key]) if key == "minutes" else str(choices[key]))

    def tick(self, image: str, on: bool) -> None:
        """Take an open case in or leave it out."""
        cases = [replace(case, ticked=on) if case.image == image else case for case in self.state.cases]
        self.update(cases=tuple(cases))

    # ---- for the training

    def order(self) -> Order:
        """The training as chosen; raises CtsegError if a case cannot be trained on."""
        return order_of(self.state, self.viewer, self._bundles.get(self.state.base or ""))

    def known_labels(self) -> list[Labels]:
        """The labels of the installed models, those of the chosen one first."""
        first = self._bundles.get(self.state.base or "")
        return [bundle.labels for bundle in (first, *self._bundles.values()) if bundle is not None]

    # ---- inside

    def _show_recipes(self, recipes: Sequence[RecipeRow]) -> None:
        self.update(recipes=tuple(recipes))

    def _name(self, base: str | None, recipe: str | None) -> str:
        """A name for the new model: the user's own, unless it is the one made up for another choice."""
        made_up = {f"{name}-tuned" for name in self._bundles} | {row.name for row in self.state.recipes}
        if self.state.name and self.state.name not in made_up:
            return self.state.name
        return f"{base}-tuned" if base is not None else recipe or ""


def _kept_choices(preferences: Preferences) -> FineTuneState:
    """The state with the choices of the last session."""
    folder = preferences.get(FineTuneController.NAME, "folder", "")
    features = preferences.get(FineTuneController.NAME, "features", "")
    return FineTuneState(
        minutes=preferences.get(FineTuneController.NAME, "minutes", 30.0),
        folder=Path(folder) if folder else None,
        features=Path(features) if features else None,
    )
