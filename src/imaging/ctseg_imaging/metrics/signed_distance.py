"""How far the surface of a prediction lies inside or outside the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ctseg_imaging.geometry import Triple
from ctseg_imaging.metrics.boundaries import FACES
from ctseg_imaging.metrics.boxes import Box, union_box
from ctseg_imaging.metrics.surfaces import BoolArray, distance_to

LIMITS_MM = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)


@dataclass(frozen=True, eq=False)
class SignedDistance:
    """box : where the prediction's surface is. distance_mm : float32 (z, y, x) of the box, NaN except on the
    surface.
    """

    box: Box
    distance_mm: NDArray[np.float32]

    @property
    def limit_mm(self) -> float:
        """The end of a symmetric colour scale: the first of LIMITS_MM within which 95 % of the surface
        lies.
        """
        within = float(np.nanpercentile(np.abs(self.distance_mm), 95))
        return next((limit for limit in LIMITS_MM if within <= limit), LIMITS_MM[-1])


def signed_surface_distance(
    truth: BoolArray, prediction: BoolArray, spacing_mm: Triple
) -> SignedDistance | None:
    """For each boundary voxel of `prediction` its distance in mm to the nearest voxel of `truth`, or, where
    it lies in the truth, minus the distance to the nearest voxel outside it; centre to centre.

    truth, prediction : (z, y, x) masks of one shape. spacing_mm : (z, y, x). A boundary voxel has one of six
    neighbours outside the mask; all beyond the array is outside both. None if a mask is empty.
    """
    box = union_box(truth, prediction)
    if box is None or not truth.any() or not prediction.any():
        return None
    true, predicted = np.pad(truth[box], 1), np.pad(prediction[box], 1)
    surface = predicted & ~ndimage.binary_erosion(predicted, FACES)
    signed = np.where(true, -distance_to(~true, spacing_mm), distance_to(true, spacing_mm))
    inner = (slice(1, -1),) * 3
    distance_mm: NDArray[np.float32] = np.where(surface, signed, np.nan).astype(np.float32)[inner]
    return SignedDistance(box, distance_mm)
