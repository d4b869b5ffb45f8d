"""Decides what the Run model dock does: which models run on which images, and how."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import CtsegError
from napari_ctseg.background import queue
from napari_ctseg.background.threads import ThreadedCall, run_in_thread
from napari_ctseg.docks.dock_controller import DockView
from napari_ctseg.docks.run_model.library.actions import ModelActions, with_trust
from napari_ctseg.docks.run_model.library.library import InstalledLibrary, Library
from napari_ctseg.docks.run_model.run import channels, machine
from napari_ctseg.docks.run_model.run.chosen_request import as_settings, from_settings, request_of
from napari_ctseg.docks.run_model.run.estimation import Estimation
from napari_ctseg.docks.run_model.run.model_run import ModelRun
from napari_ctseg.docks.run_model.run.request import Models, Request
from napari_ctseg.docks.run_model.run.run_dock import RunDock, Runner
from napari_ctseg.docks.run_model.state import Phase, RegionChoice, RunModelState, RunSummary
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.layers import BOXES, MEASURED
from napari_ctseg.viewer.showing import add_drawing

if TYPE_CHECKING:
    import napari

    from ctseg_imaging.volume import Volume


class RunModelController(RunDock):
    """Holds the state and the choices. actions : the models, and adding, verifying and exporting them.
    estimation, model_run : what is under way.
    """

    def __init__(
        self,
        view: DockView[RunModelState],
        viewer: napari.viewer.Viewer,
        models: Models,
        preferences: Preferences,
        runner: Runner = queue.run,
        clock: Callable[[], float] = time.monotonic,
        library: Library | None = None,
        aside: ThreadedCall = run_in_thread,
    ) -> None:
        self._not_here = machine.unable()
        state = from_settings(preferences.get(self.NAME, "choices", {}), self._not_here)
        super().__init__(
            view, viewer, preferences, replace(state, message=preferences.problem), models, runner
        )
        self.actions = ModelActions(
            library or InstalledLibrary(), runner, aside, self._actions_changed, self.reload_bundles
        )
        self.estimation = Estimation(self)
        self.model_run = ModelRun(self, self.estimation, clock)
        self.follow_layers_and_roles()
        self.follow(self._image_changed, self.study.events.image)
        self.reload_bundles()

    def on_close(self) -> None:
        """Cancel what is under way."""
        self.model_run.cancel()
        self.estimation.stop()
        self.actions.stop_errand()
        for layer in self.viewer.layers:
            if hasattr(layer, "shape_type"):
                layer.events.data.disconnect(self._boxes_changed)

    # ---- what is there

    def reload_bundles(self, added: str | None = None) -> None:
        """Look again which models are installed; another dock calls this when it has made one. added :
        becomes the chosen one.
        """
        try:
            bundles, faults = self.models.bundles()
        except CtsegError as error:
            bundles, faults = (), (str(error),)
        self.actions.fill(bundles)
        if faults:
            self.state = replace(self.state, message="\n".join(faults))
        wanted = (added,) if added else self.state.chosen
        chosen = tuple(name for name in wanted if name in self.actions.bundles)
        plain = [name for name, bundle in self.actions.bundles.items() if not bundle.needs_trust]
        self.state = replace(self.state, chosen=chosen or tuple(plain or self.actions.bundles)[:1])
        self.refresh()

    def refresh(self, event: Any = None) -> None:
        """Bring image, channels, boxes and warnings in line with the viewer."""
        found = channels.sources(self.viewer)
        image = self.state.image if self.state.image in found else None
        if image is None:
            of_study = [name for name, source in found.items() if source.layer == self.study.image]
            image = of_study[0] if of_study else list(found)[-1] if found else None
        for layer in self.viewer.layers:
            if hasattr(layer, "shape_type"):
                layer.events.data.connect(self._boxes_changed)
        infos = self.actions.infos(self._volume(image))
        self.state = self._with_sources(replace(self.state, images=tuple(found), image=image, bundles=infos))
        self._boxes_changed()

    def _boxes_changed(self, event: Any = None) -> None:
        """Which layers have boxes; also after every stroke of the mouse."""
        boxes = tuple(layer.name for layer in self.viewer.layers if _holds_boxes(layer))
        box = current if (current := self.state.options.box) in boxes else boxes[-1] if boxes else None
        self.update(boxes=boxes, options=replace(self.state.options, box=box))

    # ---- what the user chooses

    def choose_image(self, name: str | None) -> None:
        """Run on this image; its layer becomes the study's."""
        if name and name != self.state.image and name in self.state.images:
            self.state = self._with_image(name)
            self.study.image = channels.sources(self.viewer)[name].layer
            self._change()

    def choose_source(self, number: int, name: str) -> None:
        """Read channel `number` of the model from this image."""
        kept = list(self.state.sources)
        if 0 <= number < len(kept) and name in self.state.images:
            kept[number] = name
            self._change(sources=tuple(kept))

    def choose_bundles(self, names: Sequence[str]) -> None:
        """One model, or several as an ensemble."""
        self._change(chosen=tuple(name for name in self.actions.bundles if name in names))

    def choose_weight(self, name: str, weight: float) -> None:
        """How much one model of an ensemble counts."""
        self.choose(weights={**self.state.options.weights, name: weight})

    def choose(self, **choices: Any) -> None:
        """Set any of the options."""
        self._change(options=replace(self.state.options, **choices))

    def draw_box(self) -> None:
        """A new shapes layer on the image, with the mouse ready to draw; the region is that box."""
        if self.state.image is not None:
            layer = self.viewer.layers[channels.sources(self.viewer)[self.state.image].layer]
            add_drawing(self.viewer, layer, "region")
            self.choose(region=RegionChoice.BOX)

    # ---- estimate, run, cancel

    def estimate(self) -> None:
        """Work out time and memory. The models are loaded for it, except one that asks first."""
        chosen = None if self.state.busy else self._request()
        if chosen is not None:
            self.estimation.start(*chosen)

    def run(self) -> None:
        """Start, or wait for the work before it; models that would run code of their own are asked about
        first.
        """
        chosen = None if self.state.busy or self.closed else self._request()
        if chosen is None or self.actions.look_up_trust(self.state.chosen, self.run):
            return
        if questions := self.actions.questions(self.state.chosen):
            self.update(questions=questions, message="", details="")
            return
        found = channels.sources(self.viewer)
        self.remember("choices", as_settings(self.state))
        self.model_run.start(
            *chosen, [self.viewer.layers[found[source].layer] for source in self.state.sources]
        )

    def answer(self, *, run_code: bool) -> None:
        """The answer to the question of trust: remember it and run, or run nothing."""
        questions = self.state.questions
        if not questions:
            return
        self.state = replace(self.state, questions=())
        if run_code:
            self.actions.trust(questions, self.run)
        else:
            self.update(message="Nothing was run.")

    def cancel(self) -> None:
        """Stop the run, or else what is done with a model; the dock is ready at once."""
        if self.state.busy:
            self.model_run.cancel()
        elif self.state.errand:
            self.actions.stop_errand()

    # ---- inside

    def _image_changed(self, name: str | None) -> None:
        found = channels.sources(self.viewer)
        if self.state.image in found and found[self.state.image].layer == name:
            return
        first = next((image for image, source in found.items() if source.layer == name), None)
        if first in self.state.images:
            self.state = self._with_image(first)
            self._change()

    def _with_image(self, name: str | None) -> RunModelState:
        """The channels follow the new image."""
        return replace(self.state, image=name, sources=(), bundles=self.actions.infos(self._volume(name)))

    def _change(self, **choices: Any) -> None:
        """The user changed a choice: the estimate, and the result of the last run, belong to another one."""
        self.estimation.stop()
        if not self.state.busy:
            self.state = replace(self.state, phase=Phase.IDLE, message="", details="", summary=RunSummary())
        state = replace(self.state, estimate=None, **choices)
        unable = machine.unable_on(state.options.device, self._not_here)
        self.show(self._with_sources(replace(state, unable=unable)))

    def _with_sources(self, state: RunModelState) -> RunModelState:
        """One image for every channel that the chosen models read, and what is wrong with them."""
        sources = channels.suggested(state.wanted, state.images, state.image, state.sources)
        if len(sources) < 2 or state.image is None:
            return replace(state, sources=sources, source_fault="")
        try:
            volumes = {
                name: volume for name in sources if (volume := self._volume(name, strictly=True)) is not None
            }
            fault = channels.fault_of(volumes, state.wanted, sources)
        except CtsegError as error:
            fault = str(error)
        return replace(state, sources=sources, source_fault=fault)

    def _volume(self, name: str | None, *, strictly: bool = False) -> Volume | None:
        """An image's volume. strictly : raise for a layer without geometry, else None."""
        source = channels.sources(self.viewer).get(name or "")
        if source is None:
            return None
        try:
            return channels.read(self.viewer, source)
        except CtsegError:
            if strictly:
                raise
            return None

    def _request(self) -> tuple[Request, list[Volume]] | None:
        """The run as chosen and its channels; None, with the reason shown, when it cannot be."""
        if self.state.why_not:
            self.update(message=self.state.why_not)
            return None
        try:
            return request_of(self.state, self.viewer, self.actions.bundles)
        except CtsegError as error:
            self.update(message=str(error))
            return None

    def _actions_changed(
        self, *, trusted: frozenset[str] | None = None, failed: bool = False, **changes: Any
    ) -> None:
        """The state changes with what is done with the models."""
        if trusted is not None:
            changes["bundles"] = with_trust(self.state.bundles, trusted)
        if not self.state.busy and (failed or "errand" in changes):
            changes["phase"] = Phase.FAILED if failed else Phase.IDLE
        self.update(**changes)


def _holds_boxes(layer: Any) -> bool:
    """Shapes that a user drew: not a model's own boxes, no measurements, and at least one shape."""
    return (
        hasattr(layer, "shape_type")
        and layer.ndim >= 2
        and len(layer.data) > 0
        and not {BOXES, MEASURED} & set(layer.metadata)
    )
