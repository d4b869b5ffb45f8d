"""Calls that wait for a moment, on Qt's event loop."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QTimer


def single_shot(after_ms: int, callback: Callable[[], None] | None = None) -> QTimer:
    """A timer that calls `callback` once, `after_ms` after each `start()`; starting it again puts it off."""
    timer = QTimer()
    timer.setSingleShot(True)
    timer.setInterval(after_ms)
    if callback is not None:
        timer.timeout.connect(callback)
    return timer
