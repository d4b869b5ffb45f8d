"""Errors in the user's input, one sentence each: which file, what is wrong, what to do."""

from __future__ import annotations

from pathlib import Path

OUT_OF_MEMORY = (  # in lower case: what Python, the system, torch and onnxruntime write
    "allocate memory",
    "bad_alloc",
    "bad allocation",
    "alloc_failed",
    "out of memory",
    "not enough memory",
)
NOT_ENOUGH_MEMORY = "Not enough memory; close other programs, or choose a smaller region or another device."


class CtsegError(Exception):
    """A fault in the input, worded for the user who gave it; front ends show the sentence and no traceback.

    A damaged file can hold names of any length: what is longer than LONGEST characters is shown without its
    middle, because the file stands at the beginning of the sentence and what to do at its end.
    """

    LONGEST = 1200

    def __str__(self) -> str:
        text = super().__str__()
        if len(text) <= self.LONGEST:
            return text
        return f"{text[: self.LONGEST * 2 // 3]} … {text[-self.LONGEST // 4 :]}"


class FormatError(CtsegError):
    """A file that cannot be read or written in the format that its name or content promises."""


class UnforeseenError(FormatError):
    """A library failed on a file with an error that its caller does not handle; please report it."""


class GeometryError(CtsegError):
    """A grid that cannot be described exactly, or grids that do not fit each other."""


class OnlyViewable(GeometryError):
    """A series without a regular grid of slices: viewable, but not to be measured, segmented or exported."""


class ShearedGrid(GeometryError):
    """A grid whose axes are not at right angles.

    degrees : how far the worst pair of axes is from a right angle.
    """

    def __init__(self, message: str, degrees: float) -> None:
        super().__init__(message)
        self.degrees = degrees


class ChoiceNeeded(FormatError):
    """Several volumes or series of equal rank, all of which are listed: the user has to name one."""

    LONGEST = 100_000


class BundleError(CtsegError):
    """A model bundle that is missing, damaged, not trusted or does not fit the volume."""


class TrustNeeded(BundleError):
    """A bundle that would run code of its own, which the user has not allowed."""


class BundleExists(BundleError):
    """A bundle whose name is taken already. target : the folder or file of the existing one."""

    def __init__(self, target: Path) -> None:
        super().__init__(target)
        self.target = target

    def __str__(self) -> str:
        return (
            f"{self.target}: a bundle with this name already exists; rename the new one or allow overwriting."
        )


class RecipeError(CtsegError):
    """A training recipe or data set that cannot be used as it stands."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it was raised from, means that there was too little memory.

    Libraries use classes of their own for it, so the words decide: see OUT_OF_MEMORY. A CtsegError is judged
    by the error that it was raised from alone, as its sentence is ours.
    """
    if isinstance(error, MemoryError) or any(
        kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__
    ):
        return True
    text = "" if isinstance(error, CtsegError) else str(error).lower()
    return any(words in text for words in OUT_OF_MEMORY) or (
        error.__cause__ is not None and is_out_of_memory(error.__cause__)
    )


def first_line(error: BaseException) -> str:
    """The first line of another library's error, at most 160 characters; its type if it has no text."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
