"""The thread that writes all journals, so no stroke waits for a disk."""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from napari_ctseg.journal.file import JournalFile

TOGETHER_S = 0.15  # the dabs of a stroke that come within this time are written together
PATIENCE_S = 30.0  # for what is still to be written when the program ends


class Writer:
    """Runs tasks in order in its own thread, and flushes journals to the disk once a second while they
    change.

    Data written to a file survives the end of the process; the flush is for power failures, and once a second
    does not slow the disk down.
    """

    def __init__(self) -> None:
        self._tasks: deque[Callable[[], None]] = deque()
        self._files: set[JournalFile] = set()
        self._some, self._hurry = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def open(self, path: Path, failed: Callable[[Exception], None], kept: Callable[[], None]) -> JournalFile:
        """A journal that this thread writes until `close`."""
        file = JournalFile(path, self._again, failed, kept)
        self._files.add(file)
        return file

    def close(self, file: JournalFile) -> None:
        """Flush and close a journal."""

        def last() -> None:
            file.close()
            self._files.discard(file)

        self.post(last)

    def post(self, task: Callable[[], None]) -> None:
        """Run `task` after those already queued."""
        self._tasks.append(task)
        self._some.set()
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
            self._thread.start()

    def flush(self, timeout_s: float = PATIENCE_S) -> bool:
        """Wait until everything posted so far is written and flushed. Returns False on timeout."""
        if self._thread is None:
            return True
        done = threading.Event()

        def last() -> None:
            if self._tasks:  # a base that is being written puts its next step at the end
                self._tasks.append(last)
                return
            for file in tuple(self._files):
                file.sync_now()
            done.set()

        self._tasks.append(last)
        self._hurry.set()
        self._some.set()
        return done.wait(timeout_s)

    def _again(self, task: Callable[[], None]) -> None:
        self._tasks.append(task)
        self._hurry.set()

    def _run(self) -> None:
        due: float | None = None
        while True:
            if self._some.wait(due):
                self._hurry.wait(TOGETHER_S)
                self._some.clear()
                self._hurry.clear()
                for _ in range(len(self._tasks)):
                    _run_reporting(self._tasks.popleft())
                if self._tasks:
                    self._some.set()
            waits = [wait for file in tuple(self._files) if (wait := file.sync()) is not None]
            due = min(waits, default=None)


def _run_reporting(task: Callable[[], None]) -> None:
    """Run `task`; an exception is reported like one of a thread (napari shows it), and the thread continues
    with the next task.
    """
    try:
        task()
    except Exception as error:  # noqa: BLE001 - the thread's edge: other journals go on
        threading.excepthook(
            threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread()))
        )


WRITER = Writer()
atexit.register(WRITER.flush)
