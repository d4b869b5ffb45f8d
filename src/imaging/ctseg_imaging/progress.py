"""Progress of long work, and driving it."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """One step of long work: `done` of `total` in `stage` (total 0: not known), with a line of text for the
    user.
    """

    stage: str
    done: int = 0
    total: int = 0
    message: str = ""
    part: int = 0  # which of several pieces of work (such as an ensemble's members), from 0
    parts: int = 1


def in_part(work: Generator[Progress, None, T], part: int, parts: int) -> Generator[Progress, None, T]:
    """`work` as piece `part` (from 0) of `parts`; its value is returned. Closing closes `work`."""
    return _changed(work, lambda step: replace(step, part=part, parts=parts))


def scaled(work: Generator[float, None, T], share: float) -> Generator[float, None, T]:
    """`work` as a part of larger work: every fraction that it yields, times `share`; its value is returned.

    Closing closes `work`.
    """
    return _changed(work, lambda done: done * share)


def _changed(work: Generator[S, None, T], change: Callable[[S], S]) -> Generator[S, None, T]:
    """`work` with every step that it yields changed; its value is returned. Closing closes `work`."""
    try:
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                value: T = end.value
                return value
            yield change(step)
    finally:
        work.close()


def finish(work: Generator[object, None, T]) -> T:
    """Drive `work` to its end without showing anything and return its value."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            value: T = end.value
            return value
