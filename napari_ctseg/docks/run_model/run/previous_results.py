"""The layers of earlier runs on an image, which are hidden when the next result is added."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer


@dataclass(eq=False)
class _Made:
    """A layer that a run made. images : ids of the image layers that were read. edited : the user has changed
    it since.
    """

    images: frozenset[object]
    edited: bool = False

    def change(self, event: Any = None) -> None:
        self.edited = True


_MADE: weakref.WeakKeyDictionary[Layer, _Made] = (
    weakref.WeakKeyDictionary()
)  # not of one dock: it may be closed and opened again


def remember(layers: Sequence[Layer], images: Sequence[Layer]) -> None:
    """These layers are the result of a run on `images`; what a user paints from now on makes one theirs."""
    for layer in layers:
        made = _MADE[layer] = _Made(frozenset(image.unique_id for image in images))
        if hasattr(layer, "selected_label"):
            layer.events.paint.connect(made.change)  # brush, fill, polygon, operations of a dock
            layer.events.data.connect(made.change)


def hide(viewer: napari.viewer.Viewer, images: Sequence[Layer]) -> tuple[str, ...]:
    """Hide the results of earlier runs that read one of `images`, but for those that a user has edited; the
    names of the labels among them. Nothing is removed.
    """
    wanted = {image.unique_id for image in images}
    hidden = [
        layer
        for layer in viewer.layers
        if layer.visible
        and (made := _MADE.get(layer)) is not None
        and made.images & wanted
        and not made.edited
    ]
    for layer in hidden:
        layer.visible = False
    return tuple(layer.name for layer in hidden if hasattr(layer, "selected_label"))
