"""Worker processes as seen from the viewer: each child stays alive between jobs, one for networks and one for
reading.

Library calls that can crash, hang or use all memory run there: `run_in_worker` for what needs torch,
`READER.run` for images.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from ctseg_imaging.progress import Progress
from napari_ctseg.compute.computing_process import POLL_SECONDS, STARTING, ComputingProcess
from napari_ctseg.compute.memory import resident_bytes
from napari_ctseg.compute.messages import ComputingProcessError, WorkerJob

T = TypeVar("T")
MUCH_MB = 150.0  # resident; less is not worth ending an idle process for
_NUMBERS = count(1)


class Worker:
    """One kind of work and its process, if one is running. module : imported by the process at its start."""

    def __init__(self, module: str) -> None:
        self._module = module
        self.busy = threading.Lock()
        self.process: ComputingProcess | None = None

    def run(
        self, work: Callable[..., Generator[Progress, None, T]], *arguments: Any, title: str
    ) -> Generator[Progress, None, T]:
        """Run a generator in the process; this generator yields its Progress, returns its value and raises
        its errors.

        work : a generator function of an importable module; it, its arguments and its value are pickled, and
        large arrays go through shared memory. The last Progress is yielded again while nothing new has
        arrived. Closing this generator cancels: the work is closed at its next step, and its process is
        killed if it has not ended after 1.5 s. title : what is running, for the user. Raises what the work
        raised (with the worker's traceback chained), ComputingProcessError if no process can be started,
        EndedUnexpectedly if the process crashes, is killed or needs more memory than was free.
        """
        while not self.busy.acquire(timeout=POLL_SECONDS):
            yield STARTING
        try:
            value: T = yield from self._living().job(
                WorkerJob(next(_NUMBERS), work, arguments, _folder()), title
            )
            return value
        finally:
            try:
                self._keep_warm()
            finally:
                self.busy.release()

    def preload(self) -> None:
        """Start the process unless one is running; it loads its module while nothing waits for it."""
        if self.busy.acquire(blocking=False):
            try:
                with suppress(ComputingProcessError):  # the next job tries again and reports it
                    self._living()
            finally:
                self.busy.release()

    def shut_down(self) -> None:
        """End the process, if one is running; a later job starts a new one."""
        process, self.process = self.process, None
        if process is not None:
            process.end()

    def _living(self) -> ComputingProcess:
        if self.process is not None and not self.process.is_alive:
            self.shut_down()
        if self.process is None:
            self.process = ComputingProcess(self._module)
            self.process.end_when_idle(self._end_idle)
        return self.process

    def _keep_warm(self) -> None:
        """For the next job: after a process was killed, a new one starts loading. Not while Python itself is
        shutting down.
        """
        if not sys.is_finalizing():
            with suppress(
                ComputingProcessError
            ):  # the job has its value or its error already; the next one tries again
                self._living().end_when_idle(self._end_idle)

    def _end_idle(self, process: ComputingProcess) -> None:
        """Called by the timer."""
        if self.busy.acquire(blocking=False):
            try:
                if process is self.process and resident_bytes(process.process.pid) > 1e6 * MUCH_MB:
                    self.shut_down()
            finally:
                self.busy.release()


NETWORKS = Worker(
    "ctseg_models.inference.pipeline"
)  # torch takes seconds to load, which is why the process stays
READER = Worker("ctseg_imaging.formats")  # without torch, so it is there at once


def run_in_worker(
    work: Callable[..., Generator[Progress, None, T]], *arguments: Any, title: str
) -> Generator[Progress, None, T]:
    """`Worker.run` in the process that has loaded torch."""
    return NETWORKS.run(work, *arguments, title=title)


def shut_down() -> None:
    """End all worker processes; later jobs start new ones."""
    for worker in (NETWORKS, READER):
        worker.shut_down()


def _folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return ""
