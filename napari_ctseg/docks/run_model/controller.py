"""Decides what the Run model dock does: choices, the expected cost, the run itself and where its result
goes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.progress import Progress
from napari_ctseg.background import queue
from napari_ctseg.background.threads import ThreadedCall, run_in_thread
from napari_ctseg.docks.run_model import words
from napari_ctseg.docks.run_model.library.actions import ModelActions, with_trust
from napari_ctseg.docks.run_model.library.library import InstalledLibrary, Library
from napari_ctseg.docks.run_model.run import channels, machine, previous_results
from napari_ctseg.docks.run_model.run.box import drawn_box
from napari_ctseg.docks.run_model.run.confidence import confidence_of
from napari_ctseg.docks.run_model.run.request import Models, Request
from napari_ctseg.docks.run_model.state import (
    DEVICES,
    PRECISIONS,
    Combine,
    Phase,
    RegionChoice,
    RunModelState,
)
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.layers import BOXES
from napari_ctseg.viewer.proxies import unwrapped
from napari_ctseg.viewer.showing import add_drawing, add_prediction
from napari_ctseg.viewer.study import study_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from ctseg_imaging.volume import Volume
    from ctseg_models.inference import Estimate, Prediction

DOCK = "run_model"
SHARES = {
    "load": (0.0, 0.05),
    "localise": (0.05, 0.25),
    "segment": (0.25, 0.9),
    "assemble": (0.9, 1.0),
}  # of one model's run, as measured
Runner = Callable[..., queue.Task]


class RunModelView(Protocol):
    """The seam to Qt."""

    def show(self, state: RunModelState) -> None:
        """Draw all of `state`."""


class RunModelController:
    """Holds the state, starts work through the queue and puts results into the viewer. `shelf` : the models
    and what is done with them.
    """

    def __init__(
        self,
        view: RunModelView,
        viewer: napari.viewer.Viewer,
        models: Models,
        preferences: Preferences,
        runner: Runner = queue.run,
        clock: Callable[[], float] = time.monotonic,
        library: Library | None = None,
        aside: ThreadedCall = run_in_thread,
    ) -> None:
        viewer = unwrapped(viewer)
        self.view, self.viewer, self._models, self._preferences, self._run, self._clock = (
            view,
            viewer,
            models,
            preferences,
            runner,
            clock,
        )
        self.shelf = ModelActions(
            library or InstalledLibrary(), runner, aside, self._told, self.reload_bundles
        )
        self._study = study_of(viewer)
        self._task: queue.Task | None = None
        self._estimation: queue.Task | None = None
        self._closed = False
        self._estimate: Estimate | None = None
        self._started = 0.0
        self._not_here = machine.unable()
        self.state = self._kept_choices()
        viewer.layers.events.inserted.connect(self.refresh)
        viewer.layers.events.removed.connect(self.refresh)
        self._study.events.image.connect(self._image_changed)
        self.reload_bundles()

    def close(self) -> None:
        """Stop what runs and follow the viewer no more; nothing is shown from now on."""
        if self._closed:
            return
        self._closed = True
        for task in (self._task, self._estimation):
            if task is not None:
                task.cancel()
        self._task = self._estimation = None
        self.shelf.stop_errand()
        self.viewer.layers.events.inserted.disconnect(self.refresh)
        self.viewer.layers.events.removed.disconnect(self.refresh)
        self._study.events.image.disconnect(self._image_changed)
        for layer in self.viewer.layers:
            if hasattr(layer, "shape_type"):
                layer.events.data.disconnect(self._drawn)

    # ---- what is there

    def reload_bundles(self, added: str | None = None) -> None:
        """Look again which models are installed; another dock calls this when it has made one. added :
        becomes the chosen one.
        """
        try:
            bundles, faults = self._models.bundles()
        except CtsegError as error:
            bundles, faults = (), (str(error),)
        self.shelf.fill(bundles)
        if faults:
            self.state = replace(self.state, message="\n".join(faults))
        wanted = (added,) if added else self.state.chosen
        chosen = tuple(name for name in wanted if name in self.shelf.bundles)
        plain = [name for name, bundle in self.shelf.bundles.items() if not bundle.needs_trust]
        self.state = replace(self.state, chosen=chosen or tuple(plain or self.shelf.bundles)[:1])
        self.refresh()

    def refresh(self, event: Any = None) -> None:
        """Bring image, channels, boxes and warnings in line with the viewer."""
        found = channels.sources(self.viewer)
        image = self.state.image if self.state.image in found else None
        if image is None:
            of_study = [name for name, source in found.items() if source.layer == self._study.image]
            image = of_study[0] if of_study else list(found)[-1] if found else None
        for layer in self.viewer.layers:
            if hasattr(layer, "shape_type"):
                layer.events.data.connect(self._drawn)
        infos = self.shelf.infos(self._volume(image))
        self.state = self._with_sources(replace(self.state, images=tuple(found), image=image, bundles=infos))
        self._drawn()

    def _drawn(self, event: Any = None) -> None:
        """Which layers have boxes; also after every stroke of the mouse."""
        boxes = tuple(layer.name for layer in self.viewer.layers if _holds_boxes(layer))
        box = self.state.box if self.state.box in boxes else boxes[-1] if boxes else None
        self._show(replace(self.state, boxes=boxes, box=box))

    # ---- what the user chooses

    def choose_image(self, name: str | None) -> None:
        """Run on this image; its layer becomes the study's."""
        if name and name != self.state.image and name in self.state.images:
            self.state = self._with_image(name)
            self._study.image = channels.sources(self.viewer)[name].layer
            self._change()

    def choose_source(self, number: int, name: str) -> None:
        """Read channel `number` of the model from this image."""
        kept = list(self.state.sources)
        if 0 <= number < len(kept) and name in self.state.images:
            kept[number] = name
            self._change(sources=tuple(kept))

    def choose_bundles(self, names: Sequence[str]) -> None:
        """One model, or several as an ensemble."""
        self._change(chosen=tuple(name for name in self.shelf.bundles if name in names))

    def choose_weight(self, name: str, weight: float) -> None:
        """How much one model of an ensemble counts."""
        self._change(weights={**self.state.weights, name: weight})

    def choose(self, **choices: Any) -> None:
        """Set any of combine, device, precision, region, box, mirroring, edge_map, entropy."""
        self._change(**choices)

    def draw_box(self) -> None:
        """A new shapes layer on the image, with the mouse ready to draw; the region is that box."""
        if self.state.image is not None:
            layer = self.viewer.layers[channels.sources(self.viewer)[self.state.image].layer]
            add_drawing(self.viewer, layer, "region")
            self._change(region=RegionChoice.BOX)

    # ---- estimate, run, cancel

    def estimate(self) -> None:
        """Work out time and memory; the models are loaded for it, but one that asks first is not before the
        person has answered.
        """
        work_on = None if self.state.busy else self._request()
        if work_on is None:
            return
        self._estimate = None
        if any(info.locked for info in self.state.members):
            self._show(
                replace(
                    self.state, expected="Known once you have allowed this model to run its code: press Run."
                )
            )
            return
        request, volumes = work_on
        self._forget_estimation()
        self._show(replace(self.state, estimating=True, expected="Working out time and memory…"))
        self._estimation = self._run(
            lambda: self._models.estimate(replace(request, volume=channels.stacked(volumes))),
            lambda step: None,
            self._estimated,
            self._not_estimated,
            title="Expected time",
        )

    def run(self) -> None:
        """Start, or wait for what is before it in the queue; models that would run code of their own are
        asked about first.
        """
        work_on = None if self.state.busy or self._closed else self._request()
        if work_on is None or self.shelf.look_up_trust(self.state.chosen, self.run):
            return
        if questions := self.shelf.questions(self.state.chosen):
            self._show(replace(self.state, questions=questions, message="", details=""))
            return
        request, volumes = work_on
        self._forget_estimation()
        name, found = _result_name(request), channels.sources(self.viewer)
        images = [self.viewer.layers[found[source].layer] for source in self.state.sources]
        self._started = self._clock()
        self._remember()
        stage = "Queued: waiting for another task to finish" if queue.is_busy() else "Starting"
        self._show(
            replace(
                self.state,
                phase=Phase.WAITING,
                stage=stage,
                share=None,
                seconds_left=None,
                message="",
                details="",
                result=None,
                cautions=(),
                confidence=(),
            )
        )
        self._task = self._run(
            lambda: self._models.run(replace(request, volume=channels.stacked(volumes))),
            self._progressed,
            lambda prediction: self._done(prediction, name, images),
            self._failed,
            title=name,
        )

    def answer(self, *, run_code: bool) -> None:
        """To the question of trust: remember it and run, or leave everything as it was."""
        questions = self.state.questions
        if not questions:
            return
        self.state = replace(self.state, questions=())
        if run_code:
            self.shelf.trust(questions, self.run)
        else:
            self._show(replace(self.state, message="Nothing was run."))

    def cancel(self) -> None:
        """Ready again at once; the run, or what is done next to running, ends at its next step and its result
        is dropped.
        """
        if self._task is not None and self.state.busy:
            self._task.cancel()
            self._task = None
            self._show(
                replace(
                    self.state,
                    phase=Phase.IDLE,
                    share=None,
                    seconds_left=None,
                    stage="",
                    message="Cancelled; no layer was added.",
                )
            )
        elif self.state.errand:
            self.shelf.stop_errand()

    # ---- what the thread says

    def _progressed(self, step: Progress) -> None:
        low, high = SHARES.get(step.stage, (0.0, 1.0))
        within = low + (high - low) * (step.done / step.total if step.total else 0.0)
        share = (step.part + within) / step.parts
        self._show(
            replace(
                self.state,
                phase=Phase.RUNNING,
                stage=step.message or step.stage,
                share=share,
                seconds_left=self._seconds_left(share),
            )
        )

    def _seconds_left(self, share: float) -> float | None:
        """From the share done once a tenth is; before that from the estimate, if there is one."""
        passed = self._clock() - self._started
        if share >= 0.1 and passed > 1:
            return passed * (1 - share) / share
        return None if self._estimate is None else max(0.0, self._estimate.seconds - passed)

    def _done(self, prediction: Prediction, name: str, images: Sequence[Layer]) -> None:
        self._task = None
        self.state = replace(self.state, phase=Phase.DONE)
        before, covered = list(self.viewer.layers), previous_results.hide(self.viewer, images)
        layer = add_prediction(self.viewer, prediction, name)
        previous_results.remember([one for one in self.viewer.layers if one not in before], images)
        self._study.prediction = layer.name
        took = self._clock() - self._started
        nothing = "" if prediction.labels.array.any() else " No label was found: the layer is empty."
        hidden = (
            " Its maps are there as hidden layers."
            if prediction.edge_map is not None or prediction.disagreement is not None
            else ""
        )
        kept = f" Hidden below it: {words.quoted(covered)}." if covered else ""
        self._show(
            replace(
                self.state,
                phase=Phase.DONE,
                stage="",
                share=1.0,
                seconds_left=None,
                result=layer.name,
                message=f'Done in {words.duration(took)}: "{layer.name}".{nothing}{hidden}{kept}',
                cautions=tuple(prediction.warnings),
                confidence=confidence_of(prediction),
                details=json.dumps(prediction.provenance, indent=1, default=str),
            )
        )

    def _failed(self, error: Exception) -> None:
        self._task = None
        self._show(
            replace(
                self.state,
                phase=Phase.FAILED,
                stage="",
                share=None,
                seconds_left=None,
                message=queue.sentence(error),
                details=queue.details(error),
                to_mend=self._described(),
            )
        )

    def _estimated(self, estimate: Estimate) -> None:
        self._estimation, self._estimate = None, estimate
        said = f"Expected: {words.duration(estimate.seconds)}, {estimate.bytes / 1e9:.1f} GB of memory."
        self._show(replace(self.state, estimating=False, expected=said))

    def _not_estimated(self, error: Exception) -> None:
        self._estimation = None
        self._show(
            replace(
                self.state,
                phase=Phase.FAILED,
                estimating=False,
                expected="",
                message=queue.sentence(error),
                details=queue.details(error),
                to_mend=self._described(),
            )
        )

    def _described(self) -> Path | None:
        """Of what ran: the network file whose side file may be at fault."""
        return next((info.described for info in self.state.members if info.described is not None), None)

    def _told(self, *, trusted: frozenset[str] | None = None, failed: bool = False, **changes: Any) -> None:
        """What the shelf says."""
        if trusted is not None:
            changes["bundles"] = with_trust(self.state.bundles, trusted)
        if not self.state.busy and (failed or "errand" in changes):
            changes["phase"] = Phase.FAILED if failed else Phase.IDLE
        self._show(replace(self.state, **changes))

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
        return replace(self.state, image=name, sources=(), bundles=self.shelf.infos(self._volume(name)))

    def _change(self, **choices: Any) -> None:
        """A choice of the user: what was expected of the last choice does not hold any more."""
        self._forget_estimation()
        self._estimate = None
        phase = self.state.phase if self.state.busy else Phase.IDLE
        if not self.state.busy:  # what was said of the last run does not belong to another choice
            self.state = replace(self.state, message="", details="", cautions=(), confidence=())
        unable = self._unable(choices.get("device", self.state.device))
        self._show(
            self._with_sources(
                replace(self.state, phase=phase, expected="", estimating=False, unable=unable, **choices)
            )
        )

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
        """An image's volume. strictly : raise for a layer that has no geometry; else it is refused when the
        person presses Run.
        """
        source = channels.sources(self.viewer).get(name or "")
        if source is None:
            return None
        try:
            return channels.read(self.viewer, source)
        except CtsegError:
            if strictly:
                raise
            return None

    def _unable(self, device: str) -> dict[str, str]:
        return {**self._not_here, **(machine.slow_on_cpu() if device == "cpu" else {})}

    def _forget_estimation(self) -> None:
        if self._estimation is not None:
            self._estimation.cancel()
            self._estimation = None
            self.state = replace(self.state, estimating=False, expected="")

    def _request(self) -> tuple[Request, list[Volume]] | None:
        """The run as chosen and its channels, not yet stacked; None, with the reason shown, when it cannot
        be.
        """
        chosen = self.state
        if chosen.why_not:
            self._show(replace(chosen, message=chosen.why_not))
            return None
        try:
            found = channels.sources(self.viewer)
            volumes = [channels.read(self.viewer, found[name]) for name in chosen.sources]
            box = None
            if chosen.region is RegionChoice.BOX:
                box = drawn_box(self.viewer.layers[chosen.box], volumes[0].geometry)
        except CtsegError as error:
            self._show(replace(chosen, message=str(error)))
            return None
        bundles = tuple(self.shelf.bundles[name] for name in chosen.chosen)
        weights = tuple(chosen.weights.get(name, 1.0) for name in chosen.chosen) if chosen.weighted else None
        weights = None if weights is None or len(set(weights)) == 1 else weights
        request = Request(
            bundles,
            volumes[0],
            chosen.region,
            box,
            chosen.combine,
            chosen.device,
            chosen.precision,
            chosen.edge_map,
            weights,
            chosen.mirroring and not chosen.why_no_mirroring,
            chosen.entropy,
        )
        return request, volumes

    def _kept_choices(self) -> RunModelState:
        """As the user left them; a device that is not here any more is not chosen."""
        kept = self._preferences.get(DOCK, "choices", {})
        device = (
            kept["device"]
            if kept.get("device") in DEVICES and kept["device"] not in self._not_here
            else "cpu"
        )
        unable = self._unable(device)
        precision = (
            kept["precision"]
            if kept.get("precision") in PRECISIONS and kept["precision"] not in unable
            else "auto"
        )
        combine = Combine(kept["combine"]) if kept.get("combine") in list(Combine) else Combine.MEAN
        return RunModelState(
            chosen=tuple(map(str, kept.get("chosen", []))),
            device=device,
            precision=precision,
            unable=unable,
            combine=combine,
            mirroring=bool(kept.get("mirroring", False)),
            edge_map=bool(kept.get("edge_map", False)),
            entropy=bool(kept.get("entropy", False)),
            message=self._preferences.problem,
        )

    def _remember(self) -> None:
        state = self.state
        kept = {
            "chosen": list(state.chosen),
            "device": state.device,
            "precision": state.precision,
            "edge_map": state.edge_map,
            "combine": state.combine.value,
            "mirroring": state.mirroring,
            "entropy": state.entropy,
        }
        try:
            self._preferences.set(DOCK, "choices", kept)
        except CtsegError as error:
            self.state = replace(state, message=str(error))

    def _show(self, state: RunModelState) -> None:
        self.state = state
        if not self._closed:
            self.view.show(state)


def _result_name(request: Request) -> str:
    names = [bundle.name for bundle in request.bundles]
    return names[0] if len(names) == 1 else f"{request.combine} of {', '.join(names)}"


def _holds_boxes(layer: Any) -> bool:
    """Shapes that a user drew: not a model's own boxes, and at least one shape."""
    return (
        hasattr(layer, "shape_type")
        and layer.ndim >= 2
        and len(layer.data) > 0
        and BOXES not in layer.metadata
    )
