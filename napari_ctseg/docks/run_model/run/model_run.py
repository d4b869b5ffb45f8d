"""One run of the chosen models: its progress, its end, and its result as layers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ctseg_imaging.progress import Progress
from napari_ctseg.background import queue
from napari_ctseg.docks.run_model import words
from napari_ctseg.docks.run_model.run import channels, previous_results
from napari_ctseg.docks.run_model.run.confidence import confidence_of
from napari_ctseg.docks.run_model.run.estimation import Estimation
from napari_ctseg.docks.run_model.run.request import Request
from napari_ctseg.docks.run_model.run.run_dock import RunDock
from napari_ctseg.docks.run_model.state import Phase, RunProgress, RunSummary
from napari_ctseg.viewer.showing import add_prediction

if TYPE_CHECKING:
    from napari.layers import Layer

    from ctseg_imaging.volume import Volume
    from ctseg_models.inference import Prediction

SHARES = {  # of one model's run, as measured
    "load": (0.0, 0.05),
    "localise": (0.05, 0.25),
    "segment": (0.25, 0.9),
    "assemble": (0.9, 1.0),
}


class ModelRun:
    """Starts, follows and cancels the dock's run."""

    def __init__(self, dock: RunDock, estimation: Estimation, clock: Callable[[], float]) -> None:
        self._dock, self._estimation, self._clock = dock, estimation, clock
        self.task: queue.Task | None = None
        self._started = 0.0

    def start(self, request: Request, volumes: Sequence[Volume], images: Sequence[Layer]) -> None:
        """Start, or wait for the work before it. volumes : the channels, not yet stacked, of `images`."""
        self._estimation.stop()
        name = _result_name(request)
        self._started = self._clock()
        self._dock.update(
            phase=Phase.WAITING,
            progress=RunProgress(words.QUEUED if queue.is_busy() else "Starting"),
            summary=RunSummary(),
            message="",
            details="",
        )
        self.task = self._dock.runner(
            lambda: self._dock.models.run(replace(request, volume=channels.stacked(volumes))),
            self._progressed,
            lambda prediction: self._done(prediction, name, images),
            self._failed,
            title=name,
        )

    def cancel(self) -> None:
        """The dock is ready at once; the run ends at its next step and its result is dropped."""
        if self.task is not None:
            self.task.cancel()
            self.task = None
            self._dock.update(phase=Phase.IDLE, progress=RunProgress(), message=words.CANCELLED)

    def _progressed(self, step: Progress) -> None:
        low, high = SHARES.get(step.stage, (0.0, 1.0))
        within = low + (high - low) * (step.done / step.total if step.total else 0.0)
        share = (step.part + within) / step.parts
        self._dock.update(
            phase=Phase.RUNNING,
            progress=RunProgress(step.message or step.stage, share, self._seconds_left(share)),
        )

    def _seconds_left(self, share: float) -> float | None:
        """From the share done, once a tenth is; before that from the estimate, if there is one."""
        passed, estimate = self._clock() - self._started, self._dock.state.estimate
        if share >= 0.1 and passed > 1:
            return passed * (1 - share) / share
        return None if estimate is None else max(0.0, estimate.seconds - passed)

    def _done(self, prediction: Prediction, name: str, images: Sequence[Layer]) -> None:
        self.task = None
        dock, viewer = self._dock, self._dock.viewer
        dock.state = replace(dock.state, phase=Phase.DONE)
        before, covered = list(viewer.layers), previous_results.hide(viewer, images)
        layer = add_prediction(viewer, prediction, name)
        previous_results.remember([one for one in viewer.layers if one not in before], images)
        dock.study.prediction = layer.name
        dock.update(
            phase=Phase.DONE,
            progress=RunProgress(share=1.0),
            message=words.done(
                layer.name,
                self._clock() - self._started,
                empty=not prediction.labels.array.any(),
                maps=prediction.edge_map is not None or prediction.disagreement is not None,
                covered=covered,
            ),
            summary=RunSummary(tuple(prediction.warnings), confidence_of(prediction)),
            details=json.dumps(prediction.provenance, indent=1, default=str),
        )

    def _failed(self, error: Exception) -> None:
        self.task = None
        self._dock.show_error(
            error, phase=Phase.FAILED, progress=RunProgress(), to_fix=self._dock.described_network()
        )


def _result_name(request: Request) -> str:
    names = [bundle.name for bundle in request.bundles]
    return names[0] if len(names) == 1 else f"{request.combine} of {', '.join(names)}"
