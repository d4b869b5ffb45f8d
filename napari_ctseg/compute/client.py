"""The computing process as the viewer sees it: one child that stays warm between jobs, and `elsewhere`, which runs a generator in it."""

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
from typing import Any, NoReturn, TypeVar

from ctseg_imaging.progress import Progress
from napari_ctseg.compute.death import how_it_ended
from napari_ctseg.compute.inherited import handing_over
from napari_ctseg.compute.messages import Arrived, Cancel, Closed, ComputingProcessError, Elsewhere, Job, Raised, Returned, Step
from napari_ctseg.compute.parcels import Parcel, receive

T = TypeVar("T")
POLL_SECONDS = 0.1  # a cancelled run hears of it after this long
PATIENCE_SECONDS = 1.5  # for a cancelled job to end by itself
IDLE_MINUTES = 10.0
MUCH_MB = 150.0  # resident; less is not worth ending an idle process for
STARTING = Progress("load", 0, 1, "Starting the computing process")
_BUSY = threading.Lock()
_NUMBERS = count(1)


class ComputingProcess:
    """A child that was started and not waited for. What it prints goes into a nameless file, for Details when it dies."""

    def __init__(self) -> None:
        """Raises ComputingProcessError when the system gives no process, pipe or file for it; nothing is left open then."""
        with ExitStack() as opened:
            try:
                self._log = opened.enter_context(tempfile.TemporaryFile())
                self.connection, theirs = Pipe()
                opened.enter_context(self.connection)
                with theirs:
                    handle, inheriting = handing_over(theirs)
                    self.process = subprocess.Popen([sys.executable, "-P", "-m", "napari_ctseg.compute", handle], stdin=subprocess.PIPE,
                                                    stdout=self._log, stderr=self._log, **inheriting)
            except OSError as error:
                raise ComputingProcessError(f"The computing process could not be started ({error.strerror or error}); close other programs "
                                            "or free some space, then run it again.") from error
            opened.pop_all()  # they live as long as the process
        self._ready = False
        self._idle: threading.Timer | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it could take a job."""
        return self.process.poll() is None

    def _message(self, last: Progress, title: str) -> Generator[Progress, None, Any]:
        """Wait for its next message; meanwhile `last` is yielded again and again, so that the one who drives this can stop waiting.
        Raises ComputingProcessError when it dies."""
        try:
            while not self.connection.poll(POLL_SECONDS):
                yield last
            return receive(self.connection)
        except (EOFError, OSError):
            self._tell_of_its_death(title)

    def job(self, job: Job, title: str) -> Generator[Progress, None, Any]:
        """Run it. Closing the generator cancels: the child is gone when it has not ended its work by then."""
        last = STARTING
        if not self._ready:
            yield last
            yield from self._message(last, title)
            self._ready = True
        self._stay()
        self._log.seek(0)
        self._log.truncate()
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
            raise answer.error from Elsewhere(answer.traceback)
        return answer.value

    def end_when_idle(self) -> None:
        """Give its memory back after some minutes without a job."""
        self._stay()
        self._idle = threading.Timer(60 * IDLE_MINUTES, _end_idle, (self,))
        self._idle.daemon = True
        self._idle.start()

    def resident_mb(self) -> float:
        """How much memory it holds."""
        import psutil

        try:
            return float(psutil.Process(self.process.pid).memory_info().rss) / 1e6
        except psutil.NoSuchProcess:
            return 0.0

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
        """The connection broke, so that it is dead or about to be."""
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._log.seek(0)
        raise ComputingProcessError(how_it_ended(title, code)) from Elsewhere(self._log.read().decode(errors="replace"))


_LIVING: list[ComputingProcess] = []


def elsewhere(work: Callable[..., Generator[Progress, None, T]], *arguments: Any, title: str) -> Generator[Progress, None, T]:
    """Run a generator in the computing process: its Progress, its value and what it raises come out of this one.

    work : a generator function of an importable module; it, its arguments and its value are pickled, large arrays go through memory that
    both processes see. The last Progress is yielded again while nothing new has come. Closing this generator cancels: the work is closed
    at its next step, and its process killed when it has not ended after 1.5 s. title : what runs, for the person who waits.
    Raises what the work raised (the traceback of there behind it), ComputingProcessError when the process ends unexpectedly.
    """
    while not _BUSY.acquire(timeout=POLL_SECONDS):
        yield STARTING
    try:
        process = _living()
        value: T = yield from process.job(Job(next(_NUMBERS), work, arguments), title)
        return value
    finally:
        try:
            _keep_warm()
        finally:
            _BUSY.release()


def preload() -> None:
    """Start the process unless there is one; it loads torch by itself, and nothing waits for that."""
    if _BUSY.acquire(blocking=False):
        try:
            with suppress(ComputingProcessError):  # the next job tries again, and there is somebody to tell
                _living()
        finally:
            _BUSY.release()


def shut_down() -> None:
    """End the process, if there is one; a later job starts another."""
    while _LIVING:
        _LIVING.pop().end()


def _living() -> ComputingProcess:
    if _LIVING and not _LIVING[0].is_alive:
        shut_down()
    if not _LIVING:
        _LIVING.append(ComputingProcess())
        _LIVING[0].end_when_idle()
    return _LIVING[0]


def _keep_warm() -> None:
    """For the next job: where the process had to be killed, a fresh one loads torch meanwhile. Not when Python itself is ending."""
    if not sys.is_finalizing():
        with suppress(ComputingProcessError):  # the job has its value or its error already; the next one tries again
            _living().end_when_idle()


def _end_idle(process: ComputingProcess) -> None:
    """Called by the timer."""
    if _BUSY.acquire(blocking=False):
        try:
            if process in _LIVING and process.resident_mb() > MUCH_MB:
                shut_down()
        finally:
            _BUSY.release()
