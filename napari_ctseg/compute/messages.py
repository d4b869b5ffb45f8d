"""The messages between the viewer's process and the computing process."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.progress import Progress

WorkFactory = Callable[..., Generator[Progress, None, Any]]


@dataclass(frozen=True, eq=False)
class WorkerJob:
    """To the child: call `work`, a generator function of a module, with `arguments` and run it to its end.
    folder : the current one.
    """

    number: int
    work: WorkFactory
    arguments: tuple[Any, ...]
    folder: str


@dataclass(frozen=True)
class Cancel:
    """To the child: close the generator of this job; ignored for another one."""

    number: int


@dataclass(frozen=True)
class Arrived:
    """To the child: its answer has arrived and can be released."""


@dataclass(frozen=True)
class Ready:
    """From the child: its module is loaded and it can take a job."""


@dataclass(frozen=True)
class Step:
    """From the child: how far the job is."""

    progress: Progress


@dataclass(frozen=True, eq=False)
class Returned:
    """From the child: the job's value."""

    value: Any


@dataclass(frozen=True, eq=False)
class Raised:
    """From the child: the exception of the job, and its traceback as text."""

    error: Exception
    traceback: str


@dataclass(frozen=True)
class Closed:
    """From the child: the job was cancelled and its generator has ended."""


class ComputingProcessError(CtsegError):
    """A worker process could not be started, or has ended unexpectedly."""


class EndedUnexpectedly(ComputingProcessError):
    """It crashed, was killed or took too much memory. how : the cause, as a part of a sentence."""

    def __init__(self, sentence: str, how: str) -> None:
        super().__init__(sentence)
        self.how = how


class WorkerTraceback(Exception):
    """The cause of an error raised in the computing process: holds that process's traceback."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"
