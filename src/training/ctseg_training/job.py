"""A training run in a process of its own, which outlives its parent; its folder shows the progress.

    job = Job.start(recipe, "data", "jobs/mine", minutes=30, init_from="bundles/headneck-ct-scn")
    for event in job.events(): ...          # later: job.events(last.end)
    job.stop()                              # after the current step; a bundle is written and scored
    job.pause(); job.resume()               # after the current step, with a checkpoint; then continue

The folder holds what `engine.train` writes, job.json (the order), process.json and job.log (the output).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType

import psutil

from ctseg_imaging.errors import CtsegError, RecipeError
from ctseg_imaging.formats.disk.atomic import write_bytes
from ctseg_models.process_memory import prepare_process
from ctseg_training.data.decathlon import open_dataset
from ctseg_training.job_order import MODULE, JobOrder, JobState, launch, read_order
from ctseg_training.recipes.loading import load_recipe, save_recipe
from ctseg_training.recipes.schema import Recipe
from ctseg_training.record.events import ENDS, EVENTS, Event, EventLog, holds_run, read_events

POLL_S = 0.1
PAUSE, LAST = "pause", "checkpoints/last.pt"  # a pause request, and the checkpoint to resume from
RANK = int(os.environ.get("RANK", "0"))  # of this process among those that train together; 0 leads


def _make_folder(folder: Path) -> None:
    """Make the job's folder, without what an earlier process left in it. Raises RecipeError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for wish in ("stop", PAUSE):
            (folder / wish).unlink(missing_ok=True)
        (folder / "process.json").unlink(missing_ok=True)
    except OSError as error:
        raise RecipeError(
            f"{folder}: cannot be written ({error.strerror}); choose another folder."
        ) from error


