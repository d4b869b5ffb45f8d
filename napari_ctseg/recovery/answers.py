"""The answers to the question about edits that were not exported, and what each of them does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum

from napari_ctseg.recovery.recording import Recording


class Answer(StrEnum):
    """What to do with edits that were not exported."""

    EXPORT = "export"
    KEEP = "keep"
    DISCARD = "discard"
    CANCEL = "cancel"


def settle(recordings: Iterable[Recording], answer: Answer, export: Callable[[Recording], bool]) -> bool:
    """Carry out the answer; returns False if the layers have to stay. export : writes the mask of one layer
    and returns whether it was written.
    """
    if answer is Answer.CANCEL:
        return False
    for recording in tuple(recordings):
        if answer is Answer.DISCARD:
            recording.discard()
        elif answer is Answer.EXPORT:
            if not export(recording):
                return False
            recording.exported()
    return True
