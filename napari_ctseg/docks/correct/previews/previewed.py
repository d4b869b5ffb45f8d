"""A change of one class that is shown as an outline until it is applied as one undo step, or cancelled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.editing.morphology import Slices
from napari_ctseg.background.threads import LatestCall, ThreadedCall
from napari_ctseg.docks.correct.mask_dock import MaskDock
from napari_ctseg.docks.correct.previews.outline import Outline
from napari_ctseg.docks.correct.state import PreviewState
from napari_ctseg.keys import bind, release
from napari_ctseg.keys import table as keys
from napari_ctseg.viewer.painting import set_mask

if TYPE_CHECKING:
    from napari.layers import Labels as LabelsLayer


@dataclass(frozen=True, eq=False)
class Change:
    """What the class becomes within a box of the mask. before, shape : (z, y, x) of the box, the class as it
    was when this was computed and as it becomes. drawn : what is shown instead, None for the shape. then :
    called when it is shown.
    """

    box: Slices
    before: NDArray[np.bool_]
    shape: NDArray[np.bool_]
    drawn: NDArray[np.bool_] | None = None
    then: Callable[[], None] = lambda: None


class Previewed(ABC):
    """One tool of the dock that previews a change of the selected class.

    TOOL : its name in the state and in the list of steps. target : the mask and the class while the tool is
    at work, else None.
    """

    TOOL: ClassVar[str]

    def __init__(self, dock: MaskDock, aside: ThreadedCall) -> None:
        self._dock = dock
        self.target: tuple[LabelsLayer, int] | None = None
        self._outline: Outline | None = None
        self._change: Change | None = None
        self._call = LatestCall(aside, self._failed)

    def why_not(self) -> str:
        """Why the tool cannot be taken up, "" when it can."""
        return self._dock.state.operation_why_not

    @abstractmethod
    def record(self) -> dict[str, Any]:
        """What the list of edits keeps of the change."""

    @abstractmethod
    def started(self) -> None:
        """The outline is there; ask for the first change."""

    @abstractmethod
    def ended(self) -> None:
        """The outline is gone; forget what it was made from."""

    # ---- what the user does

    def begin(self) -> None:
        """Show the outline."""
        dock, layer = self._dock, self._dock.layer
        if self.target is not None:
            return
        if layer is None or (why_not := self.why_not()):
            dock.update(message=dock.state.operation_why_not if layer is None else why_not)
            return
        self.target, self._change = (layer, dock.state.classes.selected), None
        self._outline = Outline(dock.viewer, layer)
        for one in (layer, self._outline.layer):
            bind(one, keys.APPLY_PREVIEW, self.apply)
            bind(one, keys.CANCEL_PREVIEW, self.cancel)
        dock.viewer.layers.selection.active = layer
        dock.update(message="", details="")
        self._show()
        self.started()

    def apply(self) -> None:
        """Make the change as one undo step."""
        if self.target is None or self._call.running or self._change is None:
            return
        (layer, value), change = self.target, self._change
        record = {"operation": self.TOOL, "label": value, **self.record()}
        self.cancel()
        wanted = np.asarray(layer.data) == value
        wanted[change.box] ^= change.before ^ change.shape  # what was painted during the preview stays
        changed = set_mask(layer, value, wanted, record)
        self._dock.update(message=f"{self.TOOL.capitalize()}: {changed} voxels changed.")

    def cancel(self) -> None:
        """Take the outline away; the mask stays as it is, and a change under way is dropped."""
        if self.target is None or self._outline is None:
            return
        layer, outline = self.target[0], self._outline
        self.target = self._outline = self._change = None
        self._call.drop()
        for gesture in (keys.APPLY_PREVIEW, keys.CANCEL_PREVIEW):
            release(layer, gesture)
        outline.close()
        self.ended()
        self._show()

    # ---- what happens elsewhere

    def refresh(self) -> None:
        """Give up where the outline or the mask is gone or another mask is corrected."""
        if self.target is None or self._outline is None:
            return
        if not self._outline.open or self._dock.layer != self.target[0]:
            self.cancel()

    # ---- inside

    def ask(self, work: Callable[[], Change]) -> None:
        """Compute a change in a thread and show it; of those asked for meanwhile only the last."""
        if (outline := self._outline) is not None:
            self._call.ask(work, lambda change: self._done(outline, change))
            self._show()

    def _done(self, outline: Outline, change: Change) -> None:
        if self._outline is outline and outline.open:
            self._change = change
            outline.draw(change.box, change.shape if change.drawn is None else change.drawn)
            change.then()
        self._show()

    def _failed(self, error: Exception) -> None:
        self._dock.show_error(error)
        self.cancel()

    def _show(self) -> None:
        if self.target is None:
            if self._dock.state.preview.tool == self.TOOL:
                self._dock.update(preview=PreviewState())
            return
        ready = self._change is not None and self._call.idle
        self._dock.update(preview=PreviewState(self.TOOL, ready))
