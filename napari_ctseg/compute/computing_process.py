"""A child process that computes: started, given jobs, watched for its memory use, cancelled and ended."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from multiprocessing import Pipe
from typing import Any, NoReturn

from ctseg_imaging.progress import Progress
from napari_ctseg.compute.array_pickling import PickledMessage, receive
from napari_ctseg.compute.exit_reason import ended, too_large
from napari_ctseg.compute.memory import Limit
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

POLL_SECONDS = 0.1  # a cancelled run learns of it after this long
PATIENCE_SECONDS = 1.5  # for a cancelled job to end by itself
IDLE_MINUTES = 10.0
SECONDS_BETWEEN_LOOKS = 0.1  # at how much memory it takes
STARTING = Progress("load", 0, 1, "Starting the computing process")


class ComputingProcess:
    """Starting it does not block. Its output goes to a temporary file, which Details shows if it crashes."""

    def __init__(self, module: str) -> None:
        """module : imported at its start. Raises ComputingProcessError if the system provides no process,
        pipe or file for it; nothing is left open then.
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
                    "programs or free some space, then run it again."
                ) from error
            opened.pop_all()  # they live as long as the process
        self._ready = False
        self._limit: Limit | None = None
        self._looked = 0.0
        self._idle: threading.Timer | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it can take a job."""
        return self.process.poll() is None

    def _message(self, last: Progress, title: str) -> Generator[Progress, None, Any]:
        """Wait for its next message; meanwhile `last` is yielded repeatedly, so the caller can stop waiting.
        Raises ComputingProcessError if it ends.
        """
        try:
            while not self.connection.poll(POLL_SECONDS):
                self._watch_memory(title)
                yield last
            self._watch_memory(title)
            return receive(self.connection)
        except (EOFError, OSError):
            self._raise_exit_reason(title)

    def job(self, job: WorkerJob, title: str) -> Generator[Progress, None, Any]:
        """Run a job. Closing the generator cancels: a child that does not end its work in time is killed."""
        last = STARTING
        if not self._ready:
            yield last
            yield from self._message(last, title)
            self._ready = True
        self._stop_idle_timer()
        self._log.seek(0)
        self._log.truncate()
        self._limit = Limit(self.process.pid)
        pickled = PickledMessage(job)
        answer: Returned | Raised | None = None
        try:
            try:
                pickled.send(self.connection, self.process.pid)
            except OSError:
                self._raise_exit_reason(title)
            while answer is None:
                message = yield from self._message(last, title)
                pickled.close()
                if isinstance(message, Step):
                    last = message.progress
                    yield last
                else:
                    answer = message
        finally:
            pickled.close()
            if answer is None and self.is_alive:
                self._cancel(job.number)
        with suppress(OSError):  # a child that dies after its answer is replaced for the next job
            PickledMessage(Arrived()).send(self.connection, self.process.pid)
        if isinstance(answer, Raised):
            raise answer.error from WorkerTraceback(answer.traceback)
        return answer.value

    def end_when_idle(self, end: Callable[[ComputingProcess], None]) -> None:
        """Call a function after some minutes without a job, to free the memory."""
        self._stop_idle_timer()
        self._idle = threading.Timer(60 * IDLE_MINUTES, end, (self,))
        self._idle.daemon = True
        self._idle.start()

    def _watch_memory(self, title: str) -> None:
        """Kill it when it uses nearly all memory, before the system slows down or the kernel chooses a
        process to end.
        """
        if self._limit is None or time.monotonic() < self._looked + SECONDS_BETWEEN_LOOKS:
            return
        self._looked = time.monotonic()
        if self._limit.is_exceeded():
            self.process.kill()
            self.process.wait()
            raise too_large(title, self._limit.most_bytes)

    def end(self) -> None:
        """Kill it; it holds nothing that needs saving."""
        self._stop_idle_timer()
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.connection.close()
        self._log.close()

    def _stop_idle_timer(self) -> None:
        if self._idle is not None:
            self._idle.cancel()

    def _cancel(self, number: int) -> None:
        """Ask it to stop, wait a little, then kill it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            PickledMessage(Cancel(number)).send(self.connection, self.process.pid)
            while self.connection.poll(max(0.0, deadline - time.monotonic())):
                if isinstance(receive(self.connection), Closed | Returned | Raised):
                    PickledMessage(Arrived()).send(self.connection, self.process.pid)
                    return
        except (EOFError, OSError):
            pass  # it died meanwhile
        self.process.kill()
        self.process.wait()

    def _raise_exit_reason(self, title: str) -> NoReturn:
        """The connection broke, so the process has ended or is about to."""
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._log.seek(0)
        raise ended(title, code) from WorkerTraceback(self._log.read().decode(errors="replace"))
