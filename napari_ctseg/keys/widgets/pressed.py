"""Whether a Qt event is a key of the table."""

from __future__ import annotations

from qtpy.QtGui import QKeyEvent, QKeySequence

from napari_ctseg.keys.gesture import Gesture


def is_pressed(event: QKeyEvent, gesture: Gesture) -> bool:
    """Whether the key of `event` is one of the gesture's, with any modifiers."""
    return any(QKeySequence(key)[0].key() == event.key() for key in gesture.keys)
