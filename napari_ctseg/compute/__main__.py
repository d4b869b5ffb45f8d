"""The computing process: `python -m napari_ctseg.compute HANDLE`, started by `client` and by nobody else.

It loads torch once, runs one job after the other and ends with the process that started it.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Generator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.progress import Progress
from napari_ctseg.compute.inherited import connection_of
from napari_ctseg.compute.messages import Cancel, Closed, Job, Raised, Ready, Returned, Step
from napari_ctseg.compute.parcels import Parcel, receive

NICE = 5  # less than the viewer, which answers the person
FIRST_TO_GO = 500  # of 1000, for the kernel when memory runs out: rather this process than the viewer with what was drawn in it
SECONDS_BETWEEN_STEPS = 0.2  # drawing one costs the viewer up to 30 ms
OWN = ("builtins", "ctseg_imaging")  # exceptions from here can be unpickled by a viewer that has no torch loaded
EXIT_WITH_PARENT = 3


def serve(connection: Connection) -> None:
    """Run jobs until the other side is gone."""
    import ctseg_models.inference.two_stage  # noqa: F401 - the second or two that this and torch take are why the process stays

    answer = _send(connection, Ready())
    while True:
        message = receive(connection)
        if not isinstance(message, Cancel):  # which crossed the answer on its way
            answer.close()
        if isinstance(message, Job):
            outcome = run(message, connection)
            del message
            try:
                answer = _send(connection, outcome)
            except (OSError, pickle.PicklingError, TypeError, AttributeError) as error:  # an answer that does not fit or cannot travel
                answer = _send(connection, raised(error))
            del outcome
            free_memory()


def run(job: Job, connection: Connection) -> Returned | Raised | Closed:
    """Drive a job's generator, telling how far it is and listening for Cancel between its steps."""
    work: Generator[Progress, None, Any] | None = None
    told = 0.0, ""
    try:
        work = job.work(*job.arguments)
        while not _cancelled(connection, job.number):
            try:
                step = next(work)
            except StopIteration as end:
                return Returned(end.value)
            if step.stage != told[1] or time.monotonic() > told[0] + SECONDS_BETWEEN_STEPS:
                told = time.monotonic(), step.stage
                _send(connection, Step(step)).close()
        work.close()
        return Closed()
    except Exception as error:  # noqa: BLE001 - the process's edge: whatever happens has to reach the person who waits
        return raised(error)


def raised(error: Exception) -> Raised:
    """An error as the viewer can unpickle it: of its own class where that is ours or Python's, else of the nearest plain one."""
    text = "".join(traceback.format_exception(error))
    bare = error.with_traceback(None)
    bare.__cause__ = bare.__context__ = None
    if type(error).__module__.split(".")[0] in OWN and _survives(bare):
        return Raised(bare, text)
    if isinstance(error, CtsegError | MemoryError):
        kind = CtsegError if isinstance(error, CtsegError) else MemoryError
        return Raised(kind(str(error)), text)
    return Raised(RuntimeError(f"{type(error).__name__}: {error}"), text)


def _survives(error: BaseException) -> bool:
    """Whether pickling gives the same again; an exception with a constructor of its own may not."""
    try:
        return str(pickle.loads(pickle.dumps(error))) == str(error)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError):
        return False


def free_memory() -> None:
    """Give what the job has used back to the system, not only to torch and malloc."""
    import gc

    import torch

    from ctseg_models.inference import buffers

    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    buffers.give_back()


def _cancelled(connection: Connection, number: int) -> bool:
    while connection.poll():
        message = receive(connection)
        if isinstance(message, Cancel) and message.number == number:
            return True
    return False


def _send(connection: Connection, message: object) -> Parcel:
    parcel = Parcel(message)
    parcel.send(connection, os.getppid())
    return parcel


def end_with_parent() -> None:
    """Standard input is a pipe that the parent never writes to: it ends when the parent does, however that came about.

    The system's signal also ends a process whose interpreter is held by a call that never returns; the thread serves where there is none.
    """
    def wait() -> None:
        os.read(0, 1)
        os._exit(EXIT_WITH_PARENT)

    threading.Thread(target=wait, daemon=True).start()
    if sys.platform != "win32":
        import fcntl

        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | fcntl.FASYNC)


def behave() -> None:
    """Ctrl-C is the viewer's; computing comes after the viewer in processor time, and before it when memory runs out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    if sys.platform != "win32":
        os.nice(NICE)
    if sys.platform == "linux":
        with suppress(OSError):  # some containers do not allow it, and computing does without
            Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_GO))


if __name__ == "__main__":
    end_with_parent()
    behave()
    try:
        serve(connection_of(sys.argv[1]))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(EXIT_WITH_PARENT)
