"""A worker process: `python -m napari_ctseg.compute HANDLE MODULE`, started by `client`.

It imports MODULE, which takes most of its start-up time, runs one job after another and ends with the process
that started it.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Generator
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.progress import Progress
from ctseg_models.process_memory import prepare_process
from napari_ctseg.compute.array_pickling import PickledMessage, receive
from napari_ctseg.compute.containment import EXIT_WITH_PARENT, contain, limit_memory
from napari_ctseg.compute.messages import Cancel, Closed, Raised, Ready, Returned, Step, WorkerJob
from napari_ctseg.compute.pipe_handles import connection_of

NICE = 5  # less than the viewer, which answers the user
SECONDS_BETWEEN_STEPS = 0.2  # drawing one costs the viewer up to 30 ms
OWN = (
    "builtins",
    "ctseg_imaging",
)  # exceptions from here can be unpickled by a viewer that has no torch loaded


def serve(connection: Connection, module: str) -> None:
    """Run jobs until the other side is gone. module : imported first."""
    importlib.import_module(module)
    gc.collect()
    # what the module made stays, and looking through it after each job would take longer than reading a small
    # file
    gc.freeze()
    answer = _send(connection, Ready())
    while True:
        message = receive(connection)
        if not isinstance(message, Cancel):  # which crossed the answer on its way
            answer.close()
        if isinstance(message, WorkerJob):
            outcome = run(message, connection)
            del message
            try:
                answer = _send(connection, outcome)
            except (
                OSError,
                pickle.PicklingError,
                TypeError,
                AttributeError,
            ) as error:  # an answer that does not fit or cannot travel
                answer = _send(connection, raised(error))
            del outcome
            free_memory()


def run(job: WorkerJob, connection: Connection) -> Returned | Raised | Closed:
    """Run a job's generator, sending its progress and checking for Cancel between its steps."""
    work: Generator[Progress, None, Any] | None = None
    reported = 0.0, ""
    try:
        with suppress(OSError):  # the folder is gone: relative paths fail with a sentence of their own
            os.chdir(job.folder)
        limit_memory()
        work = job.work(*job.arguments)
        while not _cancelled(connection, job.number):
            try:
                step = next(work)
            except StopIteration as end:
                return Returned(end.value)
            if step.stage != reported[1] or time.monotonic() > reported[0] + SECONDS_BETWEEN_STEPS:
                reported = time.monotonic(), step.stage
                _send(connection, Step(step)).close()
        work.close()
        return Closed()
    except Exception as error:  # noqa: BLE001 - at the process's edge every error has to reach the user
        return raised(error)


def raised(error: Exception) -> Raised:
    """An error that the other side can unpickle: of its own class if that is ours or Python's, otherwise of
    the nearest such class.
    """
    text = "".join(traceback.format_exception(error))
    bare = error.with_traceback(None)
    bare.__cause__ = bare.__context__ = None
    if _is_known(type(bare)) and _survives(bare):
        return Raised(bare, text)
    if isinstance(error, CtsegError | MemoryError):
        return Raised(_as_nearest(error), text)
    return Raised(RuntimeError(f"{type(error).__name__}: {error}"), text)


def _as_nearest(error: CtsegError | MemoryError) -> Exception:
    """The same sentence in the first known class, among its own and its ancestors, that can be built from a
    sentence.
    """
    for kind in type(error).__mro__:
        if _is_known(kind):
            with suppress(TypeError):  # a constructor that wants other arguments
                if str(made := kind(str(error))) == str(error):
                    return made  # type: ignore[no-any-return]
    return CtsegError(str(error))


def _is_known(kind: type) -> bool:
    return kind.__module__.split(".")[0] in OWN


def _survives(error: BaseException) -> bool:
    """Whether pickling preserves it; an exception with its own constructor may not survive."""
    try:
        return str(pickle.loads(pickle.dumps(error))) == str(error)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError):
        return False


def free_memory() -> None:
    """Return the memory of the job to the system, not only to torch and malloc."""
    gc.collect()
    if "torch" not in sys.modules:
        return
    import torch

    from ctseg_models.process_memory import trim

    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    trim()


def _cancelled(connection: Connection, number: int) -> bool:
    while connection.poll():
        message = receive(connection)
        if isinstance(message, Cancel) and message.number == number:
            return True
    return False


def _send(connection: Connection, message: object) -> PickledMessage:
    pickled = PickledMessage(message)
    pickled.send(connection, os.getppid())
    return pickled


def behave() -> None:
    """Leave Ctrl-C to the viewer, and give the viewer priority on the processor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        os.nice(NICE)


if __name__ == "__main__":
    contain()
    behave()
    if sys.argv[2].startswith("ctseg_models."):  # networks run here, not only readers
        prepare_process()
    try:
        serve(connection_of(sys.argv[1]), sys.argv[2])
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(EXIT_WITH_PARENT)
