"""The conventions of metrics: DeepMind, MONAI and the WMH challenge define the same names differently.

              deepmind                   monai                        wmh2017
surface       elements at voxel          boundary voxels              boundary voxels
              corners, by area           (six neighbours)             (3x3 in each slice)
percentile    area reached               interpolated                 interpolated
both empty    Dice NaN, HD inf,          all NaN                      all NaN
              ASSD and NSD NaN
one empty     Dice 0, HD and ASSD inf,   the same, but HD95 NaN,      Dice 0, HD NaN,
              NSD 0                      and Dice NaN if the truth    ASSD inf, NSD 0
                                         is empty
labels        each value                 each value                   1; where the truth is 2
                                                                      nothing counts
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.geometry import Triple
from ctseg_imaging.metrics.boundaries import face_boundary_distances, in_plane_boundary_distances
from ctseg_imaging.metrics.overlap import IntArray, JointHistogram
from ctseg_imaging.metrics.surfaces import BoolArray, surface_distances

WMH_LESION, WMH_OTHER = 1, 2


class Convention(StrEnum):
    """The definitions `evaluate` can follow."""

    DEEPMIND = "deepmind"
    WMH2017 = "wmh2017"
    MONAI = "monai"


@dataclass(frozen=True)
class OverlapScores:
    """Ratios in [0, 1] and the absolute volume difference in percent of the truth."""

    dice: float
    iou: float
    precision: float
    recall: float
    avd_percent: float


@dataclass(frozen=True)
class SurfaceScores:
    """Distances in mm and the normalised surface Dice."""

    hd: float
    hd95: float
    assd: float
    nsd: float


def overlap_scores(histogram: JointHistogram, value: int, convention: Convention) -> OverlapScores:
    """The overlap of one label as `convention` defines it."""
    dice, iou = histogram.dice(value), histogram.iou(value)
    if convention is Convention.MONAI and histogram.totals(value)[0] == 0:
        dice = iou = np.nan  # ignore_empty=True, MONAI's default
    return OverlapScores(
        dice,
        iou,
        histogram.precision(value),
        histogram.recall(value),
        histogram.absolute_volume_difference_percent(value),
    )


def surface_scores(
    truth: BoolArray, prediction: BoolArray, spacing_mm: Triple, convention: Convention, tolerance_mm: float
) -> SurfaceScores:
    """The surface scores of two (z, y, x) masks as `convention` defines them. spacing_mm : (z, y, x).

    The WMH challenge has no ASSD and no NSD; they are taken here over its boundary voxels.
    """
    if convention is Convention.DEEPMIND:
        surfaces = surface_distances(truth, prediction, spacing_mm)
        return SurfaceScores(
            surfaces.hausdorff(), surfaces.hausdorff(95), surfaces.assd(), surfaces.nsd(tolerance_mm)
        )
    measure = face_boundary_distances if convention is Convention.MONAI else in_plane_boundary_distances
    edges = measure(truth, prediction, spacing_mm)
    hd, hd95 = edges.hausdorff(), edges.hausdorff(95)
    if convention is Convention.MONAI and edges.assd() == np.inf:  # one mask is empty
        hd = np.inf
    return SurfaceScores(hd, hd95, edges.assd(), edges.nsd(tolerance_mm))


def wmh_masks(truth: IntArray, prediction: IntArray) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The maps the WMH challenge compares: lesions are 1, and a prediction of any value counts except where
    the truth is 2.
    """
    return (truth == WMH_LESION).view(np.uint8), ((prediction > 0) & (truth != WMH_OTHER)).view(np.uint8)
