"""The journal of one layer on disk. All methods are called in the writer's thread."""

from __future__ import annotations

import json
import math
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ctseg.journal.frames import FrameKind, frame
from napari_ctseg.journal.generation import Generation
from napari_ctseg.journal.history import Gesture
from napari_ctseg.journal.patches import Patch, pack
from napari_ctseg.journal.replay import gesture_payload

SLAB_BYTES = 2 * 1024**2
STEP_S = 0.05  # of work on a base before waiting edits have their turn
GROWTH_BYTES = 16 * 1024**2  # a journal that grew by this, and by its own size, is rewritten
SYNC_S = 1.0
WAITING_BYTES = (
    64 * 1024**2
)  # of edits that wait for room on the disk; beyond it a fresh copy of the mask takes their place


@dataclass(frozen=True, eq=False)
class Start:
    """The start of a generation of the journal.

    array : the layer's own array, (z, y, x) as shown; it is read while edits continue.
    """

    header: dict[str, Any]
    array: NDArray[Any]
    done: tuple[Gesture, ...]
    undone: tuple[Gesture, ...]


class JournalFile:
    """Appends to `path`; `begin` rewrites it next to the old file, which is kept until the new one is
    complete.

    post : runs a callable later in the same thread. failed : called once when edits cannot be saved, with an
    OSError if this may pass and with any other exception if this journal has ended. kept : called when edits
    can be saved again.
    """

    def __init__(
        self,
        path: Path,
        post: Callable[[Callable[[], None]], None],
        failed: Callable[[Exception], None],
        kept: Callable[[], None],
    ) -> None:
        self.path, self._post, self._failed, self._kept = path, post, failed, kept
        self._now: Generation | None = None
        self._next: Generation | None = None
        self._start: Start | None = None
        self._at = 0
        self._first_size = 0
        self._synced = 0.0
        self.in_trouble = False
        self.broken = False
        self.wanted = False  # a new generation, with the history that only the caller has

    def run(self, task: Callable[[JournalFile], None]) -> None:
        """Run `task`. An unexpected exception ends this journal, which stays on disk as it is, and is
        reported.
        """
        if self.broken:
            return
        try:
            task(self)
        except Exception as error:  # noqa: BLE001 - at the thread's edge every error has to reach the user
            self.broken, self.wanted = True, False
            self.in_trouble = True
            self._drop_next()
            self._drop_now()
            self._failed(error)

    # ---- generations

    def begin(self, start: Start) -> None:
        """Write a new generation: header, history and array; edits go to both files until it is complete."""
        self.wanted = False
        self._drop_next()
        self._start, self._at = start, 0
        try:
            self._next = Generation(self.path.with_suffix(".part"))
            self._next.append(frame(FrameKind.HEADER, json.dumps(start.header, default=str).encode()))
            for kind, gestures in ((FrameKind.PAST, start.done), (FrameKind.FUTURE, start.undone)):
                for gesture in gestures:
                    self._next.append(frame(kind, gesture_payload(gesture)))
        except OSError as error:
            self._give_up(error)
            return
        self._base_step(self._next)

    def _base_step(self, generation: Generation) -> None:
        """Write slices for a short time; the remaining ones, and then the end, are queued after the waiting
        edits.
        """
        if generation is self._next:
            try:
                whole = self._write_base(generation, time.monotonic() + STEP_S)
            except OSError as error:
                self._give_up(error)
                return
            self._later(JournalFile._end_base if whole else JournalFile._base_step, generation)

    def _write_base(self, generation: Generation, until: float) -> bool:
        """Write slices until all are written or the time is over; returns whether all are. Raises OSError."""
        assert self._start is not None, "there is one with every new generation"
        array = self._start.array
        thick = max(1, SLAB_BYTES // max(1, array[0].nbytes))
        while self._at < len(array):
            stop = min(len(array), self._at + thick)
            slab = np.ascontiguousarray(array[self._at : stop])
            generation.append(
                frame(
                    FrameKind.BASE,
                    np.array([self._at, stop], "<u4").tobytes() + zlib.compress(slab.tobytes(), 1),
                )
            )
            self._at = stop
            if time.monotonic() > until:
                break
        return self._at == len(array)

    def _end_base(self, generation: Generation) -> None:
        """Edits are posted before they change the array, so all changes made while the base was read are
        written by now.

        Otherwise the base could contain part of a stroke that is in no frame, and undo would not remove it.
        """
        if generation is self._next:
            try:
                generation.append(frame(FrameKind.BASE_END))
                generation.sync()
                self._switch(generation)
            except OSError as error:
                self._give_up(error)

    def _later(self, task: Callable[[JournalFile, Generation], None], generation: Generation) -> None:
        self._post(partial(self.run, lambda file: task(file, generation)))

    def _hasten(self) -> None:
        if (generation := self._next) is not None:
            try:
                self._write_base(generation, math.inf)
            except OSError as error:
                self._give_up(error)
            self._end_base(generation)

    def _switch(self, generation: Generation) -> None:
        if self._now is not None:
            self._now.close()
            self._now = None  # from here on the new one is whole and on the disk, whatever its name
        generation.move(self.path)
        self._now, self._next, self._start = generation, None, None
        self._first_size = generation.size
        self._well()

    def _give_up(self, error: OSError) -> None:
        """The new generation cannot be written; the old one continues."""
        self._drop_next()
        self.wanted = self._now is None
        self._trouble(error)

    def _drop_next(self) -> None:
        if self._next is not None:
            self._next.close()
            with suppress(OSError):
                self._next.path.unlink()
        self._next = self._start = None

    # ---- edits

    def part(self, gesture: Gesture) -> None:
        """The changes of the gesture since the last call."""
        if (packed := gesture.pack_next()) is not None:
            self._append(FrameKind.PART, packed)

    def end(self, gesture: Gesture) -> None:
        """The gesture is complete."""
        self.part(gesture)
        self._append(FrameKind.GESTURE, json.dumps(gesture.meta).encode())
        if (
            self._now is not None
            and self._next is None
            and self._now.size > 2 * self._first_size + GROWTH_BYTES
        ):
            self.wanted = True

    def abort(self, gesture: Gesture) -> None:
        """The gesture was cancelled before its end."""
        self.part(gesture)
        self._append(FrameKind.ABORT, b"")

    def moved(self, kind: FrameKind, patch: Patch) -> None:
        """Undo or redo wrote `patch`."""
        self._append(kind, pack(patch))

    def labels(self, entries: Sequence[Any]) -> None:
        """Names or colours changed."""
        self._append(FrameKind.LABELS, json.dumps(list(entries)).encode())

    def review(self, entries: Any) -> None:
        """The review marks changed."""
        self._append(FrameKind.REVIEW, json.dumps(entries).encode())

    def _append(self, kind: FrameKind, payload: bytes) -> None:
        data = frame(kind, payload)
        if self._next is not None:
            try:
                self._next.append(data)
            except OSError as error:
                self._give_up(error)
        if self._now is not None:
            try:
                self._now.append(data)
                self._well()
            except OSError as error:
                if self._now.waiting_bytes > WAITING_BYTES:
                    self._drop_now()
                    self.wanted = self._next is None
                self._trouble(error)

    def _drop_now(self) -> None:
        """Stop appending to the file, which stays on disk."""
        if self._now is not None:
            with suppress(OSError):
                self._now.close()
        self._now = None

    # ---- the disk

    def sync(self) -> float | None:
        """Flush what is due to the disk; returns the seconds until the next flush, or None if there is
        nothing to flush.
        """
        if self._now is None or not self._now.dirty:
            return None
        due = self._synced + SYNC_S - time.monotonic()
        if due > 0:
            return due
        self.sync_now()
        return None

    def sync_now(self) -> None:
        """Flush to the disk at once."""
        self._synced = time.monotonic()
        if self._now is not None:
            try:
                self._now.flush()
                self._now.sync()
            except OSError as error:
                self._trouble(error)

    def close(self) -> None:
        """Flush and close the file; a generation in progress is completed first."""
        self._hasten()
        self.sync_now()
        self._drop_next()
        self._drop_now()

    def _trouble(self, error: OSError) -> None:
        if not self.in_trouble:
            self.in_trouble = True
            self._failed(error)

    def _well(self) -> None:
        if self.in_trouble:
            self.in_trouble = False
            self._kept()
