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


def _outcome(function: Callable[[], Any]) -> Outcome:
    """Catches every exception, as nothing else can report it to the user."""
    try:
        return Outcome(function())
    except Exception as error:  # noqa: BLE001
        return Outcome(error=error)
