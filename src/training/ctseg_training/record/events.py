"""events.jsonl: the events of a run, one JSON object a line."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ctseg_imaging.errors import FormatError

EventKind = Literal["start", "step", "validation", "checkpoint", "warning", "done", "error", "stopped"]
ENDS = ("done", "error", "stopped")
EVENTS = "events.jsonl"


@dataclass(frozen=True)
class Event:
    """One line. time : seconds since 1970. end : the byte after the line, where reading continues."""

    kind: EventKind
    time: float
    data: dict[str, Any]
    end: int = 0


class EventLog:
    """Appends events to a file; each is on the disk as a whole line before `write` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, kind: EventKind, **data: Any) -> None:
        """Raises FormatError when the disk is full.

        Numbers that are not finite become null: JSON has none.
        """
        line = (
            json.dumps(
                {"time": round(time.time(), 3), "kind": kind, **_finite(data)},
                allow_nan=False,
                ensure_ascii=False,
            )
            + "\n"
        )
        try:
            with self.path.open("ab") as stream:
                if stream.tell() and not _ends_with_newline(self.path):  # a line that a crash cut short
                    stream.write(b"\n")
                stream.write(line.encode())
                stream.flush()
                if kind != "step":
                    os.fsync(stream.fileno())
        except OSError as error:
            raise FormatError(
                f"{self.path}: cannot be written ({error.strerror}); free some space."
            ) from error


class NoLog(EventLog):
    """A log that discards all events, for the processes that do not lead."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull))

    def write(self, kind: EventKind, **data: Any) -> None:
        """Do nothing."""


def read_events(path: Path, offset: int = 0) -> Iterator[Event]:
    """The whole lines after byte `offset`; none if the file does not exist yet.

    A line that a crash cut short is skipped.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            content = stream.read()
    except FileNotFoundError:
        return
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return
        offset += len(line)
        try:
            fields = json.loads(line)
            yield Event(fields.pop("kind"), fields.pop("time"), fields, offset)
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            continue


def holds_run(folder: Path) -> bool:
    """Whether a run has begun in `folder`; one that failed before its start does not count."""
    return any(event.kind == "start" for event in read_events(folder / EVENTS))


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
