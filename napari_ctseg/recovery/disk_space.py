"""Keeps the recovery folder within the limit that the user set."""

from __future__ import annotations

from collections.abc import Callable

from napari_ctseg.journal import folder, words
from napari_ctseg.journal.limits import FOLDER
from napari_ctseg.journal.writer import WRITER


class DiskSpace:
    """Deletes masks that were discarded long ago.

    warn : called once, from the writer's thread, when the kept masks exceed the limit. is_full : whether they
    do.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self.is_full = False

    def tidy_later(self) -> None:
        """Tidy in the writer's thread."""
        WRITER.post(self.tidy)

    def tidy(self) -> None:
        """Tidy now."""
        limit = FOLDER.bytes
        folder.sweep(limit)
        used, before = folder.used_bytes(), self.is_full
        self.is_full = used > limit
        if self.is_full and not before:
            self._warn(words.room(used, limit))
