"""A prediction and a truth counted against each other, and kept up as either is painted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from ctseg_imaging.errors import CtsegError, GeometryError
from ctseg_imaging.geometry import AxisView, Match
from ctseg_imaging.grid_difference import difference
from ctseg_imaging.metrics.live import LiveMetrics
from ctseg_imaging.resampling import reoriented, resample_labels
from ctseg_imaging.volume import LabelMap, Labels
from napari_ctseg.background.threads import ThreadedCall, run_in_thread
from napari_ctseg.background.timers import single_shot
from napari_ctseg.viewer.layers import label_map_of
from napari_ctseg.viewer.painting import Painting
from napari_ctseg.viewer.painting.brush_rules import Index

if TYPE_CHECKING:
    from napari.layers import Labels as LabelsLayer

RECOUNT_MS = 700  # after the last stroke on a layer that has to be resampled


@dataclass(frozen=True, eq=False)
class Counted:
    """live : over both maps in the truth's shown order. note : what a user has to know, "" if nothing.
    left_out : not contoured.
    """

    live: LiveMetrics
    names: Labels
    resampled: bool = False
    note: str = ""
    left_out: tuple[str, ...] = ()


def count(prediction: LabelMap, truth: LabelMap) -> Counted:
    """Count two maps on the truth's grid; on one grid both stay views of the arrays given, else the
    prediction is resampled (nearest).

    Raises GeometryError if they have no point of the patient in common.
    """
    match = truth.geometry.matches(prediction.geometry)
    if match is Match.NO_OVERLAP:
        raise GeometryError(
            "Prediction and truth do not overlap in patient coordinates; check that they belong to the same "
            "scan."
        )
    view = AxisView.of(truth.geometry)
    note = ""
    placed = _on_shown_grid(prediction, truth)
    if placed is None:
        note = (
            f"The prediction has another grid ({difference(prediction.geometry, truth.geometry)}); it is "
            "compared after resampling onto the truth's grid (nearest voxel)."
        )
        prediction = resample_labels(prediction, truth.geometry)
    else:
        prediction = placed
    absent = {label.value for label in truth.labels if not label.contoured}
    found = {
        *truth.labels.values,
        *prediction.labels.values,
        *occurring(truth.array),
        *occurring(prediction.array),
    } - absent
    live = LiveMetrics(
        view.apply(truth.array),
        view.apply(prediction.array),
        sorted(found),
        view.geometry(truth.geometry).spacing_mm,
    )
    left_out = tuple(truth.labels.name(value) for value in sorted(absent))
    if left_out:
        note = " ".join(
            filter(None, (note, f"Not contoured in the truth, therefore excluded: {', '.join(left_out)}."))
        )
    return Counted(live, truth.labels.merged(prediction.labels), placed is None, note, left_out)


def _on_shown_grid(prediction: LabelMap, truth: LabelMap) -> LabelMap | None:
    """`prediction` in the truth's voxel order, as a view; None unless both layers show the same voxels in the
    same order, which is what counting a painted slice again relies on.
    """
    shown = [AxisView.of(one.geometry).geometry(one.geometry) for one in (prediction, truth)]
    return (
        reoriented(prediction, truth.geometry)
        if shown[0].matches(shown[1]) in (Match.SAME, Match.ROUNDING)
        else None
    )


def occurring(array: NDArray[Any]) -> tuple[int, ...]:
    """The values other than 0 that occur, ascending."""
    if array.dtype.itemsize <= 2 and array.dtype.kind == "u":
        values = np.flatnonzero(np.bincount(array.ravel(order="K")))
    else:
        values = np.unique(array)
    return tuple(int(value) for value in values if value != 0)


class LivePair:
    """ready : the first count (or a new one after resampling) is there. changed : slices that were painted,
    and the box (z, y, x) around what was painted. failed : counting failed.
    """

    ready = Signal()
    changed = Signal(tuple, tuple)
    failed = Signal(Exception)

    def __init__(
        self, prediction: LabelsLayer, truth: LabelsLayer, aside: ThreadedCall = run_in_thread
    ) -> None:
        self.prediction, self.truth, self._aside = prediction, truth, aside
        self.counted: Counted | None = None
        self._closed = False
        self._counting = 0
        self._followed = [
            (Painting.of(prediction), self._prediction_painted),
            (Painting.of(truth), self._truth_painted),
        ]
        self._timer = single_shot(RECOUNT_MS, self.start)
        for painting, painted in self._followed:
            painting.touched.connect(painted)
            painting.replaced.connect(self._restart)

    def start(self) -> None:
        """Count both maps in a thread. Raises GeometryError if a layer cannot be placed in the patient."""
        maps = label_map_of(self.prediction), label_map_of(self.truth)
        versions = self.version
        self._counting += 1
        counting = self._counting

        def done(counted: Counted) -> None:
            if self._closed or counting != self._counting:
                return
            self.counted = counted
            if versions != self.version:
                counted.live.update()
            self.ready.emit()

        self._aside(lambda: count(*maps), done, self._failed)

    def close(self) -> None:
        """Follow no longer."""
        self._closed = True
        self._timer.stop()
        for painting, painted in self._followed:
            painting.touched.disconnect(painted)
            painting.replaced.disconnect(self._restart)

    @property
    def version(self) -> tuple[int, int]:
        """Grows with every change to either layer."""
        return self._followed[0][0].version, self._followed[1][0].version

    def _restart(self) -> None:
        """A layer has another array: what was counted was counted on the old one."""
        self.counted = None
        try:
            self.start()
        except CtsegError as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if not self._closed:
            self.failed.emit(error)

    def _prediction_painted(self, slices: tuple[int, ...], where: Index) -> None:
        if self.counted is not None and self.counted.resampled:
            self._timer.start()
        else:
            self._painted(slices, where)

    def _truth_painted(self, slices: tuple[int, ...], where: Index) -> None:
        self._painted(slices, where)

    def _painted(self, slices: tuple[int, ...], where: Index) -> None:
        if self.counted is None:
            return
        live = self.counted.live
        new = {*occurring(live.truth[where]), *occurring(live.prediction[where])} - set(live.values)
        new -= {label.value for label in self.counted.names if label.name in self.counted.left_out}
        if new and live.follow({*live.values, *new}):
            self.changed.emit(tuple(range(live.slices)), tuple(slice(0, n) for n in live.truth.shape))
            return
        live.update(slices)
        # Also where the counts stay: a voxel that moved within a slice moves the surface.
        self.changed.emit(slices, where)
