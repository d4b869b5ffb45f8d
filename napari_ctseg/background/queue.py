"""One queue for long work: one generator at a time, in a thread, with progress in the dock and in napari's
activity area.

The generator yields `Progress`; closing it cancels. A generator that waits for another process yields its
last step repeatedly, so it notices a cancel; no step is reported twice. Callbacks are called in the GUI
thread, and never after `cancel`.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from threading import Event
from typing import Any

from ctseg_imaging.errors import NOT_ENOUGH_MEMORY, CtsegError, is_out_of_memory
from ctseg_imaging.progress import Progress

SECONDS_BETWEEN_BARS = 0.5  # drawing napari's activity costs more than the dock's own bar
Factory = Callable[[], Generator[Progress, None, Any]]


@dataclass(frozen=True)
class Outcome:
    """How a generator ended: with a value, with an error, or cancelled (neither)."""

    value: Any = None
    error: BaseException | None = None
    cancelled: bool = False


class Task:
    """One piece of work in the queue. `done` is true once there are no more callbacks."""

    def __init__(
        self,
        factory: Factory,
        on_progress: Callable[[Progress], None],
        on_done: Callable[[Any], None],
        on_error: Callable[[Exception], None],
        title: str,
    ) -> None:
        self.factory, self.title = factory, title
        self._on_progress, self._on_done, self._on_error = on_progress, on_done, on_error
        self._cancelled = Event()
        self._bar: Any = None
        self._in_bar = False
        self._bar_drawn = 0.0
        self._reported: Progress | None = None
        self.done = False

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Cancel: no more callbacks; the generator is closed at its next step, and the next task starts."""
        self._cancelled.set()
        self.done = True
        self._close_bar()
        if self in _WAITING:
            _WAITING.remove(self)

    def started(self) -> None:
        """Called by the queue in the GUI thread when the work begins."""
        from napari.utils import progress

        self._bar = progress(total=100, desc=self.title, gui=True)

    def progressed(self, step: Progress) -> None:
        """Called by the queue in the GUI thread."""
        if self.done or step is self._reported:
            return
        self._reported = step
        self._on_progress(step)
        self._show_in_bar(step)

    def ended(self, outcome: Outcome) -> None:
        """The queue calls this in the GUI thread."""
        if self.done:
            return
        self.done = True
        self._close_bar()
        if outcome.error is not None:
            self._on_error(outcome.error)  # type: ignore[arg-type]
        elif not outcome.cancelled:
            self._on_done(outcome.value)

    def _show_in_bar(self, step: Progress) -> None:
        """napari's bar handles events during its own update, so this task may continue, end or be cancelled
        meanwhile.
        """
        if self._bar is None or self._in_bar or time.monotonic() < self._bar_drawn + SECONDS_BETWEEN_BARS:
            return
        self._in_bar, self._bar_drawn = True, time.monotonic()
        try:
            self._bar.set_description(f"{self.title}: {step.stage}" if step.stage else self.title)
            if step.total and self._bar is not None:
                self._bar.update(max(0, round(100 * min(1.0, step.done / step.total)) - self._bar.n))
        finally:
            self._in_bar = False

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


_WAITING: deque[Task] = deque()
_RUNNING: list[Task] = []


def run(
    generator_factory: Factory,
    on_progress: Callable[[Progress], None],
    on_done: Callable[[Any], None],
    on_error: Callable[[Exception], None],
    *,
    title: str = "CT segmentation",
) -> Task:
    """Add work to the queue; it starts when the tasks before it have ended.

    generator_factory : called in the thread, so torch is imported inside it. on_done : called with the
    generator's return value. on_error : called with the exception. title : for napari's activity area.
    """
    task = Task(generator_factory, on_progress, on_done, on_error, title)
    _WAITING.append(task)
    _start_next()
    return task


def is_busy() -> bool:
    """Whether a generator is running, including cancelled ones that have not reached their next step."""
    return bool(_RUNNING)


def waiting() -> int:
    """How many tasks are queued."""
    return len(_WAITING)


def sentence(error: BaseException) -> str:
    """The message for the user: the sentence of a CtsegError as it is, an unexpected error by its type."""
    if isinstance(error, CtsegError):
        return str(error)
    if is_out_of_memory(error):
        return NOT_ENOUGH_MEMORY
    return f"Unexpected error ({type(error).__name__}); press Details for a report."


def details(error: BaseException) -> str:
    """The traceback, for a "Details" button."""
    return "".join(traceback.format_exception(error))


def driven(factory: Factory, is_cancelled: Callable[[], bool]) -> Generator[Progress, None, Outcome]:
    """Runs in a thread until the work ends or is cancelled. Catches every exception, as nothing else can
    report it to the user.
    """
    work = None
    try:
        work = factory()
        while not is_cancelled():
            try:
                step = next(work)
            except StopIteration as end:
                return Outcome(end.value)
            yield step
        return Outcome(cancelled=True)
    except Exception as error:  # noqa: BLE001
        return Outcome(error=error)
    finally:
        if work is not None:
            work.close()


def _start_next() -> None:
    if _RUNNING or not _WAITING:
        return
    from napari.qt.threading import create_worker

    task = _WAITING.popleft()
    _RUNNING.append(task)
    task.started()
    worker = create_worker(driven, task.factory, lambda: task.cancelled, _start_thread=False)
    worker.yielded.connect(task.progressed)
    worker.returned.connect(task.ended)
    worker.finished.connect(lambda: _finished(task))
    worker.start()


def _finished(task: Task) -> None:
    if task in _RUNNING:
        _RUNNING.remove(task)
    _start_next()
