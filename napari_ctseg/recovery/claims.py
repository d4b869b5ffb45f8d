"""Which process edits an image: the first one that opens it; others may view it, or take over."""

from __future__ import annotations

from collections.abc import Iterable

from ctseg_imaging.errors import FormatError
from napari_ctseg.journal import folder, words


def why_in_use(keys: Iterable[str]) -> str | None:
    """Claim these images. Returns a sentence if another process edits one of them, "" if not, None if nothing
    can be saved on this disk.
    """
    try:
        place = folder.prepared()
        others = {pid for key in keys if (pid := folder.claim(place / key)) is not None}
    except (FormatError, OSError):
        return None  # reported with the first edit
    return words.IN_USE.format(pid=min(others)) if others else ""


def take_over(keys: Iterable[str]) -> None:
    """From now on this process edits these images; the previous one becomes read-only."""
    for key in keys:
        folder.take_over(folder.prepared() / key)


def release(keys: Iterable[str]) -> None:
    """Other processes may edit these images."""
    for key in keys:
        folder.release(folder.folder() / key)
