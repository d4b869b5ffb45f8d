"""How the three planes are arranged."""

from __future__ import annotations

from enum import StrEnum


class Layout(StrEnum):
    """ONE : napari as it is. LARGE : napari's canvas large, two small ones with it. EQUAL : three alike."""

    ONE = "one"
    LARGE = "large"
    EQUAL = "equal"

    @property
    def next(self) -> Layout:
        """The one that the key turns to."""
        layouts = list(Layout)
        return layouts[(layouts.index(self) + 1) % len(layouts)]


def layout_named(name: str) -> Layout:
    """The layout of a stored name, ONE for an unknown one."""
    return Layout(name) if name in set(Layout) else Layout.ONE
