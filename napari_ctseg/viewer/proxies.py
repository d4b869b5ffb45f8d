"""napari hands plugins a proxy of its viewer that makes a new proxy of a layer at every access.

Two proxies of one layer are equal and hash alike, but they are different objects: `is`, `id` and weak
references do not see one layer. Whatever remembers a viewer or a layer therefore unwraps it first.
"""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def unwrapped(thing: T) -> T:
    """The viewer or layer behind napari's proxy; anything else as it is."""
    inner: T = getattr(thing, "__wrapped__", thing)
    return inner
