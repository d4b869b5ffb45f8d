"""The autosave of one viewer: which layers are recorded, which edits can be restored, which other viewer
edits the image, and what happens when a layer is removed.
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from ctseg_imaging.errors import FormatError
from napari_ctseg.journal import folder
from napari_ctseg.journal.limits import UNDO
from napari_ctseg.journal.replay import Replayed, replay
from napari_ctseg.journal.writer import WRITER
from napari_ctseg.recovery import claims
from napari_ctseg.recovery.disk_space import DiskSpace
from napari_ctseg.recovery.recording import Recording
from napari_ctseg.viewer.layers import MADE, source_of
from napari_ctseg.viewer.proxies import unwrapped
from napari_ctseg.viewer.review import Marks, keep_marks
from napari_ctseg.viewer.showing import show_labels
from napari_ctseg.viewer.study import study_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels as LabelsLayer
    from napari.layers import Layer


class Autosave:
    """Records every label layer of the viewer that has patient coordinates, from its first change on.

    waiting : the saved edits for the images and masks of this viewer that belong to no open layer. offers :
    emitted when that list has grown. listed : `waiting` changed. changed : a recording changed. message : a
    sentence for the user; may come from the writer's thread. in_use : why the layers became read-only.
    leaving, dock_left : a recording with unexported edits whose layer was removed, or whose dock was closed;
    the receiver of the first calls `answered`.
    """

    offers = Signal()
    listed = Signal()
    changed = Signal()
    message = Signal(str)
    in_use = Signal(str)
    leaving = Signal(object)
    dock_left = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = weakref.ref(viewer)
        self._recordings: dict[LabelsLayer, Recording] = {}
        self._leaving: list[Recording] = []
        self._offered: set[Path] = set()
        self.disk_space = DiskSpace(self._report)
        self.keys: set[str] = set()
        self.waiting: tuple[folder.Kept, ...] = ()
        viewer.layers.events.inserted.connect(self._inserted)
        viewer.layers.events.removed.connect(self._removed)
        for layer in viewer.layers:
            self._watch(layer)

    # ---- which layers

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """One recording per label layer that can be saved."""
        return tuple(self._recordings.values())

    @property
    def unsaved(self) -> tuple[Recording, ...]:
        """The recordings with edits that were not exported."""
        return tuple(one for one in self.recordings if one.unsaved)

    def recording(self, layer: LabelsLayer) -> Recording | None:
        """The recording of `layer` (or of its proxy); None if it is not recorded."""
        return self._recordings.get(unwrapped(layer))

    def _inserted(self, event: Any) -> None:
        self._watch(event.value)

    def _watch(self, layer: Layer) -> None:
        layer = unwrapped(layer)
        source = source_of(layer) if getattr(layer, "ndim", 0) == 3 and hasattr(layer.data, "shape") else None
        if source is None or layer.metadata.get(MADE):
            return
        if hasattr(layer, "n_edit_dimensions"):
            recording = Recording(layer, lambda: self.key(layer))
            recording.changed.connect(self._changed)
            recording.failed.connect(self._report)
            recording.kept.connect(self._well)
            recording.began.connect(self.disk_space.tidy_later)
            self._recordings[layer] = recording
        else:  # an image that is opened again offers its edits again
            key = folder.key_of(source.geometry, source.source)
            self._offered = {path for path in self._offered if not path.name.startswith(key)}
        self.keys.add(folder.key_of(source.geometry, source.source))
        self.check_use()
        self.list_waiting()

    def _changed(self) -> None:
        self.changed.emit()

    def _report(self, sentence: str) -> None:
        self.message.emit(sentence)

    def _well(self) -> None:
        self.message.emit("Edits are saved for recovery again.")

    def _removed(self, event: Any) -> None:
        recording = self._recordings.pop(unwrapped(event.value), None)
        if recording is None:
            return
        recording.flush()
        if recording.unsaved and len(self.leaving):
            self._leaving.append(recording)
            self.leaving.emit(recording)
        else:
            recording.close()
            self.list_waiting()
        self.changed.emit()

    def answered(self, recordings: Sequence[Recording]) -> None:
        """The question about removed layers was answered. Their saved edits are not offered again until the
        image is reopened.
        """
        self._offered |= {one.path for one in recordings if one.path is not None}
        for recording in recordings:
            recording.close()
            self._leaving.remove(recording)
        WRITER.flush()

    def key(self, layer: LabelsLayer | None = None) -> str:
        """What edits belong to: the study's image, or the mask's own grid and file without an image."""
        viewer = self._viewer()
        name = study_of(viewer).image if viewer is not None else None
        source = (
            source_of(viewer.layers[name])
            if viewer is not None and name is not None and name in viewer.layers
            else None
        )
        if source is None and layer is not None:
            source = source_of(layer)
        return "" if source is None else folder.key_of(source.geometry, source.source)

    # ---- earlier edits

    @property
    def everything(self) -> tuple[folder.Kept, ...]:
        """All saved masks of any image that belong to no open layer, the newest first."""
        return _not_open(folder.find())

    def list_waiting(self) -> None:
        """Read the folder again."""
        self.waiting = _not_open(folder.find(*self.keys)) if self.keys else ()
        self.listed.emit()
        new = {kept.path for kept in self.waiting} - self._offered
        self._offered |= new
        if new:
            self.offers.emit()

    def restore(self, kept: folder.Kept) -> LabelsLayer:
        """Open saved edits as a separate mask with its undo history. Raises FormatError if they are damaged
        or already open.
        """
        return self.show(kept, replay(kept.path))

    def show(self, kept: folder.Kept, replayed: Replayed) -> LabelsLayer:
        """As `restore`, from an already replayed journal."""
        viewer = self._viewer()
        assert viewer is not None, "the viewer is gone"
        if not _not_open([kept]):
            raise FormatError(f"{kept.path}: these edits are open already.")
        layer = show_labels(viewer, replayed.label_map, "recovered mask", replayed.provenance, role="edited")
        if replayed.review:
            keep_marks(layer, Marks.from_json(replayed.review))
        recording = self._recordings[unwrapped(layer)]
        recording.continue_from(kept, replayed)
        study_of(viewer).edited = layer.name  # correcting goes on with it
        self.list_waiting()
        return layer

    def discard(self, kept: folder.Kept) -> None:
        """Discard one; `folder.bring_back` restores it within a fortnight."""
        folder.discard(kept.path)
        self.list_waiting()

    def bring_back(self, kept: folder.Kept) -> None:
        """Undo `discard`. Raises FormatError if it is gone."""
        folder.bring_back(kept.path)
        self.list_waiting()

    def limits_changed(self) -> None:
        """The user changed the limits."""
        for recording in self.recordings:
            recording.painting.steps.history.set_limit(UNDO.bytes)
        self.disk_space.tidy_later()

    # ---- leaving

    def left(self, layer: LabelsLayer) -> None:
        """The dock that edited `layer` is closed; the layer stays."""
        if (recording := self.recording(layer)) is not None and recording.unsaved:
            self.dock_left.emit(recording)

    def close(self) -> None:
        """The viewer closes: flush everything to disk, and let other viewers edit its images."""
        for recording in self.recordings:
            recording.close()
        self._recordings.clear()
        others = {key for one in _AUTOSAVES.values() if one is not self for key in one.keys}
        claims.release(self.keys - others)
        self.keys = set()

    # ---- other viewers

    def check_use(self) -> None:
        """Make the label layers read-only while another process edits one of the images, and editable again
        afterwards.
        """
        why = claims.why_in_use(self.keys)
        if why is None:
            return
        fresh = False
        for recording in self.recordings:
            fresh = fresh or recording.painting.read_only != why
            recording.painting.read_only = why
        if fresh and why:
            self.in_use.emit(why)

    def take_over(self) -> None:
        """Edit here; the other viewer becomes read-only."""
        claims.take_over(self.keys)
        self.check_use()


_AUTOSAVES: weakref.WeakKeyDictionary[Any, Autosave] = weakref.WeakKeyDictionary()


@atexit.register
def _release_all() -> None:
    claims.release({key for autosave in _AUTOSAVES.values() for key in autosave.keys})


def autosave_of(viewer: napari.viewer.Viewer) -> Autosave:
    """The autosave of a viewer or its proxy, made at the first call, with dialogs if there is a window."""
    viewer = unwrapped(viewer)
    if viewer not in _AUTOSAVES:
        _AUTOSAVES[viewer] = autosave = Autosave(viewer)
        if hasattr(viewer, "window"):
            from napari_ctseg.recovery.widgets.questions import Questions

            autosave.questions = Questions(viewer, autosave)  # type: ignore[attr-defined]
        autosave.disk_space.tidy_later()
    return _AUTOSAVES[viewer]


def attach_current() -> None:
    """Attach autosave to the current viewer, if there is one: a reader does not know for which viewer it
    reads.
    """
    import napari

    if (viewer := napari.current_viewer()) is not None:
        autosave_of(viewer)


def _not_open(found: Iterable[folder.Kept]) -> tuple[folder.Kept, ...]:
    open_here = {
        one.path for autosave in _AUTOSAVES.values() for one in (*autosave.recordings, *autosave._leaving)
    }
    return tuple(kept for kept in found if kept.path not in open_here)
