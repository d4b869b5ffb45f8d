"""Choosing one of several volumes or series that a path holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctseg_imaging.errors import ChoiceNeeded, FormatError


@dataclass(frozen=True)
class Choice:
    """One volume of a 4D file or one DICOM series."""

    index: int  # from 1
    uid: str  # of the series, "" for a volume
    description: str  # what kind of image, made from technical fields only (no patient data)
    slices: int  # how many
    # what distinguishes it from the others with the same series UID, "" for nothing or a series of its own
    apart: str = ""


def pick(path: Path, choices: Sequence[Choice], wanted: int | str | None, one: str, many: str) -> int:
    """The index (from 1) of the wanted choice. wanted : an index, a UID, or None where there is only one.

    Raises ChoiceNeeded, with all of them listed, if several are there and none is wanted; FormatError if the
    wanted one is not there.
    """
    if wanted is None:
        if len(choices) == 1:
            return choices[0].index
        raise ChoiceNeeded(choice_needed(path, choices, one, many))
    for choice in choices:
        if wanted in (choice.index, choice.uid) or str(wanted) == str(choice.index):
            return choice.index
    raise FormatError(f"{path}: has no {one} {wanted}; it holds {len(choices)} ({one} 1 to {len(choices)}).")


def choice_needed(path: Path, choices: Sequence[Choice], one: str, many: str) -> str:
    """The sentence that lists the choices. one, many : what they are called."""
    listed = "; ".join(f"{choice.index}: {choice.description}" for choice in choices[:12])
    more = f"; and {len(choices) - 12} more" if len(choices) > 12 else ""
    return (
        f"{path}: holds {len(choices)} {many} to choose from ({listed}{more}); choose one by its number "
        f"(--{one})."
    )
