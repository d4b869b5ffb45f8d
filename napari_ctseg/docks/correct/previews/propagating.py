"""Propagate in the Correct dock: the correction of a slice, carried on to its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.editing.carry import carry_correction
from ctseg_imaging.editing.morphology import Slices, bounding_box
from ctseg_imaging.errors import CtsegError
from ctseg_imaging.geometry import Triple
from ctseg_imaging.volume import slice_number
from napari_ctseg.docks.correct.previews.previewed import Change, Previewed
from napari_ctseg.journal.history import Gesture
from napari_ctseg.viewer.layers import slice_of
from napari_ctseg.viewer.painting import Painting

Plane = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Corrected:
    """What was drawn by hand. before : slice `here` (y, x) without it. drawn : all slices drawn on."""

    here: int
    before: Plane
    drawn: frozenset[int]


class Propagating(Previewed):
    """The neighbours of the slice that is shown change as it was changed by hand, less and less."""

    TOOL = "propagate"

    def started(self) -> None:
        """Show what the present number of slices gives."""
        self.set_slices(self._dock.state.propagate.slices)

    def ended(self) -> None:
        """Nothing is kept."""

    def set_slices(self, slices: int) -> None:
        """How many slices change on either side."""
        self._dock.update(propagate=replace(self._dock.state.propagate, slices=slices))
        self._dock.remember("propagate_slices", slices)
        if self.target is None:
            return
        layer, value = self.target
        array, gestures = layer.data, tuple(Painting.of(layer).steps.history.done)
        z, y, x = (float(step) for step in layer.scale)
        here = slice_of(self._dock.viewer, layer)
        self.ask(lambda: carried(array, value, corrected(array, gestures, here), (z, y, x), slices))

    def record(self) -> dict[str, Any]:
        """How far it went."""
        return {"slices": self._dock.state.propagate.slices}


def corrected(array: NDArray[Any], gestures: Sequence[Gesture], here: int) -> Corrected:
    """What was drawn by hand on slice `here` since an operation last changed it.

    array : (z, y, x) of the mask. gestures : its undo steps, oldest first.
    """
    before, drawn = np.array(array[here]), set[int]()
    for gesture in reversed(gestures):
        patch = gesture.patch()
        first, stop = patch.slices(array.shape)
        if stop - first == 1:
            drawn.add(first)
            if first == here:
                before.ravel()[patch.index - here * before.size] = patch.old
        elif first <= here < stop:
            break
    return Corrected(here, before, frozenset(drawn))


def carried(array: NDArray[Any], value: int, by: Corrected, spacing_mm: Triple, slices: int) -> Change:
    """The class `value` after `by` was carried on to `slices` neighbours on either side.

    Raises CtsegError if the class was not changed by hand in that slice.
    """
    low, high = max(0, by.here - slices), min(len(array), by.here + slices + 1)
    after = np.asarray(array[low:high]) == value
    before = after.copy()
    before[by.here - low] = by.before == value
    if np.array_equal(before, after):
        raise CtsegError(
            f"This class was not changed by hand in slice {slice_number(by.here)}; correct it there first."
        )
    reach_mm = (slices + 1) * spacing_mm[0]
    box = _within_reach(before | after, reach_mm, spacing_mm)
    fixed = [k - low for k in by.drawn if low <= k < high]
    shape = carry_correction(before[box], after[box], by.here - low, spacing_mm, reach_mm, fixed)
    return Change((slice(low, high), *box[1:]), after[box], shape)


def _within_reach(mask: NDArray[np.bool_], reach_mm: float, spacing_mm: Triple) -> Slices:
    """All slices of the mask, and in them the box that the correction can reach."""
    y, x = (int(np.ceil(reach_mm / step)) + 1 for step in spacing_mm[1:])
    found = bounding_box(mask, (len(mask), y, x))
    assert found is not None, "the mask of a correction has voxels"
    return found
