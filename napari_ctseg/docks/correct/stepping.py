"""What the Correct & export dock does about undo steps and kept edits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.volume import Labels
from napari_ctseg.background.threads import ThreadedCall
from napari_ctseg.docks.correct import words
from napari_ctseg.docks.correct.state import CorrectState
from napari_ctseg.journal.history import Gesture
from napari_ctseg.journal.replay import Replayed, replay
from napari_ctseg.recovery.autosave import Autosave
from napari_ctseg.viewer.layers import go_to_slice, source_of
from napari_ctseg.viewer.painting import Painting

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels as LabelsLayer

NO_LABELS = Labels()


class Steps:
    """A part of the controller, which has the rest."""

    viewer: napari.viewer.Viewer
    state: CorrectState
    _autosave: Autosave
    _aside: ThreadedCall

    @property
    def _layer(self) -> LabelsLayer | None:
        raise NotImplementedError

    def _show(self, state: CorrectState) -> None:
        raise NotImplementedError

    def _failed(self, error: Exception) -> None:
        raise NotImplementedError

    def choose(self, name: str) -> None:
        """Correct this mask."""
        raise NotImplementedError

    def undo(self) -> None:
        """Take back the last stroke or operation."""
        self._go(Painting.undo, "There is nothing to undo.")

    def redo(self) -> None:
        """Do again what was undone."""
        self._go(Painting.redo, "There is nothing to redo.")

    def go_to_step(self, done: int) -> None:
        """Undo or redo until so many steps are done, and show the slice of the last one."""
        if (layer := self._layer) is None:
            return
        painting = Painting.of(layer)
        painting.go_to_step(done)
        if done and (here := painting.steps.history.done[done - 1].meta.get("slice")) is not None:
            go_to_slice(self.viewer, layer, here)

    def restore(self) -> None:
        """Open the newest kept edits as a mask of their own."""
        if not self.state.kept or self.state.working:
            return
        kept = self.state.kept[0]

        def done(replayed: Replayed) -> None:
            self._show(replace(self.state, working=""))
            try:
                layer = self._autosave.show(kept, replayed)
            except CtsegError as error:
                self._failed(error)
                return
            self.choose(layer.name)

        self._show(replace(self.state, working="restoring", message="", details=""))
        self._aside(lambda: replay(kept.path), done, self._failed)

    def list_kept(self) -> None:
        """Show all that is kept for this image, and what was discarded."""
        self._autosave.offers.emit()

    def discard(self) -> None:
        """Put the newest kept edits aside; they can be brought back for a fortnight."""
        if self.state.kept:
            self._autosave.discard(self.state.kept[0])

    # ---- inside

    def _exported(self, layer: LabelsLayer) -> None:
        if (recording := self._autosave.recording(layer)) is not None:
            recording.exported()

    def _list_kept(self) -> None:
        self._show(replace(self.state, kept=self._autosave.waiting))

    def _show_steps(self) -> None:
        if (layer := self._layer) is None:
            return
        history, recording = Painting.of(layer).steps.history, self._autosave.recording(layer)
        source = source_of(layer)
        labels = source.labels if source is not None and source.labels is not None else NO_LABELS
        steps = tuple(_line(gesture, labels) for gesture in (*history.done, *reversed(history.undone)))
        saved = words.unsaved(recording.unsaved if recording is not None else 0)
        self._show(replace(self.state, steps=steps, step=len(history.done), saved=saved))

    def _go(self, step: Callable[[Painting], None], empty: str) -> None:
        if self._layer is None:
            return
        painting = Painting.of(self._layer)
        before = len(painting.steps.log)
        step(painting)
        if len(painting.steps.log) == before and not self.state.message:
            self._show(replace(self.state, message=empty))


_LINES: WeakKeyDictionary[Gesture, tuple[Labels, str]] = WeakKeyDictionary()


def _line(gesture: Gesture, labels: Labels) -> str:
    """What the list says of a step; made once, because the list is drawn after every stroke."""
    known = _LINES.get(gesture)
    if known is None or known[0] is not labels:
        known = _LINES[gesture] = labels, words.step(gesture.meta, labels)
    return known[1]
