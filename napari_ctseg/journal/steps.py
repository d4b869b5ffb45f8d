"""Undo and redo of one array across slices and tools, and the signals that a journal follows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_ctseg.journal.frames import FrameKind
from napari_ctseg.journal.history import Gesture, History
from napari_ctseg.journal.limits import UNDO
from napari_ctseg.journal.patches import Change, Patch, between, pack, values_at, write

Frozen = Callable[[NDArray[Any]], NDArray[np.bool_]]


class Steps:
    """The gestures of one array.

    array : returns it in its current state. frozen : given values, those that must neither appear nor
    disappear. starting : the array is about to change and no gesture is in progress. added, ended, aborted :
    about the gesture in progress. moved : FrameKind.UNDO or REDO, and the patch about to be written. replaced
    : another array took its place, with other values (True) or the same. log : everything that was done,
    including undone steps. held_back : how many voxels the last undo or redo left unchanged because they are
    frozen.
    """

    starting = Signal()
    added = Signal(object)
    ended = Signal(object)
    aborted = Signal(object)
    moved = Signal(object, object)
    replaced = Signal(bool)

    def __init__(self, array: Callable[[], NDArray[Any]], frozen: Frozen, log: list[dict[str, Any]]) -> None:
        self._array, self._frozen, self.log = array, frozen, log
        self.history, self.held_back = History(UNDO.bytes), 0
        self._open: Gesture | None = None

    def add(self, change: Change) -> None:
        """The array changes, as part of the gesture in progress or of a new one."""
        if self._open is None:
            self.starting.emit()
            self._open = Gesture(self._array().shape, {"slice": change.middle})
        self._open.add(change)
        self.added.emit(self._open)

    def end(self, meta: dict[str, Any]) -> None:
        """The gesture in progress is complete; it becomes one undo step."""
        if (gesture := self._open) is None:
            return
        self._open = None
        gesture.meta |= {**meta, "at": datetime.now(UTC).isoformat(timespec="seconds")}
        self.history.push(gesture)
        self.log.append(gesture.meta)
        self.ended.emit(gesture)

    def abort(self) -> None:
        """The gesture in progress was cancelled."""
        if (gesture := self._open) is not None:
            self._open = None
            self.aborted.emit(gesture)

    def undo(self) -> Patch | None:
        """Undo the last gesture except for frozen voxels. Returns the patch that was written; None if there
        is nothing to undo.
        """
        return self._move(FrameKind.UNDO) if self.history.done else None

    def redo(self) -> Patch | None:
        """Redo the last undone gesture, as `undo`."""
        return self._move(FrameKind.REDO) if self.history.undone else None

    def _move(self, kind: FrameKind) -> Patch:
        self.end({"operation": "stroke"})
        self.starting.emit()
        undoing = kind is FrameKind.UNDO
        gesture = self.history.back() if undoing else self.history.forth()
        step = gesture.patch()
        now, wanted = values_at(self._array(), step), step.old if undoing else step.new
        differs = now != wanted
        free = differs & ~self._frozen(now) & ~self._frozen(wanted)
        self.held_back = int(np.count_nonzero(differs) - np.count_nonzero(free))
        patch = Patch(step.index, now, wanted).where(free)
        self.log.append({"operation": "undo" if undoing else "redo"})
        self.moved.emit(kind, patch)  # before the array changes, as every edit
        write(self._array(), patch)
        return patch

    def replace(self, before: NDArray[Any], after: NDArray[Any]) -> None:
        """Another array took its place: one undo step if the shape is the same, else the history ends."""
        self._open = None
        changed = True
        if before.shape != after.shape:
            self.history = History(self.history.limit)
        elif len(patch := between(before, after)):
            meta = {"operation": "replaced", "at": datetime.now(UTC).isoformat(timespec="seconds")}
            self.history.push(Gesture(after.shape, meta, [pack(patch)]))
            self.log.append(meta)
        else:
            changed = False
        self.replaced.emit(changed)
