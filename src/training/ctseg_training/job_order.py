"""The order of a job, and the process that carries it out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ctseg_imaging.errors import RecipeError

MODULE = "ctseg_training.job"  # the module that the child runs


class JobState(StrEnum):
    """The state of a job.

    PAUSED : with a checkpoint, before its bundle. FAILED : it reported an error, or its process has ended
    without a message (see job.log).
    """

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    PAUSED = "paused"
    FAILED = "failed"


@dataclass(frozen=True)
class JobOrder:
    """job.json: the arguments of `engine.train`."""

    data: str
    minutes: float | None = None
    steps: int | None = None
    init_from: str | None = None  # a bundle's path
    device: str = "auto"
    name: str | None = None
    resume: bool = False
    finish: bool = False  # after one step, with a bundle
    threads: int | None = None  # of the processor, for each process; None: torch's default
    processes: int = 1  # that train together, one per GPU where there are some


def launch(folder: Path, processes: int) -> subprocess.Popen[bytes]:
    """Start a process that signals to the parent's terminal do not reach; several are started by torch's
    launcher.
    """
    several = (
        []
        if processes == 1
        else ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    )
    detached: dict[str, Any] = {"start_new_session": True}
    if os.name == "nt":
        detached = {"creationflags": 0x00000008 | 0x00000200}  # DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP
    with (folder / "job.log").open("ab") as printed:
        return subprocess.Popen(
            [sys.executable, "-m", *several, MODULE, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            cwd=folder,
            **detached,
        )


def read_order(folder: Path) -> JobOrder:
    """The order in job.json. Raises RecipeError."""
    try:
        return JobOrder(**json.loads((folder / "job.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise RecipeError(f"{folder / 'job.json'}: is missing or damaged; start the job again.") from error
