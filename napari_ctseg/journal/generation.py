"""One file of a journal, to which frames are appended."""

from __future__ import annotations

import os
from pathlib import Path

from napari_ctseg.journal.frames import MAGIC

_OPEN = os.O_RDWR | getattr(os, "O_BINARY", 0)


class Generation:
    """A file that is appended to at a known position, so a failed write leaves nothing behind."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = os.open(path, os.O_CREAT | os.O_TRUNC | _OPEN, 0o600)
        self._waiting: list[bytes] = [MAGIC]
        self.size = 0
        self.dirty = False

    def append(self, data: bytes) -> None:
        """Append a frame; one that cannot be written waits for the next call. Raises OSError."""
        self._waiting.append(data)
        self.flush()

    @property
    def waiting_bytes(self) -> int:
        """The frames that could not be written yet, in bytes."""
        return sum(map(len, self._waiting))

    def flush(self) -> None:
        """Write the waiting frames. Raises OSError; the file then still ends with a complete frame."""
        while self._waiting:
            data = memoryview(self._waiting[0])
            written = 0
            try:
                os.lseek(self._handle, self.size, os.SEEK_SET)
                while written < len(data):
                    written += os.write(self._handle, data[written:])
            except OSError:
                os.ftruncate(self._handle, self.size)
                raise
            self.size += len(data)
            self.dirty = True
            del self._waiting[0]

    def sync(self) -> None:
        """Flush the file to the disk, against power failures."""
        if self.dirty:
            os.fsync(self._handle)
            self.dirty = False

    def move(self, path: Path) -> None:
        """Replace `path` by this file. It is closed meanwhile, because some systems cannot move open files.
        Raises OSError.
        """
        os.close(self._handle)
        try:
            self.path.replace(path)
            self.path = path
        finally:
            self._handle = os.open(self.path, _OPEN)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)
