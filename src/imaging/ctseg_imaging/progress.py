"""The one way in which long work reports."""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """One step of long work: `done` of `total` in `stage` (total 0: not known), with a line for the user
    who waits.
    """

    stage: str
    done: int = 0
    total: int = 0
    message: str = ""
    part: int = 0  # of several pieces of work one after another (an ensemble's members): which, from 0
    parts: int = 1


def in_part(work: Generator[Progress, None, T], part: int, parts: int) -> Generator[Progress, None, T]:
    """`work` as piece `part` (from 0) of `parts`; its value is returned. Closing closes `work`."""
    try:
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                value: T = end.value
                return value
            yield replace(step, part=part, parts=parts)
    finally:
        work.close()


def scaled(work: Generator[float, None, T], share: float) -> Generator[float, None, T]:
    """`work` as a part of more: every share of its own that it yields, times `share`; its value is returned.
    Closing closes `work`.
    """
    try:
        while True:
            try:
                done = next(work)
            except StopIteration as end:
                value: T = end.value
                return value
            yield done * share
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
