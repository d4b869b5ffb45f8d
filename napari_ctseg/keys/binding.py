"""Binds the gestures of the table to napari's viewers and layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_ctseg.keys.gesture import Gesture


def bind(target: Any, gesture: Gesture, act: Callable[[], Any]) -> None:
    """Call `act` at each key of `gesture`. target : a viewer or a layer."""
    bind_each(target, gesture, lambda key: act())


def bind_each(target: Any, gesture: Gesture, act: Callable[[str], Any]) -> None:
    """Call `act` with the key that is pressed."""
    for key in gesture.keys:
        target.bind_key(_in_napari(key), lambda _, key=key: act(key), overwrite=True)


def release(target: Any, gesture: Gesture) -> None:
    """The keys of `gesture` are napari's again."""
    for key in gesture.keys:
        target.bind_key(_in_napari(key), None, overwrite=True)


def _in_napari(key: str) -> str:
    """napari's spelling: "Control-Shift-G" for "Ctrl+Shift+G"."""
    return key.replace("Ctrl", "Control").replace("Esc", "Escape").replace("+", "-")
