"""Small files that a run writes: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from ctseg_imaging.errors import FormatError


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` atomically: a temporary file in the same folder, flush, fsync, rename. OSError becomes a FormatError."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise FormatError(f"{path}: cannot be written ({error.strerror}); free some space or choose another folder.") from error


def write_text(path: Path, text: str) -> None:
    """`write_bytes` for UTF-8 text."""
    write_bytes(path, text.encode())
