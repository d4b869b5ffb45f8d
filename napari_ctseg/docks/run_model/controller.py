"""Decides what the Run model dock does: choices, the expected cost, the run itself and where its result goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.progress import Progress
from napari_ctseg import work
from napari_ctseg.docks.run_model.box import drawn_box
from napari_ctseg.docks.run_model.models import Models, Request
from napari_ctseg.docks.run_model.state import DEVICES, PRECISIONS, BundleInfo, Phase, RegionChoice, RunModelState
from napari_ctseg.layers import BOXES, MADE, add_drawing, add_prediction, volume_of
from napari_ctseg.preferences import Preferences
from napari_ctseg.study import study_of

if TYPE_CHECKING:
    import napari

    from ctseg_models.bundles.bundle import Bundle
    from ctseg_models.inference import Estimate, Prediction

DOCK = "run_model"
SHARES = {"load": (0.0, 0.05), "localise": (0.05, 0.25), "segment": (0.25, 0.9), "assemble": (0.9, 1.0)}  # of one model's run, as measured
Runner = Callable[..., work.Task]


class RunModelView(Protocol):
    """The seam to Qt."""

    def show(self, state: RunModelState) -> None:
        """Draw all of `state`."""


class RunModelController:
    """Holds the state, starts work through the queue and puts results into the viewer."""

    def __init__(self, view: RunModelView, viewer: napari.viewer.Viewer, models: Models, preferences: Preferences,
                 runner: Runner = work.run, clock: Callable[[], float] = time.monotonic) -> None:
        self.view, self.viewer, self._models, self._preferences, self._run, self._clock = view, viewer, models, preferences, runner, clock
        self._study = study_of(viewer)
        self._bundles: dict[str, Bundle] = {}
        self._task: work.Task | None = None
        self._estimation: work.Task | None = None
        self._expected_seconds: float | None = None
        self._started = 0.0
        self._models_done, self._last_share = 0, 0.0
        kept = preferences.get(DOCK, "choices", {})
        self.state = RunModelState(
            chosen=tuple(map(str, kept.get("chosen", []))), device=kept["device"] if kept.get("device") in DEVICES else "cpu",
            precision=kept["precision"] if kept.get("precision") in PRECISIONS else "auto", edge_map=bool(kept.get("edge_map", False)),
            message=preferences.problem)
        viewer.layers.events.inserted.connect(self.refresh)
        viewer.layers.events.removed.connect(self.refresh)
        self._study.events.image.connect(self._image_changed)
        self.reload_bundles()

    # ---- what is there

    def reload_bundles(self) -> None:
        """Look again which models are installed; another dock calls this when it has made one."""
        try:
            bundles, faults = self._models.bundles()
        except CtsegError as error:
            bundles, faults = (), (str(error),)
        self._bundles = {bundle.name: bundle for bundle in bundles}
        if faults:
            self.state = replace(self.state, message="\n".join(faults))
        chosen = tuple(name for name in self.state.chosen if name in self._bundles)
        self.state = replace(self.state, chosen=chosen or tuple(self._bundles)[:1])
        self.refresh()

    def refresh(self, event: Any = None) -> None:
        """Bring image, boxes and warnings in line with the viewer."""
        images = tuple(layer.name for layer in self.viewer.layers if _is_volume(layer))
        image = self.state.image if self.state.image in images else None
        if image is None:
            image = self._study.image if self._study.image in images else images[-1] if images else None
        for layer in self.viewer.layers:
            if hasattr(layer, "shape_type"):
                layer.events.data.connect(self._drawn)
        self.state = replace(self.state, images=images, image=image, bundles=self._infos(image))
        self._drawn()

    def _drawn(self, event: Any = None) -> None:
        """Which layers have boxes; also after every stroke of the mouse."""
        boxes = tuple(layer.name for layer in self.viewer.layers if _holds_boxes(layer))
        box = self.state.box if self.state.box in boxes else boxes[-1] if boxes else None
        self._show(replace(self.state, boxes=boxes, box=box))

    # ---- what the person does

    def choose_image(self, name: str | None) -> None:
        """Run on this layer; it becomes the study's image."""
        if name and name != self.state.image and name in self.state.images:
            self._study.image = name
            self._change(image=name, bundles=self._infos(name))

    def choose_bundles(self, names: Sequence[str]) -> None:
        """One model, or several as an ensemble."""
        self._change(chosen=tuple(name for name in self._bundles if name in names))

    def choose(self, **choices: Any) -> None:
        """Set any of combine, device, precision, region, box, edge_map."""
        self._change(**choices)

    def draw_box(self) -> None:
        """A new shapes layer on the image, with the mouse ready to draw; the region is that box."""
        if self.state.image is not None:
            add_drawing(self.viewer, self.viewer.layers[self.state.image], "region")
            self._change(region=RegionChoice.BOX)

    def estimate(self) -> None:
        """Work out time and memory in the thread; the models are loaded for it."""
        request = self._request()
        if request is None or self.state.busy:
            return
        self._forget_estimation()
        self._show(replace(self.state, estimating=True, expected="Working out time and memory…"))
        self._estimation = self._run(lambda: self._models.estimate(request), lambda step: None, self._estimated, self._not_estimated,
                                     title="Expected time")

    def run(self) -> None:
        """Start, or wait for what is before it in the queue."""
        request = self._request()
        if request is None or self.state.busy:
            return
        self._forget_estimation()
        name = self._result_name(request)
        self._started, self._models_done, self._last_share = self._clock(), 0, 0.0
        self._remember()
        self._show(replace(self.state, phase=Phase.WAITING, stage="Waiting for the work before it to end" if work.is_busy() else "Starting",
                           share=None, seconds_left=None, message="", details="", result=None))
        self._task = self._run(lambda: self._models.run(request), lambda step: self._progressed(step, len(request.bundles)),
                               lambda prediction: self._done(prediction, name), self._failed, title=name)

    def cancel(self) -> None:
        """Ready again at once; the thread ends at its next step and its result is dropped."""
        if self._task is not None and self.state.busy:
            self._task.cancel()
            self._task = None
            self._show(replace(self.state, phase=Phase.IDLE, share=None, seconds_left=None, stage="",
                               message="Cancelled; no layer was added."))

    # ---- what the thread says

    def _progressed(self, step: Progress, models: int) -> None:
        low, high = SHARES.get(step.stage, (0.0, 1.0))
        within = low + (high - low) * (step.done / step.total if step.total else 0.0)
        if within < self._last_share - 0.5 and self._models_done + 1 < models:  # back to loading: the next model's turn
            self._models_done += 1
        self._last_share = within
        share = (self._models_done + within) / models
        self._show(replace(self.state, phase=Phase.RUNNING, stage=step.message or step.stage, share=share,
                           seconds_left=self._seconds_left(share)))

    def _seconds_left(self, share: float) -> float | None:
        """From the share done once a tenth is; before that from the estimate, if there is one."""
        passed = self._clock() - self._started
        if share >= 0.1 and passed > 1:
            return passed * (1 - share) / share
        return max(0.0, self._expected_seconds - passed) if self._expected_seconds is not None else None

    def _done(self, prediction: Prediction, name: str) -> None:
        self._task = None
        self.state = replace(self.state, phase=Phase.DONE)
        layer = add_prediction(self.viewer, prediction, name)
        self._study.prediction = layer.name
        took = self._clock() - self._started
        said = [f"Done in {duration(took)}: \"{layer.name}\".", *prediction.provenance.get("warnings", [])]
        self._show(replace(self.state, phase=Phase.DONE, stage="", share=1.0, seconds_left=None, message=" ".join(said), result=layer.name))

    def _failed(self, error: Exception) -> None:
        self._task = None
        self._show(replace(self.state, phase=Phase.FAILED, stage="", share=None, seconds_left=None, message=work.sentence(error),
                           details=work.details(error)))

    def _estimated(self, estimate: Estimate) -> None:
        self._estimation, self._expected_seconds = None, estimate.seconds
        said = f"Expected: {duration(estimate.seconds)}, {estimate.bytes / 1e9:.1f} GB of memory."
        self._show(replace(self.state, estimating=False, expected=said))

    def _not_estimated(self, error: Exception) -> None:
        self._estimation = None
        self._show(replace(self.state, estimating=False, expected="", message=work.sentence(error), details=work.details(error)))

    # ---- inside

    def _image_changed(self, name: str | None) -> None:
        if name in self.state.images and name != self.state.image:
            self._change(image=name, bundles=self._infos(name))

    def _change(self, **choices: Any) -> None:
        """A choice of the person: what was expected of the last choice does not hold any more."""
        self._forget_estimation()
        phase = self.state.phase if self.state.busy else Phase.IDLE
        message, details = (self.state.message, self.state.details) if self.state.busy else ("", "")
        self._show(replace(self.state, phase=phase, expected="", estimating=False, message=message, details=details, **choices))

    def _forget_estimation(self) -> None:
        self._expected_seconds = None if not self.state.expected.startswith("Expected") else self._expected_seconds
        if self._estimation is not None:
            self._estimation.cancel()
            self._estimation = None

    def _infos(self, image: str | None) -> tuple[BundleInfo, ...]:
        """The models in the store's order, with what they say about the image."""
        volume = None
        if image is not None:
            try:
                volume = volume_of(self.viewer.layers[image])
            except CtsegError:
                volume = None  # refused with its sentence when the person presses Run
        return tuple(BundleInfo(b.name, tuple(label.name for label in b.labels), b.modality, first_paragraph(b.card), b.card,
                                () if volume is None else tuple(b.warnings_for(volume))) for b in self._bundles.values())

    def _request(self) -> Request | None:
        """The run as chosen; None, with the reason shown, when it cannot be."""
        if self.state.why_not:
            self._show(replace(self.state, message=self.state.why_not))
            return None
        try:
            volume = volume_of(self.viewer.layers[self.state.image])
            box = None
            if self.state.region is RegionChoice.BOX:
                box = drawn_box(self.viewer.layers[self.state.box], volume.geometry)
        except CtsegError as error:
            self._show(replace(self.state, message=str(error)))
            return None
        bundles = tuple(self._bundles[name] for name in self.state.chosen)
        chosen = self.state
        return Request(bundles, volume, chosen.region, box, chosen.combine, chosen.device, chosen.precision, chosen.edge_map)

    def _result_name(self, request: Request) -> str:
        names = [bundle.name for bundle in request.bundles]
        return names[0] if len(names) == 1 else f"{request.combine} of {', '.join(names)}"

    def _remember(self) -> None:
        state = self.state
        kept = {"chosen": list(state.chosen), "device": state.device, "precision": state.precision, "edge_map": state.edge_map}
        try:
            self._preferences.set(DOCK, "choices", kept)
        except CtsegError as error:
            self.state = replace(state, message=str(error))

    def _show(self, state: RunModelState) -> None:
        self.state = state
        self.view.show(state)


def first_paragraph(card: str) -> str:
    """The first paragraph of a Markdown card, headings and front matter aside, as one line."""
    for block in card.replace("\r\n", "\n").split("\n\n"):
        lines = [line for line in block.splitlines() if line.strip() and not line.startswith(("#", "---", "|", "!"))]
        if lines:
            return " ".join(line.strip() for line in lines)
    return ""


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 1:
        return "under a second"
    if seconds < 90:
        return f"{round(seconds)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _is_volume(layer: Any) -> bool:
    """Images that a model may read: three-dimensional, and no map that a model made."""
    return hasattr(layer, "contrast_limits") and not getattr(layer, "rgb", False) and layer.ndim == 3 and not layer.metadata.get(MADE)


def _holds_boxes(layer: Any) -> bool:
    """Shapes that a person drew: not a model's own boxes, and at least one shape."""
    return hasattr(layer, "shape_type") and layer.ndim >= 2 and len(layer.data) > 0 and BOXES not in layer.metadata
