"""The journal of one label layer: from the first change on, every step is passed to the writer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from ctseg_imaging.errors import FormatError
from ctseg_imaging.volume import Labels
from napari_ctseg.journal import folder
from napari_ctseg.journal.file import JournalFile, Start
from napari_ctseg.journal.frames import FrameKind
from napari_ctseg.journal.history import Gesture
from napari_ctseg.journal.patches import Patch
from napari_ctseg.journal.replay import Replayed, labels_to_json
from napari_ctseg.journal.writer import WRITER
from napari_ctseg.viewer.layers import KEY, LayerSource, source_of
from napari_ctseg.viewer.painting import Painting
from napari_ctseg.viewer.review import Review, marks_of

if TYPE_CHECKING:
    from napari.layers import Labels as LabelsLayer

DRAWING = ("paint", "erase", "fill", "polygon")


class Recording:
    """Records `layer` until `close`.

    key : returns the image that the edits belong to, as folder.key_of does. changed : after every step,
    export or discard. failed : edits can no longer be saved; kept : they can be again. Both may come from the
    writer's thread. began : a file was started. unsaved : steps since the layer was opened or exported.
    """

    changed = Signal()
    failed = Signal(str)
    kept = Signal()
    began = Signal()

    def __init__(self, layer: LabelsLayer, key: Callable[[], str]) -> None:
        self.layer, self._key = layer, key
        self.painting = Painting.of(layer)
        self.path: Path | None = None
        self.unsaved = 0
        self._file: JournalFile | None = None
        self._before = 0  # steps in generations that were written over
        self._labels: Labels | None = None
        self._part_of: Gesture | None = None  # whose next part the writer is to take
        steps = self.painting.steps
        self._heard: list[tuple[Any, Callable[..., None]]] = [
            (steps.starting, self._starting),
            (steps.added, self._added),
            (steps.ended, self._ended),
            (steps.aborted, self._aborted),
            (steps.moved, self._moved),
            (steps.replaced, self._replaced),
            (layer.events.mode, self._mode_changed),
            (Review.of(layer).changed, self._reviewed),
        ]
        for signal, callback in self._heard:
            signal.connect(callback)

    def continue_from(self, kept: folder.Kept, replayed: Replayed) -> None:
        """The layer shows what was replayed from `kept`: continue its history and its file."""
        steps = self.painting.steps
        steps.history.take(replayed.history)
        steps.log[:] = replayed.edits
        self.path, self.unsaved = kept.path, kept.steps or 0
        self._begin()
        self.changed.emit()

    def exported(self) -> None:
        """The layer was exported as it is, so nothing needs to be kept. Undo still works."""
        self._end(lambda path: path.unlink(missing_ok=True))

    def discard(self) -> Path | None:
        """Discard what was saved; returns its path, for folder.bring_back. The layer does not change."""
        path = self.path
        self._end(folder.discard)
        return path

    def flush(self) -> bool:
        """Wait until all is on disk; returns False on timeout."""
        if self._file is not None and self._file.wanted:
            self._begin()
        return WRITER.flush() and (self._file is None or not self._file.in_trouble)

    def close(self) -> None:
        """Stop recording; the saved edits stay unless nothing was changed."""
        for signal, callback in self._heard:
            signal.disconnect(callback)
        self._heard = []
        unchanged = not self.unsaved
        self._end(lambda path: path.unlink(missing_ok=True) if unchanged else None)

    # ---- inside

    def _end(self, then: Callable[[Path], None]) -> None:
        file, path = self._file, self.path
        self._file, self.path, self.unsaved, self._before = None, None, 0, 0
        if file is not None and path is not None:
            WRITER.close(file)
            WRITER.post(partial(_finish, path, then))
        self.changed.emit()

    def _mode_changed(self, event: Any = None) -> None:
        """A tool was selected: write the mask to disk as it is before the first stroke."""
        if self._file is None and str(self.layer.mode) in DRAWING and not self.painting.read_only:
            self._begin()

    def _starting(self) -> None:
        if self._file is None or self._file.wanted:
            self._begin()

    def _begin(self) -> None:
        """Start a new generation of the journal with the layer as it is."""
        if source_of(self.layer) is None:
            self._lost()
            return
        if self._file is None:
            try:
                self.path = self.path or folder.new_path(self._key())
                folder.claim(self.path)
            except (FormatError, OSError) as error:
                self.path = None
                self.failed.emit(f"Edits are not kept for recovery: {error}")
                return
            self._file = WRITER.open(self.path, self._trouble, self._well)
            self.began.emit()
        history = self.painting.steps.history
        self._before = self.unsaved
        start = Start(self._header(), self.layer.data, tuple(history.done), tuple(history.undone))
        self._file.wanted = False
        self._post(self._file, lambda file: file.begin(start))

    def _lost(self) -> None:
        """The array was replaced by one of another shape, whose patient coordinates are unknown. The saved
        edits stay.
        """
        file, path = self._file, self.path
        self._file = self.path = None
        if file is not None and path is not None:
            WRITER.close(file)
            WRITER.post(partial(folder.release, path))
            self.failed.emit(
                f"{self.layer.name} has another shape now: its edits are not kept for recovery from now on. "
                "Export the mask."
            )

    def _header(self) -> dict[str, Any]:
        source = source_of(self.layer)
        assert source is not None, "checked by _begin"
        self._labels = source.labels
        return {
            "shape": source.geometry.shape,
            "affine_lps": source.geometry.affine_lps.tolist(),
            "order": source.view.order,
            "flips": source.view.flips,
            "dtype": self.layer.data.dtype.str,
            "before": self._before,
            "labels": labels_to_json(source.labels or Labels()),
            "edits": list(self.painting.steps.log),
            "provenance": dict(source.provenance),
            "review": marks_of(self.layer).as_json(),
        }

    def _added(self, gesture: Gesture) -> None:
        if self._file is not None and self._part_of is not gesture:
            self._part_of = gesture
            self._post(self._file, partial(self._write_part, gesture))

    def _write_part(self, gesture: Gesture, file: JournalFile) -> None:
        if self._part_of is gesture:
            self._part_of = None
        file.part(gesture)

    def _ended(self, gesture: Gesture) -> None:
        self._step(lambda file: file.end(gesture))

    def _aborted(self, gesture: Gesture) -> None:
        if self._file is not None:
            self._post(self._file, lambda file: file.abort(gesture))

    def _moved(self, kind: FrameKind, patch: Patch) -> None:
        self._step(lambda file: file.moved(kind, patch))

    def _reviewed(self) -> None:
        """Marks are kept as steps are, although undo passes over them."""
        if self._file is None:
            self._begin()
        entries = marks_of(self.layer).as_json()
        self._step(lambda file: file.review(entries))

    def _step(self, write: Callable[[JournalFile], None]) -> None:
        self.unsaved += 1
        if (file := self._file) is not None:
            source = self.layer.metadata.get(
                KEY
            )  # source_of would look at the shape as well, which `replaced` tells
            if isinstance(source, LayerSource) and source.labels is not self._labels:
                self._labels = source.labels
                entries = labels_to_json(source.labels or Labels())
                self._post(file, lambda file: file.labels(entries))
            self._post(file, write)
        self.changed.emit()

    def _replaced(self, changed: bool) -> None:
        self.unsaved += changed
        if changed or self._file is not None:
            self._begin()
        self.changed.emit()

    def _well(self) -> None:
        self.kept.emit()

    def _post(self, file: JournalFile, task: Callable[[JournalFile], None]) -> None:
        WRITER.post(partial(file.run, task))

    def _trouble(self, error: Exception) -> None:
        if isinstance(error, OSError):
            self.failed.emit(
                f"Edits cannot be kept for recovery ({error.strerror}): free some space. Painting goes on, "
                "and what is painted is kept as soon as there is room."
            )
        else:
            self.failed.emit(
                f"From now on edits of {self.layer.name} are not kept for recovery ({type(error).__name__}): "
                "export the mask soon. Painting goes on."
            )


def _finish(path: Path, then: Callable[[Path], None]) -> None:
    then(path)
    folder.release(path)
