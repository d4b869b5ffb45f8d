"""The edits of one Labels layer: who may make them, which slices they changed, and undo and redo."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from psygnal import Signal

from ctseg_imaging.errors import GeometryError
from napari_ctseg.background.timers import single_shot
from napari_ctseg.journal.patches import Patch
from napari_ctseg.journal.steps import Steps
from napari_ctseg.viewer.layers import can_be_painted
from napari_ctseg.viewer.painting.brush_rules import BrushRules, Index
from napari_ctseg.viewer.painting.guards import guard
from napari_ctseg.viewer.proxies import unwrapped

FRAME_MS = 16
EDITS = "ctseg_edits"  # what was done to a layer, in its metadata: it goes where the layer goes


class Painting:
    """Watches one Labels layer; `of` returns the one object of a layer.

    touched : the slices (axis 0 of layer.data) changed since the last frame, ascending, and the box
    (z, y, x) around what changed. painted : that box, before `touched`. painted_on : the layer of a linked
    plane that it was drawn on, None for the layer itself. refused : why a stroke changed nothing.
    locked_out : the same, where it was the layer's padlock or another viewer. replaced : `layer.data` is
    another array now. steps : undo and redo, also for napari's own keys.
    """

    touched = Signal(tuple, tuple)
    painted = Signal(tuple)
    refused = Signal(str)
    locked_out = Signal(str)
    replaced = Signal()
    read_only_changed = Signal()

    def __init__(self, layer: Labels) -> None:
        self._layer = weakref.ref(layer)
        self.rules = BrushRules()
        self._read_only = ""
        self.version = 0
        self.only_locks = False
        self._record: dict[str, Any] | None = None
        self._array = layer.data
        self.steps = Steps(lambda: layer_of(self._layer).data, self._is_locked, edits_of(layer))
        self._pending: set[int] = set()
        self._box: tuple[slice, slice] | None = None
        self.painted_on: Labels | None = None
        self._timer = single_shot(FRAME_MS, self.flush)
        guard(layer, self)
        layer.events.data.connect(self._everything)

    @classmethod
    def of(cls, layer: Labels) -> Painting:
        """The layer's Painting, made at the first call. Raises GeometryError unless the layer is a plain 3D
        array.
        """
        if not can_be_painted(layer):
            raise GeometryError(
                f"The layer {layer.name} is not a plain 3D label map; only those can be painted."
            )
        # A plugin is handed napari's proxies of layers; the guards belong on the layer itself.
        layer = unwrapped(layer)
        if (known := layer.__dict__.get("_ctseg_painting")) is None:
            known = layer.__dict__["_ctseg_painting"] = cls(layer)
        painting: Painting = known
        return painting

    @property
    def read_only(self) -> str:
        """Why nothing may change at all, "" when it may."""
        return self._read_only

    @read_only.setter
    def read_only(self, why: str) -> None:
        if why != self._read_only:
            self._read_only = why
            self.read_only_changed.emit()

    @contextmanager
    def operation(self, record: dict[str, Any] | None = None) -> Iterator[None]:
        """Within: one undo step with `record` in the list of edits. Locks count, the HU range and napari's
        preserve_labels do not.
        """
        layer = layer_of(self._layer)
        before, self.only_locks, self._record = layer.preserve_labels, True, record
        try:
            with layer.events.preserve_labels.blocker():
                layer.preserve_labels = False
            with layer.block_history():
                yield
        finally:
            self.only_locks, self._record = False, None
            with layer.events.preserve_labels.blocker():
                layer.preserve_labels = before

    def flush(self) -> None:
        """Report what is pending now instead of at the next frame."""
        self._timer.stop()
        slices, self._pending = tuple(sorted(self._pending)), set()
        box, self._box = self._box, None
        if slices and box is not None:
            where = (slice(slices[0], slices[-1] + 1), *box)
            self.painted.emit(where)
            self.painted_on = None
            self.touched.emit(slices, where)

    def note(self, start: int, stop: int, within: Index | None = None) -> None:
        """Slices from `start` to before `stop` changed, somewhere or in the rows and columns `within`; they
        are reported at the next frame.
        """
        self.version += 1
        if not self._pending:
            self._timer.start()
        self._pending.update(range(start, stop))
        shape = layer_of(self._layer).data.shape[1:]
        parts = within or (slice(None), slice(None))
        rows, columns = (slice(*part.indices(n)[:2]) for part, n in zip(parts, shape, strict=True))
        self._box = (rows, columns) if self._box is None else _around(self._box, (rows, columns))

    def undo(self) -> None:
        """Undo the last stroke, polygon, fill or operation in any slice; locked classes stay."""
        self._move(self.steps.undo)

    def redo(self) -> None:
        """Do again what was undone last."""
        self._move(self.steps.redo)

    def go_to_step(self, done: int) -> None:
        """Undo or redo until `done` steps are done."""
        for _ in range(len(self.steps.history.done) - done):
            self.undo()
        for _ in range(done - len(self.steps.history.done)):
            self.redo()

    def _move(self, step: Callable[[], Patch | None]) -> None:
        if self.refuses():
            return
        patch = step()
        if patch is not None and self.steps.held_back:
            self.refused.emit("Locked classes were not changed.")
        if patch is not None and len(patch):
            layer = layer_of(self._layer)
            layer.refresh()
            self.note(*patch.slices(layer.data.shape))

    def _everything(self) -> None:
        if (layer := self._layer()) is None:
            return
        if self._array is not layer.data:
            before, self._array = self._array, layer.data
            self.steps.replace(before, layer.data)
            self.replaced.emit()
        self.note(0, layer.data.shape[0])

    def _is_locked(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        return self.rules.is_locked(values)

    def refuses(self) -> bool:
        """Whether the padlock or another viewer refuses a change; emits the reason."""
        why, layer = self.read_only, self._layer()
        if not why and layer is not None and layer.locked:
            why = (
                f"{layer.name} is locked: unlock it (the padlock in the layer list) to change it, or correct "
                "a copy."
            )
        if why:
            self.refused.emit(why)
            self.locked_out.emit(why)
        return bool(why)

    @property
    def depth(self) -> int:
        """The number of slices."""
        return int(layer_of(self._layer).data.shape[0])

    def end_stroke(self) -> None:
        """The stroke or operation under way is complete: one undo step."""
        layer = layer_of(self._layer)
        self.steps.end(self._record or {"operation": str(layer.mode), "label": int(layer.selected_label)})

    def abort_stroke(self) -> None:
        """The stroke under way was taken back."""
        self.steps.abort()
        self.note(0, self.depth)


def _around(one: tuple[slice, slice], other: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = (
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )
    return rows, columns


def layer_of(reference: weakref.ref[Labels]) -> Labels:
    """The layer, which the caller of one of its methods keeps alive."""
    layer = reference()
    assert layer is not None, "the layer was removed"
    return layer


def edits_of(layer: Labels) -> list[dict[str, Any]]:
    """What was done to this layer so far, oldest first, as plain JSON."""
    edits: list[dict[str, Any]] = layer.metadata.setdefault(EDITS, [])
    return edits
