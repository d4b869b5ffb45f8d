"""What the Correct dock does about undo steps and edits of an earlier session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from weakref import WeakKeyDictionary

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.volume import Labels
from napari_ctseg.background.threads import ThreadedCall
from napari_ctseg.docks.correct import words
from napari_ctseg.docks.correct.mask_dock import MaskDock
from napari_ctseg.docks.correct.state import UndoSteps
from napari_ctseg.journal.history import Gesture
from napari_ctseg.journal.replay import Replayed, replay
from napari_ctseg.recovery.autosave import Autosave
from napari_ctseg.viewer.layers import go_to_slice, source_of
from napari_ctseg.viewer.painting import Painting

NO_LABELS = Labels()


class Steps:
    """Undoes, redoes, restores and discards for one dock."""

    def __init__(self, dock: MaskDock, autosave: Autosave, aside: ThreadedCall) -> None:
        self._dock, self._autosave, self._aside = dock, autosave, aside
        self._lines: WeakKeyDictionary[Gesture, tuple[Labels, str]] = WeakKeyDictionary()

    def undo(self) -> None:
        """Take back the last stroke or operation."""
        self._move(Painting.undo, "There is nothing to undo.")

    def redo(self) -> None:
        """Do again what was undone."""
        self._move(Painting.redo, "There is nothing to redo.")

    def go_to_step(self, done: int) -> None:
        """Undo or redo until this many steps are done, and show the slice of the last one."""
        if (layer := self._dock.layer) is None:
            return
        painting = Painting.of(layer)
        painting.go_to_step(done)
        if done and (here := painting.steps.history.done[done - 1].meta.get("slice")) is not None:
            go_to_slice(self._dock.viewer, layer, here)

    def restore(self) -> None:
        """Open the newest kept edits as a mask of their own."""
        dock = self._dock
        if not dock.state.kept or dock.state.working:
            return
        kept = dock.state.kept[0]

        def done(replayed: Replayed) -> None:
            dock.update(working="")
            try:
                layer = self._autosave.show(kept, replayed)
            except CtsegError as error:
                dock.show_error(error)
                return
            dock.choose(layer.name)

        dock.update(working="restoring", message="", details="")
        self._aside(lambda: replay(kept.path), done, dock.show_error)

    def list_kept(self) -> None:
        """Open the list of all kept and discarded edits of this image."""
        self._autosave.offers.emit()

    def discard(self) -> None:
        """Put the newest kept edits aside; they can be brought back for a fortnight."""
        if self._dock.state.kept:
            self._autosave.discard(self._dock.state.kept[0])

    def show_kept(self) -> None:
        """Show which edits of an earlier session wait."""
        self._dock.update(kept=self._autosave.waiting)

    def show(self) -> None:
        """Show the steps of the mask, and how many are not exported."""
        if (layer := self._dock.layer) is None:
            return
        history, recording = Painting.of(layer).steps.history, self._autosave.recording(layer)
        source = source_of(layer)
        labels = source.labels if source is not None and source.labels is not None else NO_LABELS
        lines = tuple(self._line(gesture, labels) for gesture in (*history.done, *reversed(history.undone)))
        unsaved = words.unsaved(recording.unsaved if recording is not None else 0)
        export = replace(self._dock.state.export, unsaved=unsaved)
        self._dock.update(steps=UndoSteps(lines, len(history.done)), export=export)

    def _move(self, step: Callable[[Painting], None], empty: str) -> None:
        if self._dock.layer is None:
            return
        painting = Painting.of(self._dock.layer)
        before = len(painting.steps.log)
        step(painting)
        if len(painting.steps.log) == before and not self._dock.state.message:
            self._dock.update(message=empty)

    def _line(self, gesture: Gesture, labels: Labels) -> str:
        """The list's line for a step; made once, because the list is drawn after every stroke."""
        known = self._lines.get(gesture)
        if known is None or known[0] is not labels:
            known = self._lines[gesture] = labels, words.step(gesture.meta, labels)
        return known[1]
