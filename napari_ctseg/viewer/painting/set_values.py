"""Voxels get new values, each its own, as one undo step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_ctseg.viewer.painting.painting import Painting


@dataclass(frozen=True, eq=False)
class NewValues:
    """where : the voxels, an (n,) index for each of z, y, x. before, after : (n,) values there."""

    where: tuple[NDArray[np.intp], ...]
    before: NDArray[Any]
    after: NDArray[Any]

    @classmethod
    def between(cls, before: NDArray[Any], after: NDArray[Any]) -> NewValues:
        """Where two arrays of one shape differ."""
        where = np.nonzero(before != after)
        return cls(where, before[where], after[where])


def set_values(layer: Labels, new: NewValues, record: dict[str, Any]) -> int:
    """Write `new` as one undo step. Locked classes stay, and voxels that were drawn on since it was computed.

    record : its entry in the list of edits. Returns the number of voxels that changed.
    """
    painting = Painting.of(layer)
    still = layer.data[new.where] == new.before
    where, after = tuple(axis[still] for axis in new.where), new.after[still]
    if not len(after):
        return 0
    with painting.operation(record):
        layer.data_setitem(where, after, refresh=False)
    layer._updated_slice = None
    layer.refresh()
    return int(np.count_nonzero(layer.data[where] == after))
