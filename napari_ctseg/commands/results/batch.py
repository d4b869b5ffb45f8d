"""Many cases, one after another: while the network runs on one, the next is read and the last written."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from ctseg_imaging.errors import CtsegError

Item = TypeVar("Item")
Read = TypeVar("Read")
Made = TypeVar("Made")
Written = TypeVar("Written")

MACHINE_SETTINGS = frozenset({"device", "threads", "precision"})  # do not change what a case needs again


@dataclass(frozen=True)
class Outcome(Generic[Item, Written]):
    """What became of an item: what writing it returned, or the error."""

    item: Item
    written: Written | None = None
    error: CtsegError | None = None


@dataclass(frozen=True)
class Batch(Generic[Item, Read, Made, Written]):
    """Three steps for every item. At most one item is read ahead and one waits to be written, so memory does
    not grow with their number.

    read, write : run in a thread each. make : runs in the caller's thread.
    """

    read: Callable[[Item], Read]
    make: Callable[[Item, Read], Made]
    write: Callable[[Item, Read, Made], Written]

    def run(self, items: Sequence[Item]) -> Generator[Outcome[Item, Written], None, None]:
        """One outcome per item, in order; an item whose step raises CtsegError does not stop the others.

        An interrupt or closing the generator waits until what has been made is written.
        """
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            ahead = [reader.submit(self.read, item) for item in items[:1]]
            written: Future[Outcome[Item, Written]] | None = None
            for k, item in enumerate(items):
                current, ahead = ahead[0], [reader.submit(self.read, later) for later in items[k + 1 : k + 2]]
                before, written = written, self._made(writer, item, current)
                if before is not None:
                    yield before.result()
            if written is not None:
                yield written.result()

    def _made(
        self, writer: ThreadPoolExecutor, item: Item, reading: Future[Read]
    ) -> Future[Outcome[Item, Written]]:
        try:
            read = reading.result()
            made = self.make(item, read)
        except CtsegError as error:
            return writer.submit(Outcome, item, error=error)
        return writer.submit(self._written, item, read, made)

    def _written(self, item: Item, read: Read, made: Made) -> Outcome[Item, Written]:
        try:
            return Outcome(item, self.write(item, read, made))
        except CtsegError as error:
            return Outcome(item, error=error)


@dataclass
class Pace:
    """Says where a batch is: "Case 3 of 20: name, about 4 min left"."""

    total: int
    clock: Callable[[], float] = time.monotonic
    _begun: float = field(init=False)
    _started: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._begun = self.clock()

    def next(self, name: str) -> str:
        """The line of the case that starts now; the time left is that of the mean case so far."""
        done, self._started = self._started, self._started + 1
        line = f"Case {self._started} of {self.total}: {name}"
        if not done:
            return line
        left = (self.clock() - self._begun) / done * (self.total - done)
        return f"{line}, about {_duration(left)} left"


def is_done(
    labels: Path, provenance: Path, hashes: Sequence[str | None], settings: Mapping[str, Any]
) -> bool:
    """Whether a case is there already, from the same models and settings. The labels are written last, so
    they are whole if they exist.
    """
    if not (labels.exists() and provenance.is_file()):
        return False
    try:
        record = json.loads(provenance.read_text(encoding="utf-8"))
        found = [bundle["sha256"] for bundle in record["bundles"]]
        used = record["settings"]
    except (ValueError, KeyError, TypeError):
        return False
    wanted = json.loads(json.dumps(settings))
    return found == list(hashes) and all(
        used.get(key) == value for key, value in wanted.items() if key not in MACHINE_SETTINGS
    )


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
