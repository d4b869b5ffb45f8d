"""What an estimate and a run need of the Run model dock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ctseg.background import queue
from napari_ctseg.docks.dock_controller import DockController, DockView
from napari_ctseg.docks.run_model.run.request import Models
from napari_ctseg.docks.run_model.state import RunModelState

if TYPE_CHECKING:
    import napari

    from napari_ctseg.preferences import Preferences

Runner = Callable[..., queue.Task]


class RunDock(DockController[RunModelState]):
    """models : what can be run. runner : puts work into the queue."""

    NAME = "run_model"

    def __init__(
        self,
        view: DockView[RunModelState],
        viewer: napari.viewer.Viewer,
        preferences: Preferences,
        state: RunModelState,
        models: Models,
        runner: Runner,
    ) -> None:
        super().__init__(view, viewer, preferences, state)
        self.models, self.runner = models, runner

    def described_network(self) -> Path | None:
        """The first chosen model's network file whose side file can be rewritten."""
        return next((info.described for info in self.state.members if info.described is not None), None)
