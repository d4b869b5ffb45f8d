"""Volume, mean and standard deviation of every label of a map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.geometry import AxisView
from ctseg_imaging.volume import LabelMap, Volume, exact

COUNTED = 1 << 16  # labels up to here are counted in a table of this length


@dataclass(frozen=True)
class LabelValues:
    """One label. voxels : how many it has. mean, sd : of the image's finite values there, sd of the
    population; None without an image on the same grid, or without a finite value.
    """

    value: int
    name: str
    voxels: int
    volume_ml: float
    mean: float | None = None
    sd: float | None = None


def label_values(label_map: LabelMap, image: Volume | None = None) -> tuple[LabelValues, ...]:
    """The labels that occur, ascending. image : (z, y, x), on the labels' lattice in any voxel order.

    Raises GeometryError if the image lies on another lattice, or for a view-only one.
    """
    values = None if image is None else _on_grid_of(label_map, image)
    counts: dict[int, int] = {}
    moments: dict[int, tuple[int, float, float]] = {}
    for k in range(label_map.array.shape[0]):
        plane = label_map.array[k]
        for value, count in _counts(plane):
            counts[value] = counts.get(value, 0) + count
        if values is not None:
            for value, found in _moments(plane, values[k]):
                moments[value] = _merged(moments.get(value, (0, 0.0, 0.0)), found)
    ml = label_map.geometry.voxel_volume_mm3 / 1000
    return tuple(
        LabelValues(value, label_map.labels.name(value), count, count * ml, *_mean_and_sd(moments.get(value)))
        for value, count in sorted(counts.items())
    )


def _on_grid_of(label_map: LabelMap, image: Volume) -> NDArray[np.generic]:
    view = AxisView.between(exact(image, "be measured").geometry, label_map.geometry)
    if view is None:
        raise GeometryError(
            "The labels lie on another grid than the image, so the image's values inside them are unknown; "
            "bring one onto the other's grid first."
        )
    return view.apply(image.array)


def _compact(labels: NDArray[np.generic]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The values that may occur, and for each voxel which of them it has."""
    if labels.size and int(labels.max()) < COUNTED and int(labels.min()) >= 0:
        return np.arange(int(labels.max()) + 1), labels.astype(np.int64)
    values, which = np.unique(labels, return_inverse=True)
    return values.astype(np.int64), which.astype(np.int64)


def _counts(plane: NDArray[np.generic]) -> Iterator[tuple[int, int]]:
    values, which = _compact(plane[plane != 0])
    counts = np.bincount(which, minlength=len(values))
    return ((int(values[k]), int(counts[k])) for k in np.flatnonzero(counts))


def _moments(
    plane: NDArray[np.generic], image: NDArray[np.generic]
) -> Iterator[tuple[int, tuple[int, float, float]]]:
    """(value, (how many, mean, sum of squared differences from it)) for the labels of one slice."""
    labelled = plane != 0
    found = image[labelled].astype(np.float64)
    known = np.isfinite(found)
    found = found[known]
    values, which = _compact(plane[labelled][known])
    counts = np.bincount(which, minlength=len(values))
    means = np.bincount(which, found, minlength=len(values)) / np.maximum(counts, 1)
    squares = np.bincount(which, (found - means[which]) ** 2, minlength=len(values))
    return (
        (int(values[k]), (int(counts[k]), float(means[k]), float(squares[k]))) for k in np.flatnonzero(counts)
    )


def _merged(a: tuple[int, float, float], b: tuple[int, float, float]) -> tuple[int, float, float]:
    """Moments of two samples together. Source: Chan, Golub & LeVeque 1979, "Updating formulae"."""
    count, apart = a[0] + b[0], b[1] - a[1]
    mean = a[1] + apart * b[0] / count
    return count, mean, a[2] + b[2] + apart**2 * a[0] * b[0] / count


def _mean_and_sd(moments: tuple[int, float, float] | None) -> tuple[float | None, float | None]:
    return (None, None) if moments is None else (moments[1], float(np.sqrt(moments[2] / moments[0])))
