"""The reference is safe: a truth is locked with napari's own padlock until the user unlocks it.

napari's padlock (in the layer list, `layer.locked`) keeps a layer from being deleted or converted. For label
layers that are watched by `Painting` it also protects every voxel: brush, fill, polygon, operations, undo and
redo are refused, napari's own tools included.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ctseg.background.timers import single_shot
from napari_ctseg.viewer.layers import can_be_painted
from napari_ctseg.viewer.painting import Painting
from napari_ctseg.viewer.proxies import unwrapped

if TYPE_CHECKING:
    from napari.layers import Layer

QUIET_MS = 3000  # after the last refused stroke, before another one is announced

_MASKS: weakref.WeakSet[Layer] = weakref.WeakSet()  # label layers of every viewer that has a Study


def lock(layer: Layer) -> None:
    """Close the padlock of a label layer; a stroke on it becomes a notification that offers to correct a copy
    or to unlock it.
    """
    layer = unwrapped(layer)
    if can_be_painted(layer):
        announce_refusals(layer)
        layer.locked = True
        watch(layer)


def release(layer: Layer) -> None:
    """Open the padlock."""
    unwrapped(layer).locked = False


def is_locked(layer: Layer | None) -> bool:
    """Whether the padlock is closed."""
    return layer is not None and bool(layer.locked)


def watch(layer: Layer) -> None:
    """From now on no locked label layer shares its voxels with `layer`: it gets a copy of its own.

    They would share them where one array was added twice, also in two viewers, and a stroke on one would
    change the other.
    """
    layer = unwrapped(layer)
    if not can_be_painted(layer):
        return
    _MASKS.add(layer)
    for reference in [mask for mask in _MASKS if mask.locked]:
        if any(np.may_share_memory(reference.data, mask.data) for mask in _MASKS if mask is not reference):
            reference.data = np.array(reference.data)


def announce_refusals(layer: Layer) -> None:
    """Once a layer: what its padlock or another viewer refuses is announced in the viewer, also where no dock
    is open.
    """
    layer = unwrapped(layer)
    if can_be_painted(layer) and "_ctseg_announcer" not in layer.__dict__:
        layer.__dict__["_ctseg_announcer"] = _Announcer(layer)


class _Announcer:
    """Turns refused strokes into notifications, one for a run of them."""

    def __init__(self, layer: Layer) -> None:
        self._layer = weakref.ref(layer)
        self._quiet = single_shot(QUIET_MS)
        self._painting = Painting.of(layer)
        self._painting.locked_out.connect(self._refused)

    def _refused(self, why: str) -> None:
        from napari_ctseg import notices

        recently = self._quiet.isActive()
        self._quiet.start()
        if not recently:
            ways = (
                (("Take over", self._take_over),)
                if self._painting.read_only
                else (("Correct a copy", self._copy), ("Unlock", self._unlock))
            )
            notices.warning(why, ways)

    def _unlock(self, dialog: Any = None) -> None:
        if (layer := self._layer()) is not None:
            release(layer)

    def _copy(self, dialog: Any = None) -> None:
        from napari_ctseg.viewer.copying import correct_copy
        from napari_ctseg.viewer.study import viewer_of

        layer = self._layer()
        if layer is not None and (viewer := viewer_of(layer)) is not None:
            correct_copy(viewer, layer.name)

    def _take_over(self, dialog: Any = None) -> None:
        from napari_ctseg.recovery.autosave import autosave_of
        from napari_ctseg.viewer.study import viewer_of

        layer = self._layer()
        if layer is not None and (viewer := viewer_of(layer)) is not None:
            autosave_of(viewer).take_over()
