"""Short work next to the queue of work.py: a second or so in a thread of its own, so it need not wait for
a model's run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_ctseg.background.queue import Outcome

ThreadedCall = Callable[[Callable[[], Any], Callable[[Any], None], Callable[[Exception], None]], None]


def run_in_thread(
    function: Callable[[], Any], on_done: Callable[[Any], None], on_error: Callable[[Exception], None]
) -> None:
    """Call `function` in a thread; `on_done` gets its value, `on_error` what it raised, both in the GUI
    thread.
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
    """The broad catch is the thread's edge: whatever happens has to reach the user who waits."""
    try:
        return Outcome(function())
    except Exception as error:  # noqa: BLE001
        return Outcome(error=error)
