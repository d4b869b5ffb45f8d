"""Delayed calls on Qt's event loop."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QTimer


def single_shot(after_ms: int, callback: Callable[[], None] | None = None) -> QTimer:
    """A timer that calls `callback` once, `after_ms` after `start()`; another start restarts it."""
    timer = QTimer()
    timer.setSingleShot(True)
    timer.setInterval(after_ms)
    if callback is not None:
        timer.timeout.connect(callback)
    return timer