class Job:
    """A job, given by its folder; creating the object starts nothing."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        recipe: Recipe,
        data: str | Path,
        out: str | Path,
        *,
        minutes: float | None = None,
        steps: int | None = None,
        init_from: str | Path | None = None,
        device: str = "auto",
        name: str | None = None,
        resume: bool = False,
        finish: bool = False,
        threads: int | None = None,
        processes: int = 1,
    ) -> Job:
        """Start the process and return at once.

        Raises RecipeError when the data set's dataset.json is wrong, or the folder holds a run (unless
        `resume`) or cannot be written.
        """
        open_dataset(data)
        folder = Path(out)
        if not resume and holds_run(folder):
            raise RecipeError(f"{folder}: holds a run already; resume it, or name another folder.")
        if (job := cls(folder)).state is JobState.RUNNING:
            raise RecipeError(f"{folder}: its job is still running; stop it first.")
        order = JobOrder(
            str(Path(data).absolute()),
            minutes,
            steps,
            None if init_from is None else str(Path(init_from).absolute()),
            device,
            name,
            resume,
            finish,
            threads,
            processes,
        )
        _make_folder(folder)
        save_recipe(recipe, folder / "recipe.yaml")
        write_bytes(folder / "job.json", json.dumps(asdict(order), indent=2).encode(), overwrite=True)
        job._process = launch(folder, processes)
        started = {"pid": job._process.pid, "created": psutil.Process(job._process.pid).create_time()}
        write_bytes(folder / "process.json", json.dumps(started).encode(), overwrite=True)
        return job

    @property
    def state(self) -> JobState:
        """The state according to the process and the last event."""
        if self._alive():
            return JobState.RUNNING
        last = next(
            (event for event in reversed(list(self.events())) if event.kind in (*ENDS, "start")), None
        )
        if last is None or last.kind == "start":
            return JobState.FAILED
        if last.kind == "stopped" and last.data.get("bundle") is None and (self.folder / LAST).is_file():
            return JobState.PAUSED
        return {"done": JobState.DONE, "stopped": JobState.STOPPED}.get(last.kind, JobState.FAILED)

    @property
    def resumable(self) -> bool:
        """Whether it was paused or cut short with a checkpoint, before its bundle."""
        return (
            self.state in (JobState.PAUSED, JobState.FAILED)
            and self.bundle is None
            and (self.folder / LAST).is_file()
        )

    @property
    def recipe(self) -> Recipe:
        """The recipe of the training."""
        return load_recipe(self.folder / "recipe.yaml")

    @property
    def bundle(self) -> Path | None:
        """The folder of the bundle, once it exists."""
        folder = self.folder / "bundle"
        return folder if (folder / "configs/metadata.json").is_file() else None

    def events(self, offset: int = 0) -> Iterator[Event]:
        """The events so far, after byte `offset` (an earlier event's `end`); never waits."""
        return read_events(self.folder / EVENTS, offset)

    @property
    def message(self) -> str:
        """The reason of a failure, one sentence; empty without one."""
        if self.state is not JobState.FAILED:
            return ""
        messages = [event.data.get("message", "") for event in self.events() if event.kind == "error"]
        unknown = f"The training process ended without a message; {self.folder / 'job.log'} has its output."
        return messages[-1] if messages else unknown

    def stop(self, patience_s: float | None = None) -> None:
        """Ask it to end after the current step, with a bundle.

        patience_s : wait so long, then send SIGTERM, which repeats the request and the second time ends it at
        once (the last checkpoint stays).
        """
        write_bytes(self.folder / "stop", b"", overwrite=True)
        if patience_s is not None and not self.wait(patience_s):
            for _ in range(2):
                self._signal()
                if self.wait(patience_s):
                    return

    def pause(self) -> None:
        """Ask it to end after the current step with a checkpoint and no bundle; `resume` continues."""
        if read_order(self.folder).processes > 1:
            raise RecipeError(f"{self.folder}: is trained by several processes, which cannot pause; stop it.")
        write_bytes(self.folder / PAUSE, b"", overwrite=True)

    def resume(self, *, to_finish: bool = False) -> None:
        """Start its process again, with the order in job.json, from the last checkpoint.

        to_finish : for one more step, and a bundle. Raises RecipeError, also without a checkpoint.
        """
        if not self.resumable:
            raise RecipeError(f"{self.folder}: has no training to resume; start one.")
        order = replace(read_order(self.folder), resume=True, finish=to_finish)
        self._process = Job.start(self.recipe, out=self.folder, **asdict(order))._process

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within `timeout_s`."""
        end = time.monotonic() + timeout_s
        while self._alive():
            if time.monotonic() > end:
                return False
            time.sleep(POLL_S)
        return True

    def _signal(self) -> None:
        if (process := self._find()) is not None:
            process.terminate()

    def _alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        return self._find() is not None

    def _find(self) -> psutil.Process | None:
        """The process that process.json names, if it is still this job's: same start time, running this
        module, in this folder.

        A number alone may belong to another process after a restart, and a folder may come from another
        machine.
        """
        try:
            fields = json.loads((self.folder / "process.json").read_text(encoding="utf-8"))
            process = psutil.Process(int(fields["pid"]))
            begun = (
                abs(process.create_time() - float(fields["created"])) < 1
                and process.status() != psutil.STATUS_ZOMBIE
            )
            ours = begun and MODULE in process.cmdline() and Path(process.cwd()).samefile(self.folder)
        except (OSError, ValueError, OverflowError, KeyError, TypeError, RecursionError, psutil.Error):
            return None
        return process if ours else None


def main(arguments: Sequence[str]) -> int:
    """The child process: carry out job.json; returns 0 if done or stopped, 1 for a fault (the last event)."""
    prepare_process()
    folder = Path(arguments[0])
    log = EventLog(folder / EVENTS)
    signals = _stop_signals()
    try:
        _work(folder, signals)
    except CtsegError as error:
        print(error, file=sys.stderr)
        is_reported = any(
            event.kind == "error" and event.data.get("message") == str(error)
            for event in read_events(folder / EVENTS)
        )
        if RANK == 0 and not is_reported:
            log.write("error", message=str(error))
        return 1
    except (RuntimeError, ValueError, MemoryError, OSError) as error:
        if RANK == 0:
            log.write(
                "error",
                message=f"The training program failed ({type(error).__name__}); {folder / 'job.log'} has the "
                "details.",
            )
        raise
    return 0


def _work(folder: Path, signals: list[int]) -> None:
    import torch

    from ctseg_models.bundles.own.bundle import read_own
    from ctseg_training.run.engine import train

    order = read_order(folder)
    if order.threads is not None:
        torch.set_num_threads(order.threads)
    init_from = None if order.init_from is None else read_own(Path(order.init_from))
    device = order.device
    if order.processes > 1 and device != "cpu" and torch.cuda.is_available():
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    early = (folder / "stop").exists()  # train() removes a file that an earlier run may have left
    work = train(
        load_recipe(folder / "recipe.yaml"),
        order.data,
        folder,
        minutes=order.minutes,
        steps=order.steps,
        resume=order.resume,
        init_from=init_from,
        device=device,
        name=order.name,
        should_stop=lambda: order.finish or early or bool(signals),
    )
    for progress in work:
        if progress.stage == "train" and (folder / PAUSE).exists():
            work.close()


def _stop_signals() -> list[int]:
    """A list to which SIGTERM (or Ctrl-C) appends; the second signal ends the process at once."""
    signals: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        if signals:
            os._exit(128 + number)
        signals.append(number)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return signals


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
