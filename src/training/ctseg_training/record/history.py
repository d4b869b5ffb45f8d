"""The history of a run from its events.jsonl, without the steps that a resumption repeated."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctseg_imaging.errors import RecipeError
from ctseg_imaging.formats.disk.atomic import write_bytes
from ctseg_training.record.events import ENDS, EVENTS, read_events


@dataclass
class RunHistory:
    """The events of a run, without the steps that a resumption repeated."""

    start: dict[str, Any] = field(default_factory=dict)  # of the last part
    steps: list[dict[str, Any]] = field(default_factory=list)  # the "step" events in order
    # {step: scores} of the network alone
    curve: dict[int, dict[str, float | None]] = field(default_factory=dict)
    # before, after: scores of the whole bundle
    before: dict[str, float | None] | None = None
    after: dict[str, float | None] | None = None
    warnings: list[str] = field(default_factory=list)
    skipped: set[int] = field(default_factory=set)  # the steps whose gradient was not finite
    # end, message: how the last part ended; "" while it runs, or when it was cut off
    end: str = ""
    message: str = ""
    # began, ended: seconds since 1970
    began: float = 0.0
    ended: float = 0.0

    @classmethod
    def read(cls, run_folder: Path) -> RunHistory:
        """Raises RecipeError when no run has begun there."""
        history = cls()
        for event in read_events(run_folder / EVENTS):
            history._take(event.kind, event.data)
            history.began = history.began or event.time
            history.ended = event.time
        if not history.start and not history.message:
            raise RecipeError(
                f"{run_folder}: holds no training run (no {EVENTS} with a start); name the folder given with "
                "--out."
            )
        return history

    @property
    def terms(self) -> list[str]:
        """The names of the loss's terms, in their order."""
        return list(dict.fromkeys(name for step in self.steps for name in step.get("terms", {})))

    def _take(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "start":
            self.start, self.end, self.message, self.after = data, "", "", None
            done = data.get("from_step", 0)
            self.steps = [step for step in self.steps if step["step"] <= done]
            self.curve = {step: scores for step, scores in self.curve.items() if step <= done}
        elif kind == "step":
            self.steps.append(data)
        elif kind == "validation" and not data.get("whole_bundle"):
            self.curve[data["step"]] = data["scores"]
        elif kind == "validation" and data["step"] == 0:
            self.before = data["scores"]
        elif kind == "validation":
            self.after = data["scores"]
        elif kind == "warning" and "step" in data:
            self.skipped.add(data["step"])
        elif kind == "warning" and data["message"] not in self.warnings:
            self.warnings.append(data["message"])
        elif kind in ENDS:
            self.end, self.message = kind, data.get("message", "")


def write_csv(run_folder: Path) -> Path:
    """Write curves.csv next to events.jsonl: one row per reported step.

    Columns: step, loss, every term, learning_rate, seconds (of training so far), seconds_per_step, waited
    (for data, of those seconds); empty where a number was not finite. Raises RecipeError when no run has
    begun there, FormatError when the disk is full.
    """
    history = RunHistory.read(run_folder)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["step", "loss", *history.terms, "learning_rate", "seconds", "seconds_per_step", "waited"]
    )
    for step in history.steps:
        numbers = [
            step["loss"],
            *(step.get("terms", {}).get(name) for name in history.terms),
            step["learning_rate"],
            step["elapsed"],
            step["seconds_per_step"],
            step.get("waited"),
        ]
        writer.writerow([step["step"], *("" if number is None else f"{number:.7g}" for number in numbers)])
    write_bytes(path := run_folder / "curves.csv", text.getvalue().encode(), overwrite=True)
    return path
