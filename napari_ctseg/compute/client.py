"""Worker processes as the viewer sees them: a child that stays warm between jobs, for networks one and for
reading another.

What can crash, hang or take all memory inside a library runs there: `run_in_worker` for what needs torch,
`READER.run` for images.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from itertools import count
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from ctseg_imaging.progress import Progress
from napari_ctseg.compute.array_pickling import Parcel, receive
from napari_ctseg.compute.exit_reason import ended, too_large
from napari_ctseg.compute.memory import Limit, resident_bytes
from napari_ctseg.compute.messages import (
    Arrived,
    Cancel,
    Closed,
    ComputingProcessError,
    Raised,
    Returned,
    Step,
    WorkerJob,
    WorkerTraceback,
)
from napari_ctseg.compute.pipe_handles import handing_over

T = TypeVar("T")
POLL_SECONDS = 0.1  # a cancelled run hears of it after this long
PATIENCE_SECONDS = 1.5  # for a cancelled job to end by itself
IDLE_MINUTES = 10.0
MUCH_MB = 150.0  # resident; less is not worth ending an idle process for
SECONDS_BETWEEN_LOOKS = 0.1  # at how much memory it takes
STARTING = Progress("load", 0, 1, "Starting the computing process")
_NUMBERS = count(1)


class ComputingProcess:
    """A child that was started and not waited for. What it prints goes into a nameless file, for Details when
    it dies.
    """

    def __init__(self, module: str) -> None:
        """module : imported at its start.

        Raises ComputingProcessError when the system gives no process, pipe or file for it; nothing is left
        open then.
        """
        with ExitStack() as opened:
            try:
                self._log = opened.enter_context(tempfile.TemporaryFile())
                self.connection, theirs = Pipe()
                opened.enter_context(self.connection)
                with theirs:
                    handle, inheriting = handing_over(theirs)
                    self.process = subprocess.Popen(
                        [sys.executable, "-P", "-m", "napari_ctseg.compute", handle, module],
                        stdin=subprocess.PIPE,
                        stdout=self._log,
                        stderr=self._log,
                        **inheriting,
                    )
            except OSError as error:
                raise ComputingProcessError(
                    f"The computing process could not be started ({error.strerror or error}); close other "
                    "programs "
                    "or free some space, then run it again."
                ) from error
            opened.pop_all()  # they live as long as the process
        self._ready = False
        self._limit: Limit | None = None
        self._looked = 0.0
        self._idle: threading.Timer | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it could take a job."""
        return self.process.poll() is None

    def _message(self, last: Progress, title: str) -> Generator[Progress, None, Any]:
        """Wait for its next message; meanwhile `last` is yielded again and again, so the one who drives
        this can stop waiting. Raises ComputingProcessError when it dies.
        """
        try:
            while not self.connection.poll(POLL_SECONDS):
                self._watch_memory(title)
                yield last
            self._watch_memory(title)
            return receive(self.connection)
        except (EOFError, OSError):
            self._tell_of_its_death(title)

    def job(self, job: WorkerJob, title: str) -> Generator[Progress, None, Any]:
        """Run it. Closing the generator cancels: the child is gone when it has not ended its work by then."""
        last = STARTING
        if not self._ready:
            yield last
            yield from self._message(last, title)
            self._ready = True
        self._stay()
        self._log.seek(0)
        self._log.truncate()
        self._limit = Limit(self.process.pid)
        parcel = Parcel(job)
        answer: Returned | Raised | None = None
        try:
            try:
                parcel.send(self.connection, self.process.pid)
            except OSError:
                self._tell_of_its_death(title)
            while answer is None:
                message = yield from self._message(last, title)
                parcel.close()
                if isinstance(message, Step):
                    last = message.progress
                    yield last
                else:
                    answer = message
        finally:
            parcel.close()
            if answer is None and self.is_alive:
                self._cancel(job.number)
        with suppress(OSError):  # a child that dies after its answer is replaced for the next job
            Parcel(Arrived()).send(self.connection, self.process.pid)
        if isinstance(answer, Raised):
            raise answer.error from WorkerTraceback(answer.traceback)
        return answer.value

    def end_when_idle(self, end: Callable[[ComputingProcess], None]) -> None:
        """Have it called after some minutes without a job, to give its memory back."""
        self._stay()
        self._idle = threading.Timer(60 * IDLE_MINUTES, end, (self,))
        self._idle.daemon = True
        self._idle.start()

    def _watch_memory(self, title: str) -> None:
        """Kill it when it takes nearly all memory, before the system slows down or the kernel chooses what to
        end.
        """
        if self._limit is None or time.monotonic() < self._looked + SECONDS_BETWEEN_LOOKS:
            return
        self._looked = time.monotonic()
        if self._limit.is_exceeded():
            self.process.kill()
            self.process.wait()
            raise too_large(title, self._limit.most_bytes)

    def end(self) -> None:
        """Kill it; it holds nothing that has to be saved."""
        self._stay()
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.connection.close()
        self._log.close()

    def _stay(self) -> None:
        if self._idle is not None:
            self._idle.cancel()

    def _cancel(self, number: int) -> None:
        """Ask, wait a little, then kill."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            Parcel(Cancel(number)).send(self.connection, self.process.pid)
            while self.connection.poll(max(0.0, deadline - time.monotonic())):
                if isinstance(receive(self.connection), Closed | Returned | Raised):
                    Parcel(Arrived()).send(self.connection, self.process.pid)
                    return
        except (EOFError, OSError):
            pass  # it died meanwhile
        self.process.kill()
        self.process.wait()

    def _tell_of_its_death(self, title: str) -> NoReturn:
        """The connection broke, so it is dead or about to be."""
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._log.seek(0)
        raise ended(title, code) from WorkerTraceback(self._log.read().decode(errors="replace"))


class Worker:
    """One kind of work and the process for it, if there is one now. module : what the process imports at its
    start.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self.busy = threading.Lock()
        self.process: ComputingProcess | None = None

    def run(
        self, work: Callable[..., Generator[Progress, None, T]], *arguments: Any, title: str
    ) -> Generator[Progress, None, T]:
        """Run a generator in the process: its Progress, its value and what it raises come out of this one.

        work : a generator function of an importable module; it, its arguments and its value are pickled,
        large arrays go through memory that both processes see. The last Progress is yielded again while
        nothing new has come. Closing this generator cancels: the work is closed at its next step, and its
        process killed when it has not ended after 1.5 s. title : what runs, for the user. Raises what the
        work raised (the traceback of there behind it), ComputingProcessError when there is no process for it,
        EndedUnexpectedly when the process crashes, is killed or takes more memory than was free.
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
        """Start the process unless there is one; it loads its module by itself, and nothing waits for
        that.
        """
        if self.busy.acquire(blocking=False):
            try:
                with suppress(ComputingProcessError):  # the next job tries again and reports it
                    self._living()
            finally:
                self.busy.release()

    def shut_down(self) -> None:
        """End the process, if there is one; a later job starts another."""
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
        """For the next job: where the process had to be killed, a fresh one loads meanwhile. Not when Python
        itself is ending.
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
    """`Worker.run` in the process that has torch loaded."""
    return NETWORKS.run(work, *arguments, title=title)


def shut_down() -> None:
    """End all worker processes; later jobs start others."""
    for worker in (NETWORKS, READER):
        worker.shut_down()


def _folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return ""
