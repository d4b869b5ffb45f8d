"""The signed distance of the prediction's surface as a layer, computed in a thread."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ctseg_imaging.metrics.signed_distance import SignedDistance, signed_surface_distance
from napari_ctseg.background.threads import LatestCall, ThreadedCall
from napari_ctseg.docks.compare.pair_dock import PairDock
from napari_ctseg.viewer.layers import MADE
from napari_ctseg.viewer.overlays import placement, selection_kept

NAME = "surface distance (mm)"
COLORMAP = "coolwarm"


class DistanceMap:
    """Shows the label in focus: blue where the prediction's surface lies inside the truth, red outside."""

    def __init__(self, dock: PairDock, aside: ThreadedCall) -> None:
        self._dock, self._call = dock, LatestCall(aside, dock.show_error)
        self._layer: Any = None
        self._value: int | None = None  # the label that was asked for last
        self._asked = 0

    def set_on(self, on: bool) -> None:
        """Show the layer, or take it away."""
        self._set(distance=on)
        self.draw()

    def draw(self) -> None:
        """Compute the map again, by the state; an older one of the same label is shown until then."""
        pair, overlays = self._dock.counted_pair, self._dock.state.overlays
        if pair is None or pair.counted is None or not overlays.distance or overlays.focus is None:
            self.remove()
            return
        if overlays.focus != self._value:
            self.remove()
        self._asked, self._value = self._asked + 1, overlays.focus
        live, value, asked = pair.counted.live, overlays.focus, self._asked

        def done(found: SignedDistance | None) -> None:
            if asked == self._asked:
                self._show(found, pair.truth)

        self._call.ask(
            lambda: signed_surface_distance(live.truth == value, live.prediction == value, live.spacing_mm),
            done,
        )

    def remove(self) -> None:
        """Take the layer out of the viewer; what is being computed is not shown."""
        self._asked += 1
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._dock.viewer.layers:
            self._dock.viewer.layers.remove(layer)
        if self._dock.state.overlays.limit_mm is not None:
            self._set(limit_mm=None)

    def _show(self, found: SignedDistance | None, like: Any) -> None:
        self.remove()
        if found is None:
            self._dock.update(message="One side has no voxels of this label; there is no distance to show.")
            return
        where = placement(like)
        start = np.array([side.start for side in found.box])
        where["translate"] = np.asarray(like.translate) + start * like.scale
        limit = found.limit_mm
        with selection_kept(self._dock.viewer):
            self._layer = self._dock.viewer.add_image(
                found.distance_mm,
                name=NAME,
                colormap=COLORMAP,
                contrast_limits=(-limit, limit),
                metadata={MADE: True},
                **where,
            )
        self._set(limit_mm=limit)

    def _set(self, **changes: Any) -> None:
        self._dock.update(overlays=replace(self._dock.state.overlays, **changes))
