"""The numbers of a drawn shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.measurements.lengths import angle_degrees, length_mm, recist_mm
from ctseg_imaging.measurements.regions import area_mm2, voxels_inside
from ctseg_imaging.measurements.shapes import DrawnShape, Kind
from ctseg_imaging.volume import Volume, exact


@dataclass(frozen=True)
class ShapeValues:
    """What a shape measures; None for what its kind has not, or what no voxel gives.

    length_mm : of a ruler. angle_degrees : of an angle. long_mm, short_mm : of a RECIST pair. area_mm2 : of
    the outline as drawn. voxels : whose centres lie inside it and in the image. mean, sd, minimum, maximum :
    of the image's values there, without those that are not finite; sd is that of the population.
    """

    length_mm: float | None = None
    angle_degrees: float | None = None
    long_mm: float | None = None
    short_mm: float | None = None
    area_mm2: float | None = None
    voxels: int | None = None
    mean: float | None = None
    sd: float | None = None
    minimum: float | None = None
    maximum: float | None = None


def measure(shape: DrawnShape, volume: Volume) -> ShapeValues:
    """Measure a shape that is drawn on `volume`, (z, y, x). Raises GeometryError for a view-only volume."""
    exact(volume, "be measured")
    geometry, points = volume.geometry, shape.array
    if shape.kind is Kind.RULER:
        return ShapeValues(length_mm=length_mm(geometry, points))
    if shape.kind is Kind.ANGLE:
        return ShapeValues(angle_degrees=angle_degrees(geometry, points))
    if shape.kind is Kind.RECIST:
        long_mm, short_mm = recist_mm(geometry, points)
        return ShapeValues(long_mm=long_mm, short_mm=short_mm)
    inside = values_inside(shape, volume.array)
    mean, sd, minimum, maximum = _statistics(inside)
    return ShapeValues(
        area_mm2=area_mm2(geometry, shape),
        voxels=int(inside.size),
        mean=mean,
        sd=sd,
        minimum=minimum,
        maximum=maximum,
    )


def values_inside(shape: DrawnShape, array: NDArray[np.generic]) -> NDArray[np.generic]:
    """The values of the voxels inside a region, (n,); none where its slice is outside of the image."""
    if not 0 <= shape.index < array.shape[shape.axis]:
        return array[:0].ravel()
    plane = array[(slice(None),) * shape.axis + (shape.index,)]
    box, mask = voxels_inside(shape, (plane.shape[0], plane.shape[1]))
    values: NDArray[np.generic] = np.asarray(plane[box])[mask]
    return values


def _statistics(values: NDArray[np.generic]) -> tuple[float | None, float | None, float | None, float | None]:
    known = values.astype(np.float64)
    known = known[np.isfinite(known)]
    if not known.size:
        return None, None, None, None
    return float(known.mean()), float(known.std()), float(known.min()), float(known.max())
