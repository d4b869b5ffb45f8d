"""The measurements of one image as they are kept: its grid, the shapes with their values, its labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.geometry import AxisView, Geometry, Shape
from ctseg_imaging.measurements.label_values import LabelValues
from ctseg_imaging.measurements.shapes import DrawnShape
from ctseg_imaging.measurements.values import ShapeValues, measure
from ctseg_imaging.volume import Volume
from ctseg_imaging.windowing import is_hu

Affine = tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class MeasurementRecord:
    """Measurements, without anything that names the patient or the file.

    shape_zyx, affine_lps : the grid of the image, as in Geometry. unit : of the image's values, "HU" or "".
    shapes : what is drawn, in indices of that grid, with its values. labels : the values of a label map.
    """

    shape_zyx: Shape
    affine_lps: Affine
    unit: str = ""
    shapes: tuple[tuple[DrawnShape, ShapeValues], ...] = ()
    labels: tuple[LabelValues, ...] = ()

    @property
    def geometry(self) -> Geometry:
        """The grid of the image."""
        return Geometry(self.shape_zyx, np.array(self.affine_lps))


def record(
    volume: Volume, shapes: Iterable[DrawnShape], labels: Iterable[LabelValues] = ()
) -> MeasurementRecord:
    """Measure `shapes` on a volume. Raises GeometryError for a view-only one."""
    geometry = volume.geometry
    affine = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in geometry.affine_lps)
    return MeasurementRecord(
        geometry.shape,
        affine,
        "HU" if is_hu(volume) else "",
        tuple((shape, measure(shape, volume)) for shape in shapes),
        tuple(labels),
    )


def shapes_on(kept: MeasurementRecord, geometry: Geometry) -> tuple[DrawnShape, ...]:
    """The shapes of a record in the indices of `geometry`: the image's grid, in this or another voxel order.

    Raises GeometryError if it is another grid.
    """
    view = AxisView.between(kept.geometry, geometry)
    if view is None:
        raise GeometryError("was measured on another grid than this image's; open the image it belongs to.")
    return tuple(shape.seen_in(view, kept.shape_zyx) for shape, _ in kept.shapes)
