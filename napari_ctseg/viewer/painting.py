"""What a brush may change in a Labels layer, which slices it changed, and how that is undone.

napari 0.9 has no public place between a tool and the array, so methods of the one layer object are wrapped:
`_apply_mask_to_data` (brush, fill, polygon), `data_setitem` (operations), `_save_history`,
`_append_to_undo_history` and `_abort_stroke` (what belongs to one stroke), `undo` and `redo`. Voxels that may
not change are taken out of the mask *before* the array and the history see it, so nothing flickers.
napari's own undo stack stays empty; `Painting.steps` takes its place.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer

from ctseg_imaging.errors import GeometryError
from napari_ctseg.journal.patches import BoxChange, Change, Patch, PointChange
from napari_ctseg.journal.steps import Steps
from napari_ctseg.viewer.layers import can_be_painted
from napari_ctseg.viewer.proxies import unwrapped

FRAME_MS = 16
EDITS = "ctseg_edits"  # what was done to a layer, in its metadata: it goes where the layer goes
Index = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class BrushRules:
    """locked : classes whose voxels neither come nor go, by any tool, operation or undo. limits_hu : (low,
    high), both included: the brush changes only voxels of `image` within. image : (z, y, x), on the layer's
    own grid.
    """

    locked: frozenset[int] = frozenset()
    limits_hu: tuple[float, float] | None = None
    image: NDArray[Any] | None = None


class Painting:
    """Watches one Labels layer; `of` gives the one object of a layer, whoever asks.

    touched : the slices (axis 0 of layer.data) changed since the last frame, ascending. refused : why a
    stroke changed nothing. locked_out : the same, where it was the layer's padlock or another viewer.
    replaced : `layer.data` is another array now. steps : undo and redo, also for napari's own keys.
    """

    touched = Signal(tuple)
    refused = Signal(str)
    locked_out = Signal(str)
    replaced = Signal()
    read_only_changed = Signal()

    def __init__(self, layer: Labels) -> None:
        self._layer = weakref.ref(layer)
        self.rules = BrushRules()
        self._read_only = ""
        self.version = 0
        self._only_locks = False
        self._said: dict[str, Any] | None = None
        self._array = layer.data
        self.steps = Steps(lambda: layer_of(self._layer).data, self._frozen, edits_of(layer))
        self._pending: set[int] = set()
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(FRAME_MS)
        self._timer.timeout.connect(self.flush)
        layer._apply_mask_to_data = self._guarded_mask(layer._apply_mask_to_data)
        layer.data_setitem = self._guarded_setitem(layer.data_setitem)
        layer._save_history = self._guarded_save(layer._save_history)
        layer._append_to_undo_history = self._stroke_ended
        layer._abort_stroke = self._guarded_abort(layer._abort_stroke)
        layer.undo, layer.redo = self.undo, self.redo
        layer.events.data.connect(self._everything)

    @classmethod
    def of(cls, layer: Labels) -> Painting:
        """The layer's Painting, made at the first call. Raises GeometryError unless the layer is a plain 3D
        array.
        """
        if not can_be_painted(layer):
            raise GeometryError(
                f"The layer {layer.name} is not a plain 3D label map; only those can be painted."
            )
        # A plugin is handed napari's proxies of layers; the guards belong on the layer itself.
        layer = unwrapped(layer)
        if (known := layer.__dict__.get("_ctseg_painting")) is None:
            known = layer.__dict__["_ctseg_painting"] = cls(layer)
        painting: Painting = known
        return painting

    @property
    def read_only(self) -> str:
        """Why nothing may change at all, "" when it may."""
        return self._read_only

    @read_only.setter
    def read_only(self, why: str) -> None:
        if why != self._read_only:
            self._read_only = why
            self.read_only_changed.emit()

    @contextmanager
    def operation(self, said: dict[str, Any] | None = None) -> Iterator[None]:
        """Within: one undo step, described by `said`, in which the HU window and napari's preserve_labels do
        not count; locks do.
        """
        layer = layer_of(self._layer)
        before, self._only_locks, self._said = layer.preserve_labels, True, said
        try:
            with layer.events.preserve_labels.blocker():
                layer.preserve_labels = False
            with layer.block_history():
                yield
        finally:
            self._only_locks, self._said = False, None
            with layer.events.preserve_labels.blocker():
                layer.preserve_labels = before

    def flush(self) -> None:
        """Report what is pending now instead of at the next frame."""
        self._timer.stop()
        slices, self._pending = tuple(sorted(self._pending)), set()
        if slices:
            self.touched.emit(slices)

    def _note(self, start: int, stop: int) -> None:
        self.version += 1
        if not self._pending:
            self._timer.start()
        self._pending.update(range(start, stop))

    def undo(self) -> None:
        """Take back the last stroke, polygon, fill or operation, whichever slice it was in; locked classes
        stay.
        """
        self._move(self.steps.undo)

    def redo(self) -> None:
        """Do again what was undone last."""
        self._move(self.steps.redo)

    def go_to_step(self, done: int) -> None:
        """Undo or redo until `done` steps are done."""
        for _ in range(len(self.steps.history.done) - done):
            self.undo()
        for _ in range(done - len(self.steps.history.done)):
            self.redo()

    def _move(self, step: Callable[[], Patch | None]) -> None:
        if self._is_locked():
            return
        patch = step()
        if patch is not None and self.steps.held_back:
            self.refused.emit("Locked classes were left as they are.")
        if patch is not None and len(patch):
            layer = layer_of(self._layer)
            layer.refresh()
            self._note(*patch.slices(layer.data.shape))

    def _everything(self) -> None:
        if (layer := self._layer()) is None:
            return
        if self._array is not layer.data:
            before, self._array = self._array, layer.data
            self.steps.replace(before, layer.data)
            self.replaced.emit()
        self._note(0, layer.data.shape[0])

    def _is_locked(self) -> bool:
        """Whether the padlock, or another viewer, refuses a change; says so."""
        why, layer = self.read_only, self._layer()
        if not why and layer is not None and layer.locked:
            why = (
                f"{layer.name} is locked: unlock it (the padlock in the layer list) to change it, or "
                "correct a copy."
            )
        if why:
            self.refused.emit(why)
            self.locked_out.emit(why)
        return bool(why)

    def _frozen(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        return self._locked(values) if self.rules.locked else np.zeros(values.shape, bool)

    def _stroke_ended(self, item: list[Any]) -> None:
        """In place of napari's undo stack; its event is emitted as before."""
        layer = layer_of(self._layer)
        self.steps.end(self._said or {"operation": str(layer.mode), "label": int(layer.selected_label)})
        layer.events.paint(value=item)

    def _guarded_save(self, plain: Callable[[Any], None]) -> Callable[[Any], None]:
        def save(atom: Any) -> None:
            self.steps.add(_change_of(atom))
            plain(atom)

        return save

    def _guarded_abort(self, plain: Callable[[], None]) -> Callable[[], None]:
        def abort() -> None:
            plain()
            self.steps.abort()
            self._note(0, self._depth())

        return abort

    def _locked(self, array: NDArray[Any]) -> NDArray[np.bool_]:
        return np.isin(array, list(self.rules.locked))

    def _allowed(
        self, data: NDArray[Any], mask: NDArray[np.bool_], value: int, where: Index
    ) -> NDArray[np.bool_]:
        rules = self.rules
        if value in rules.locked:
            self.refused.emit("This class is locked: unlock it to change it.")
            return np.zeros_like(mask)
        if not rules.locked and rules.limits_hu is None:
            return mask
        allowed = mask & ~self._locked(data) if rules.locked else mask
        if mask.any() and not allowed.any():
            self.refused.emit("All that lies under the brush is locked.")
            return allowed
        if rules.limits_hu is not None and rules.image is not None and not self._only_locks:
            low, high = rules.limits_hu
            image = rules.image[where]
            inside = allowed & (image >= low) & (image <= high)
            if allowed.any() and not inside.any():
                self.refused.emit(f"Nothing under the brush lies between {low:g} and {high:g} HU.")
            return inside
        return allowed

    def _guarded_mask(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def apply(
            data: NDArray[Any], mask: NDArray[np.bool_], new_label: int, volume_slice: Index
        ) -> NDArray[np.bool_] | None:
            if self._is_locked():
                return None
            whole = mask if mask.shape == data.shape else np.broadcast_to(mask, data.shape)
            allowed = self._allowed(data, whole, int(new_label), volume_slice)
            changed: NDArray[np.bool_] | None = (
                plain(data, allowed, new_label, volume_slice) if allowed.any() else None
            )
            if changed is not None:
                start, stop, _ = volume_slice[0].indices(self._depth())
                self._note(start, stop)
            return changed

        return apply

    def _guarded_setitem(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def setitem(indices: tuple[NDArray[Any], ...], value: Any, refresh: bool = True) -> None:
            layer = layer_of(self._layer)
            if self._is_locked():
                return
            new = np.broadcast_to(np.asarray(value), indices[0].shape)
            keep = (
                ~(self._locked(layer.data[indices]) | self._locked(new))
                if self.rules.locked
                else np.ones(new.shape, bool)
            )
            if not keep.any():
                return
            kept = tuple(axis[keep] for axis in indices)
            plain(kept, value if np.ndim(value) == 0 else new[keep], refresh)
            for k in np.unique(kept[0]):
                self._note(int(k), int(k) + 1)

        return setitem

    def _depth(self) -> int:
        return int(layer_of(self._layer).data.shape[0])


def layer_of(reference: weakref.ref[Labels]) -> Labels:
    """The layer itself. Whoever calls a method of it keeps it alive."""
    layer = reference()
    assert layer is not None, "the layer was removed"
    return layer


def edits_of(layer: Labels) -> list[dict[str, Any]]:
    """What was done to this layer so far, oldest first, as plain JSON."""
    edits: list[dict[str, Any]] = layer.metadata.setdefault(EDITS, [])
    return edits


def set_mask(layer: Labels, value: int, mask: NDArray[np.bool_], said: dict[str, Any] | None = None) -> int:
    """Make `mask` the voxels of `value` as one undo step: new ones are taken from the background only, lost
    ones become background.

    mask : (z, y, x) bool on layer.data. said : what the list of edits shows for it. Locked classes stay as
    they are. Returns the number of voxels that changed.
    """
    painting = Painting.of(layer)
    differs = (np.asarray(layer.data) == value) != mask
    slices = np.flatnonzero(differs.any(axis=(1, 2)))
    if not len(slices):
        return 0
    first, span = int(slices[0]), slice(int(slices[0]), int(slices[-1]) + 1)
    where, wanted = list(np.nonzero(differs[span])), mask[span][differs[span]]
    where[0] = where[0] + first
    free = np.asarray(layer.data)[tuple(where)] == 0
    added, removed = tuple(axis[wanted & free] for axis in where), tuple(axis[~wanted] for axis in where)
    before = len(added[0]) + len(removed[0])
    with painting.operation(said or {"operation": "mask", "label": value}):
        for voxels, new in ((added, value), (removed, 0)):
            if len(voxels[0]):
                layer.data_setitem(voxels, new, refresh=False)
    layer._updated_slice = None
    layer.refresh()
    unchanged = int((layer.data[added] == 0).sum()) + int((layer.data[removed] == value).sum())
    return before - unchanged


def _change_of(atom: Any) -> Change:
    """napari's record of one change as ours."""
    if hasattr(atom, "slice_key"):
        return BoxChange(atom.slice_key, atom.mask, atom.old_values, int(atom.new_value))
    indices, old, new = atom
    return PointChange(tuple(indices), old, new)
