"""The undo history: gestures, limited by their size in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from napari_ctseg.journal.patches import Change, Patch, joined, merged, pack, unpack


class Gesture:
    """One undo step: a stroke, fill, polygon or operation on an array of `shape`.

    meta : plain JSON for the list of edits (operation, label, at, voxels, slice). Changes are stored as they
    arrive and packed later by the caller of `pack_next`, possibly in another thread.
    """

    def __init__(
        self, shape: Sequence[int], meta: dict[str, Any] | None = None, packed: Sequence[bytes] = ()
    ) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.meta = dict(meta or {})
        self._raw: list[Change] = []
        self._packed = list(packed)
        self._lock = threading.Lock()

    def add(self, change: Change) -> None:
        """The array changed, or is about to."""
        with self._lock:
            self._raw.append(change)

    def pack_next(self) -> bytes | None:
        """Pack and return the changes since the last call; None if there are none. Voxels that were changed
        and changed back are included: a copy of the array may have been made in between.
        """
        with self._lock:
            raw = list(self._raw)
        if not raw:
            return None
        packed = pack(joined([change.patch(self.shape) for change in raw]))
        with self._lock:
            self._packed.append(packed)
            del self._raw[: len(raw)]
        return packed

    @property
    def packed(self) -> tuple[bytes, ...]:
        """The whole gesture, packed."""
        self.pack_next()
        return tuple(self._packed)

    @property
    def size(self) -> int:
        """Approximate size in memory, in bytes."""
        with self._lock:
            waiting = sum(change.old.nbytes * 2 for change in self._raw)
            return waiting + sum(map(len, self._packed)) + 500

    def patch(self) -> Patch:
        """The whole gesture as one patch."""
        with self._lock:
            parts = [unpack(part) for part in self._packed] + [
                change.patch(self.shape) for change in self._raw
            ]
        return merged(parts)

    def __bool__(self) -> bool:
        return bool(self._raw or self._packed)


class History:
    """done : gestures to undo, oldest first. undone : gestures to redo, the next one last.

    The oldest are dropped when all together exceed `limit` bytes; the last one is always kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.done: list[Gesture] = []
        self.undone: list[Gesture] = []
        self._at_most = 0  # bytes; gestures shrink when they are packed, so this is an upper bound

    def push(self, gesture: Gesture) -> None:
        """Add a gesture; this clears the redo stack."""
        self.undone.clear()
        self.done.append(gesture)
        self._at_most += gesture.size
        if self._at_most > self.limit:
            self._trim()

    def take(self, other: History) -> None:
        """Take over the history of `other`, within this one's limit."""
        self.done[:], self.undone[:] = other.done, other.undone
        self.set_limit(self.limit)

    def set_limit(self, limit: int) -> None:
        """Drop gestures beyond `limit` bytes, now and from now on."""
        self.limit = limit
        self._trim()

    def _trim(self) -> None:
        sizes = [gesture.size for gesture in self.done]
        total, drop = sum(sizes), 0
        while total > self.limit and drop < len(sizes) - 1:
            total -= sizes[drop]
            drop += 1
        del self.done[:drop]
        self._at_most = total

    def back(self) -> Gesture:
        """The gesture to undo next. Raises IndexError if there is none."""
        gesture = self.done.pop()
        self.undone.append(gesture)
        return gesture

    def forth(self) -> Gesture:
        """The gesture to redo next. Raises IndexError if there is none."""
        gesture = self.undone.pop()
        self.done.append(gesture)
        return gesture

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        return sum(gesture.size for gesture in (*self.done, *self.undone))
