"""A mask becomes the voxels of one class, as one undo step."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_ctseg.viewer.painting.painting import Painting


def set_mask(layer: Labels, value: int, mask: NDArray[np.bool_], record: dict[str, Any] | None = None) -> int:
    """Make `mask` the voxels of `value` as one undo step: new ones are taken from the background only, lost
    ones become background.

    mask : (z, y, x) bool on layer.data. record : its entry in the list of edits. Locked classes stay as
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
    with painting.operation(record or {"operation": "mask", "label": value}):
        for voxels, new in ((added, value), (removed, 0)):
            if len(voxels[0]):
                layer.data_setitem(voxels, new, refresh=False)
    layer._updated_slice = None
    layer.refresh()
    unchanged = int((layer.data[added] == 0).sum()) + int((layer.data[removed] == value).sum())
    return before - unchanged
