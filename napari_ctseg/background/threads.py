"""Short work outside the queue, of about a second, in its own thread; it need not wait for a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_ctseg.background.queue import Outcome

ThreadedCall = Callable[[Callable[[], Any], Callable[[Any], None], Callable[[Exception], None]], None]


def run_in_thread(
    function: Callable[[], Any], on_done: Callable[[Any], None], on_error: Callable[[Exception], None]
) -> None:
    """Call `function` in a thread, then in the GUI thread `on_done` with its value or `on_error` with its
    exception.
    """
    from napari.qt.threading import create_worker

    def ended(outcome: Outcome) -> None:
        if outcome.error is None:
            on_done(outcome.value)
        else:
            on_error(outcome.error)  # type: ignore[arg-type]

    worker = create_worker(_outcome, function, _start_thread=False)
    worker.returned.connect(ended)
    worker.start()


class LatestCall:
    """Calls one function after the other in a thread; of those that come while one is running, only the last.

    running : whether one is.
    """

    def __init__(self, aside: ThreadedCall, on_error: Callable[[Exception], None]) -> None:
        self._aside, self._on_error = aside, on_error
        self._next: tuple[Callable[[], Any], Callable[[Any], None]] | None = None
        self.running = False

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits."""
        return not self.running and self._next is None

    def ask(self, function: Callable[[], Any], on_done: Callable[[Any], None]) -> None:
        """Call `function` in a thread, then `on_done` with its value in the GUI thread."""
        self._next = function, on_done
        self._start()

    def drop(self) -> None:
        """Do not call what waits."""
        self._next = None

    def _start(self) -> None:
        if self.running or self._next is None:
            return
        (function, on_done), self._next = self._next, None
        self.running = True

        def done(value: Any) -> None:
            self.running = False
            on_done(value)
            self._start()

        self._aside(function, done, self._failed)

    def _failed(self, error: Exception) -> None:
        self.running, self._next = False, None
        self._on_error(error)


def _outcome(function: Callable[[], Any]) -> Outcome:
    """Catches every exception, as nothing else can report it to the user."""
    try:
        return Outcome(function())
    except Exception as error:  # noqa: BLE001
        return Outcome(error=error)
