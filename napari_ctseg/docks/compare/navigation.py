"""Where the Compare dock goes: a slice, the next-worst one, the next one in which a label is missed."""

from __future__ import annotations

from dataclasses import replace

from ctseg_imaging.volume import slice_number
from napari_ctseg.docks.compare.next_slice import next_missed_slice, next_worse_slice
from napari_ctseg.docks.compare.pair_dock import PairDock
from napari_ctseg.docks.compare.state import WorseBy
from napari_ctseg.viewer.layers import go_to_slice


class Navigation:
    """Moves the viewer's slider through the slices of the dock's pair."""

    def __init__(self, dock: PairDock) -> None:
        self._dock = dock

    def go_to(self, index: int) -> None:
        """Move the slider to slice `index` of the truth."""
        if self._dock.pair is not None and 0 <= index < self._dock.state.slices.count:
            go_to_slice(self._dock.viewer, self._dock.pair.truth, index)

    def set_worse_by(self, by: WorseBy) -> None:
        """The order that `next_worse` follows."""
        self._dock.update(slices=replace(self._dock.state.slices, worse_by=by))
        self._dock.remember("worse_by", by.value)

    def next_worse(self) -> None:
        """Go to the next-worst slice, beginning with the worst."""
        pair, state = self._dock.counted_pair, self._dock.state
        if pair is None or pair.counted is None:
            return
        index = next_worse_slice(
            pair.counted.live, state.overlays.focus, state.slices.index, state.slices.worse_by
        )
        if index is None:
            self._dock.update(
                message="No slice is wrong."
                if state.slices.worse_by is WorseBy.AREA
                else "No slice has a label."
            )
        else:
            self.go_to(index)

    def next_missed(self) -> None:
        """Go to the next slice in which a label of the truth is missed altogether."""
        pair, state = self._dock.counted_pair, self._dock.state
        if pair is None or pair.counted is None:
            return
        found = next_missed_slice(pair.counted.live, state.overlays.focus, state.slices.index)
        if found is None:
            self._dock.update(message="No label is missed in any slice.")
            return
        index, value = found
        self.go_to(index)
        self._dock.update(message=f"Slice {slice_number(index)}: {pair.counted.names.name(value)} is missed.")
