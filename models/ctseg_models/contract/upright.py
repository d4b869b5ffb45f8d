"""A volume along patient axes, as every network sees it."""

from __future__ import annotations

from dataclasses import dataclass

from ctseg_imaging.geometry import AxisView, Geometry
from ctseg_imaging.volume import Volume, exact
from ctseg_models.contract.lattice import ViewBox
from ctseg_models.contract.prediction import RoiBox


@dataclass(frozen=True)
class Upright:
    """A volume in its LPS-upright view; nothing is copied."""

    volume: Volume
    view: AxisView
    geometry: Geometry

    @classmethod
    def of(cls, volume: Volume) -> Upright:
        """The nearest axis-aligned view. Raises GeometryError for a volume that is view-only."""
        exact(volume, "be given to a model")
        view = AxisView.of(volume.geometry)
        return cls(volume, view, view.geometry(volume.geometry))

    def stored_box(self, name: str, box: ViewBox) -> RoiBox:
        """The stored voxels whose centres lie in a box of the view."""
        start, stop = box.voxels(self.geometry)
        low, high = [0, 0, 0], [0, 0, 0]
        for view_axis, (axis, flip) in enumerate(zip(self.view.order, self.view.flips, strict=True)):
            n = self.geometry.shape[view_axis]
            a, b = start[view_axis], stop[view_axis]
            low[axis], high[axis] = (n - b, n - a) if flip else (a, b)
        return RoiBox(name, (low[0], low[1], low[2]), (high[0], high[1], high[2]))
