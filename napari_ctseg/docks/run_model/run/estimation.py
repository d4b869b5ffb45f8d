"""How long a run will take and how much memory it needs, worked out before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_ctseg.background import queue
from napari_ctseg.docks.run_model import words
from napari_ctseg.docks.run_model.run import channels
from napari_ctseg.docks.run_model.run.request import Request
from napari_ctseg.docks.run_model.run.run_dock import RunDock
from napari_ctseg.docks.run_model.state import Phase

if TYPE_CHECKING:
    from ctseg_imaging.volume import Volume
    from ctseg_models.inference import Estimate


class Estimation:
    """Works out the estimate for the current choices and keeps it in the dock's state."""

    def __init__(self, dock: RunDock) -> None:
        self._dock = dock
        self._task: queue.Task | None = None

    def start(self, request: Request, volumes: Sequence[Volume]) -> None:
        """Load the models and measure. volumes : the channels, not yet stacked."""
        self.stop()
        if any(info.locked for info in self._dock.state.members):
            self._dock.update(estimate=None, message=words.NO_ESTIMATE, details="")
            return
        self._dock.update(estimating=True, estimate=None)
        self._task = self._dock.runner(
            lambda: self._dock.models.estimate(replace(request, volume=channels.stacked(volumes))),
            lambda step: None,
            self._done,
            self._failed,
            title="Expected time",
        )

    def stop(self) -> None:
        """Stop measuring; an estimate that is known stays."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self._dock.state = replace(self._dock.state, estimating=False)

    def _done(self, estimate: Estimate) -> None:
        self._task = None
        self._dock.update(estimating=False, estimate=estimate)

    def _failed(self, error: Exception) -> None:
        self._task = None
        network = self._dock.described_network()
        self._dock.show_error(error, phase=Phase.FAILED, estimating=False, to_fix=network)
