"""The methods of napari's Labels layer that are wrapped: no tool changes what must not change.

napari 0.9 has no public hook between a tool and the array, so methods of the one layer object are wrapped:
`_apply_mask_to_data` (brush, fill, polygon), `data_setitem` (operations), `_save_history`,
`_append_to_undo_history` and `_abort_stroke` (what belongs to one stroke), `undo` and `redo`. Voxels that may
not change are taken out of the mask *before* the array and the history see it, so nothing flickers.
napari's own undo stack stays empty; `Painting.steps` takes its place.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ctseg.journal.patches import BoxChange, Change, PointChange
from napari_ctseg.viewer.painting.brush_rules import Index

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_ctseg.viewer.painting.painting import Painting


def guard(layer: Labels, painting: Painting) -> None:
    """Wrap the layer's methods: `painting` decides on every change and is notified of it."""
    layer._apply_mask_to_data = _guarded_mask(layer._apply_mask_to_data, painting)
    layer.data_setitem = _guarded_setitem(layer, painting)
    layer._save_history = _guarded_save(layer._save_history, painting)
    layer._append_to_undo_history = _stroke_end(layer, painting)
    layer._abort_stroke = _guarded_abort(layer._abort_stroke, painting)
    layer.undo, layer.redo = painting.undo, painting.redo


def _guarded_mask(plain: Callable[..., Any], painting: Painting) -> Callable[..., Any]:
    def apply(
        data: NDArray[Any], mask: NDArray[np.bool_], new_label: int, volume_slice: Index
    ) -> NDArray[np.bool_] | None:
        if painting.refuses():
            return None
        whole = mask if mask.shape == data.shape else np.broadcast_to(mask, data.shape)
        allowed, why_not = painting.rules.allowed(
            data, whole, int(new_label), volume_slice, only_locks=painting.only_locks
        )
        if why_not:
            painting.refused.emit(why_not)
        if not allowed.any():
            return None
        changed: NDArray[np.bool_] | None = plain(data, allowed, new_label, volume_slice)
        if changed is not None:
            start, stop, _ = volume_slice[0].indices(painting.depth)
            painting.note(start, stop, volume_slice[1:])
        return changed

    return apply


def _guarded_setitem(layer: Labels, painting: Painting) -> Callable[..., Any]:
    plain, reference = layer.data_setitem, weakref.ref(layer)

    def setitem(indices: tuple[NDArray[Any], ...], value: Any, refresh: bool = True) -> None:
        if (layer := reference()) is None or painting.refuses():
            return
        new = np.broadcast_to(np.asarray(value), indices[0].shape)
        keep = np.ones(new.shape, bool)
        if painting.rules.locked:
            keep = ~(painting.rules.is_locked(layer.data[indices]) | painting.rules.is_locked(new))
        if not keep.any():
            return
        kept = tuple(axis[keep] for axis in indices)
        plain(kept, value if np.ndim(value) == 0 else new[keep], refresh)
        for k in np.unique(kept[0]):
            painting.note(int(k), int(k) + 1)

    return setitem


def _guarded_save(plain: Callable[[Any], None], painting: Painting) -> Callable[[Any], None]:
    def save(atom: Any) -> None:
        painting.steps.add(_change_of(atom))
        plain(atom)

    return save


def _stroke_end(layer: Labels, painting: Painting) -> Callable[[Any], None]:
    """In place of napari's undo stack; its event is emitted as before."""
    reference = weakref.ref(layer)

    def end(item: list[Any]) -> None:
        painting.end_stroke()
        if (layer := reference()) is not None:
            layer.events.paint(value=item)

    return end


def _guarded_abort(plain: Callable[[], None], painting: Painting) -> Callable[[], None]:
    def abort() -> None:
        plain()
        painting.abort_stroke()

    return abort


def _change_of(atom: Any) -> Change:
    """napari's record of one change as ours."""
    if hasattr(atom, "slice_key"):
        return BoxChange(atom.slice_key, atom.mask, atom.old_values, int(atom.new_value))
    indices, old, new = atom
    return PointChange(tuple(indices), old, new)
