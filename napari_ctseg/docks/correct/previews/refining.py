"""Refine in the Correct dock: a class at another volume, by the model's probabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.editing import VolumeThreshold, around_mask
from ctseg_imaging.editing.morphology import Slices, bounding_box
from ctseg_imaging.geometry import Geometry, Triple
from ctseg_imaging.resampling import resample
from ctseg_imaging.volume import Volume
from napari_ctseg.docks.correct.previews.previewed import Change, Previewed
from napari_ctseg.docks.correct.state import RefineState
from napari_ctseg.viewer.layers import source_of

NO_PROBABILITIES = (
    "The model's probabilities of this class are not kept: tick “For Refine” in Run model and run it again."
)
LEAST = 0.02  # a voxel less probable belongs to no volume


@dataclass(frozen=True, eq=False)
class Levels:
    """The volumes that a class can have within `box` of its mask. before : (z, y, x) of the box, the class as
    it is. present_ml : its volume.
    """

    box: Slices
    before: NDArray[np.bool_]
    by_volume: VolumeThreshold
    present_ml: float


class Refining(Previewed):
    """A volume or a threshold is chosen, and the class gets the voxels that are most probable."""

    TOOL = "refine"
    _levels: Levels | None = None

    def why_not(self) -> str:
        """Why the class cannot be refined."""
        state = self._dock.state
        return state.operation_why_not or state.refine.why_not

    def refresh(self) -> None:
        """Also see whether the selected class has probabilities."""
        super().refresh()
        source = None if self._dock.layer is None else source_of(self._dock.layer)
        maps = None if source is None else source.probability_of(self._dock.state.classes.selected)
        why_not = NO_PROBABILITIES if maps is None else ""
        if why_not != self._dock.state.refine.why_not:
            self._dock.update(refine=replace(self._dock.state.refine, why_not=why_not))

    def started(self) -> None:
        """Find the volumes, then show the present one."""
        assert self.target is not None
        layer, value = self.target
        source = source_of(layer)
        maps = None if source is None else source.probability_of(value)
        assert source is not None and maps is not None
        mask, shown = np.asarray(layer.data) == value, source.shown

        def found() -> Change:
            levels = levels_of(maps, mask, shown)
            shape = levels.before if levels.present_ml else levels.by_volume.mask(0.5)
            return Change(levels.box, levels.before, shape, then=lambda: self._found(levels))

        self.ask(found)

    def ended(self) -> None:
        """Forget the volumes."""
        self._levels = None
        self._dock.update(refine=RefineState(self._dock.state.refine.why_not))

    def set_volume(self, volume_ml: float) -> None:
        """Show the class at this volume."""
        if self._levels is not None:
            self._set(self._levels.by_volume.threshold(max(0.0, volume_ml)))

    def set_percent(self, percent: float) -> None:
        """Show the class at this share of its present volume."""
        self.set_volume(percent / 100 * self._dock.state.refine.present_ml)

    def set_threshold(self, threshold: float) -> None:
        """Show the voxels of at least this probability."""
        self._set(threshold)

    def record(self) -> dict[str, Any]:
        """The volume and the threshold."""
        refine = self._dock.state.refine
        return {"ml": round(refine.volume_ml, 3), "threshold": round(refine.threshold, 4)}

    def _found(self, levels: Levels) -> None:
        self._levels, by_volume = levels, levels.by_volume
        volume = levels.present_ml or by_volume.volume_ml(0.5)
        threshold = by_volume.threshold(volume)
        self._dock.update(refine=RefineState("", volume, by_volume.most_ml, volume, threshold))

    def _set(self, threshold: float) -> None:
        if (levels := self._levels) is None:
            return
        volume = levels.by_volume.volume_ml(threshold)
        self._dock.update(refine=replace(self._dock.state.refine, volume_ml=volume, threshold=threshold))
        self.ask(lambda: Change(levels.box, levels.before, levels.by_volume.mask(threshold)))


def levels_of(maps: Volume, mask: NDArray[np.bool_], shown: Geometry) -> Levels:
    """The volumes of a class. maps : its probability (z, y, x) on any grid. mask : (z, y, x) on `shown`."""
    box = _around(maps, mask, shown)
    within = shown.crop([s.start for s in box], [s.stop for s in box])
    probability = resample(maps, within, fill=0.0, dtype=np.float32).array
    probability = np.where(probability < LEAST, np.float32(0), probability)
    spacing: Triple = shown.spacing_mm
    levels = VolumeThreshold(around_mask(probability, mask[box], spacing), spacing)
    return Levels(box, mask[box], levels, int(mask.sum()) * levels.voxel_ml)


def _around(maps: Volume, mask: NDArray[np.bool_], shown: Geometry) -> Slices:
    """The box of the mask that holds it and all that is probable."""
    boxes = [box for box in (bounding_box(mask), _probable(maps, shown)) if box is not None]
    if not boxes:
        return (slice(0, 1),) * 3
    spans = zip(*boxes, strict=True)
    z, y, x = (slice(min(s.start for s in span), max(s.stop for s in span)) for span in spans)
    return z, y, x


def _probable(maps: Volume, shown: Geometry) -> Slices | None:
    """The box of `shown` around the voxels of LEAST probability, with one voxel of the maps around them."""
    found = bounding_box(np.asarray(maps.array >= LEAST), (1, 1, 1))
    if found is None:
        return None
    corners = maps.geometry.crop([s.start for s in found], [s.stop for s in found]).corners_lps_mm()
    index = shown.lps_to_index(corners)
    low = np.clip(np.floor(index.min(0)), 0, np.array(shown.shape) - 1).astype(int)
    high = np.clip(np.ceil(index.max(0)) + 1, low + 1, shown.shape).astype(int)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x
