"""Makes the list of components of the dock's pair in a thread, and goes to its rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from napari_ctseg.background.threads import ThreadedCall
from napari_ctseg.docks.compare.components.listed import (
    SHOWN,
    ComponentList,
    ListedComponent,
    ListKind,
    listed,
)
from napari_ctseg.docks.compare.pair_dock import PairDock
from napari_ctseg.viewer.layers import source_of


class Listing:
    """Holds the list of one pair, made when it is asked for."""

    def __init__(self, dock: PairDock, aside: ThreadedCall) -> None:
        self._dock, self._aside = dock, aside
        self._asked = 0

    def forget(self) -> None:
        """The pair is no longer compared; the choice of what is listed stays."""
        self._asked += 1
        self._dock.state = replace(self._dock.state, components=ComponentList(kind=self._list.kind))

    def painted(self) -> None:
        """A layer was painted: say that the list is old."""
        if self._list.found is not None and not self._list.outdated:
            self._set(outdated=True)

    def make(self, kind: ListKind) -> None:
        """List the components of the label in focus, or of all labels."""
        pair = self._dock.counted_pair
        source = source_of(pair.truth) if pair is not None else None
        if pair is None or pair.counted is None or source is None:
            return
        counted, geometry, focus = pair.counted, source.shown, self._dock.state.overlays.focus
        self._asked += 1
        asked = self._asked

        def done(rows: list[ListedComponent]) -> None:
            if asked == self._asked:
                self._set(rows=tuple(rows[:SHOWN]), found=len(rows), listing=False)

        def failed(error: Exception) -> None:
            if asked == self._asked:
                self._dock.show_error(error, components=replace(self._list, listing=False))

        self._set(kind=kind, rows=(), found=None, current=None, listing=True, outdated=False)
        self._aside(lambda: listed(counted, geometry, kind, focus), done, failed)

    def go_to(self, row: int) -> None:
        """Move the viewer's sliders to a voxel of the component in `row`."""
        pair = self._dock.counted_pair
        if pair is None or not 0 <= row < len(self._list.rows):
            return
        dims, layer = self._dock.viewer.dims, pair.truth
        axes = range(dims.ndim - layer.ndim, dims.ndim)
        dims.set_point(list(axes), [float(mm) for mm in layer.data_to_world(self._voxel(row))])
        self._set(current=row)

    def step(self, by: int) -> None:
        """Go `by` rows on from the current one, from the end to the beginning."""
        if count := len(self._list.rows):
            here = self._list.current
            self.go_to((here + by) % count if here is not None else 0 if by > 0 else count - 1)

    def _voxel(self, row: int) -> tuple[int, int, int]:
        return self._list.rows[row].component.voxel

    @property
    def _list(self) -> ComponentList:
        return self._dock.state.components

    def _set(self, **changes: Any) -> None:
        self._dock.update(components=replace(self._list, **changes))
