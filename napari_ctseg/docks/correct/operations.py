"""The operations of the Correct dock on one class: fill, expand, shrink, smooth and others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging import editing
from napari_ctseg.background.threads import ThreadedCall
from napari_ctseg.docks.correct.mask_dock import MaskDock
from napari_ctseg.docks.correct.state import Operation, OperationSizes
from napari_ctseg.viewer.layers import slice_of
from napari_ctseg.viewer.painting import set_mask

Mask = NDArray[np.bool_]


def apply_operation(
    operation: Operation,
    mask: Mask,
    spacing_mm: tuple[float, float, float],
    here: int,
    sizes: OperationSizes,
) -> Mask:
    """The mask after `operation`. mask : (z, y, x) bool. here : the slice shown."""
    match operation:
        case Operation.FILL_HOLES:
            return editing.fill_holes(mask)
        case Operation.DROP_ISLANDS:
            return editing.drop_islands(mask, sizes.island_ml, spacing_mm)
        case Operation.EXPAND:
            return editing.grow(mask, sizes.margin_mm, spacing_mm)
        case Operation.SHRINK:
            return editing.shrink(mask, sizes.margin_mm, spacing_mm)
        case Operation.SMOOTH:
            return editing.smooth(mask, sizes.margin_mm, spacing_mm)
        case Operation.FILL_BETWEEN:
            return editing.fill_between(mask, spacing_mm[1:])
        case Operation.COPY_UP:
            copied = mask.copy()
            if here + 1 < len(mask):
                copied[here + 1] |= mask[here]
            return copied


class Operations:
    """Applies operations to the selected class of the dock's mask."""

    def __init__(self, dock: MaskDock, aside: ThreadedCall) -> None:
        self._dock, self._aside = dock, aside

    def set_margin(self, margin_mm: float) -> None:
        """How far expand, shrink and smooth go."""
        self._dock.update(sizes=replace(self._dock.state.sizes, margin_mm=margin_mm))
        self._dock.remember("margin_mm", margin_mm)

    def set_island(self, least_ml: float) -> None:
        """Islands below this volume are dropped."""
        self._dock.update(sizes=replace(self._dock.state.sizes, island_ml=least_ml))
        self._dock.remember("island_ml", least_ml)

    def apply(self, operation: Operation) -> None:
        """Apply it to the selected class in a thread, as one undo step. What is painted meanwhile stays."""
        dock, layer, state = self._dock, self._dock.layer, self._dock.state
        if layer is None or state.operation_why_not:
            dock.update(message=state.operation_why_not)
            return
        value, here, sizes = state.classes.selected, slice_of(dock.viewer, layer), state.sizes
        before = np.asarray(layer.data) == value
        spacing = (float(layer.scale[0]), float(layer.scale[1]), float(layer.scale[2]))
        record = _record(operation, value, sizes)

        def done(after: Mask) -> None:
            if layer not in dock.viewer.layers:
                dock.update(working="")
                return
            now = np.asarray(layer.data) == value
            changed = set_mask(layer, value, (now | (after & ~before)) & ~(before & ~after), record)
            dock.update(working="", message=f"{operation.value.capitalize()}: {changed} voxels changed.")

        dock.update(working=operation.value, message="", details="")
        self._aside(
            lambda: apply_operation(operation, before, spacing, here, sizes),
            done,
            dock.show_error,
        )


def _record(operation: Operation, value: int, sizes: OperationSizes) -> dict[str, Any]:
    """What the list of edits keeps of an operation."""
    record: dict[str, Any] = {"operation": operation.value, "label": value}
    if operation in (Operation.EXPAND, Operation.SHRINK, Operation.SMOOTH):
        record["mm"] = sizes.margin_mm
    elif operation is Operation.DROP_ISLANDS:
        record["ml"] = sizes.island_ml
    return record
