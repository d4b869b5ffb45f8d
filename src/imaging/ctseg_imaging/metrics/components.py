"""The connected components of a label in two maps, one by one: lesions that were found, missed or falsely
predicted, and islands and holes of organs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.editing.connected_parts import connected_parts
from ctseg_imaging.geometry import Triple
from ctseg_imaging.metrics.boxes import Box, union_box
from ctseg_imaging.metrics.surfaces import BoolArray, surface_distances

Voxel = tuple[int, int, int]
MEASURED = 300  # components whose surface distance is computed, the largest first


class Finding(StrEnum):
    """What a component is, in the order of a list."""

    MISSED = "missed"  # in the truth, without a voxel in common with the prediction
    FALSE = "false"  # in the prediction, without a voxel in common with the truth
    FOUND = "found"  # in the truth, with at least one voxel in common
    ISLAND = "island"  # apart from the largest component of its map
    HOLE = "hole"  # outside the label, enclosed by it


@dataclass(frozen=True)
class Component:
    """One component with its volume and place.

    volume_ml : its own. other_ml : of the components on the other side that it touches, together. dice : of
    it and these; hd95_mm : between both surfaces; NaN unless it was found. centroid : mean (z, y, x) index.
    voxel : the (z, y, x) index of the voxel of the component that lies nearest to the centroid. in_truth :
    whether it belongs to the truth, otherwise to the prediction.
    """

    finding: Finding
    in_truth: bool
    volume_ml: float
    centroid: tuple[float, float, float]
    voxel: Voxel
    other_ml: float = 0.0
    dice: float = float("nan")
    hd95_mm: float = float("nan")

    @property
    def iou(self) -> float:
        """Intersection over union, from the Dice."""
        return self.dice / (2 - self.dice)

    @property
    def rank(self) -> tuple[int, float]:
        """Sorts a list: by finding, then from the largest down."""
        return list(Finding).index(self.finding), -self.volume_ml

    def shifted(self, start: Sequence[int]) -> Component:
        """The same component in the volume from which its masks were cut at (z, y, x) index `start`."""
        z, y, x = start
        centroid = self.centroid[0] + z, self.centroid[1] + y, self.centroid[2] + x
        voxel = self.voxel[0] + z, self.voxel[1] + y, self.voxel[2] + x
        return replace(self, centroid=centroid, voxel=voxel)


def lesions(truth: BoolArray, prediction: BoolArray, spacing_mm: Triple) -> list[Component]:
    """Every lesion of two (z, y, x) masks on one grid: missed, false, found, each from the largest down.

    Lesions are components with 26 neighbours; a predicted component counts for every true one with which it
    shares a voxel. spacing_mm : (z, y, x). Beyond the MEASURED largest found ones hd95_mm is NaN.
    Source: Kuijf et al. 2019, doi:10.1109/TMI.2019.2905770 (what counts as found).
    """
    box = union_box(truth, prediction)
    if box is None:
        return []
    true, predicted = _Split.of(truth[box]), _Split.of(prediction[box])
    partners = _partners(true.labels, predicted.labels)
    confirmed = {other for touched in partners.values() for other in touched}
    found = sorted(partners, key=lambda k: -true.voxels[k])
    listed = [true.component(k, Finding.MISSED, True, box, spacing_mm) for k in true if k not in partners]
    listed += [
        predicted.component(k, Finding.FALSE, False, box, spacing_mm) for k in predicted if k not in confirmed
    ]
    for rank, k in enumerate(found):
        component = true.component(k, Finding.FOUND, True, box, spacing_mm)
        listed.append(_matched(component, true, k, predicted, partners[k], spacing_mm, rank < MEASURED))
    return sorted(listed, key=lambda one: one.rank)


def islands_and_holes(mask: BoolArray, spacing_mm: Triple, in_truth: bool) -> list[Component]:
    """The components of a (z, y, x) mask apart from the largest (26 neighbours), and the regions outside it
    that it encloses (6 neighbours); each from the largest down.
    """
    box = union_box(mask, mask)
    if box is None:
        return []
    inside = mask[box]
    pieces = _Split.of(inside)
    islands = [
        pieces.component(k, Finding.ISLAND, in_truth, box, spacing_mm)
        for k in sorted(pieces, key=lambda k: -pieces.voxels[k])[1:]
    ]
    outside = _Split.of(np.pad(~inside, 1, constant_values=True), connectivity=6)
    z, y, x = (slice(side.start - 1, side.stop + 1) for side in box)
    sea = outside.labels[0, 0, 0]
    holes = [outside.component(k, Finding.HOLE, in_truth, (z, y, x), spacing_mm) for k in outside if k != sea]
    return islands + sorted(holes, key=lambda one: -one.volume_ml)


@dataclass(frozen=True, eq=False)
class _Split:
    """The components of a mask: an array of their numbers from 1, and their statistics by number."""

    labels: NDArray[np.integer]
    voxels: NDArray[np.integer]
    centroids: NDArray[np.float64]
    boxes: Any

    @classmethod
    def of(cls, mask: BoolArray, connectivity: int = 26) -> _Split:
        labels, _ = connected_parts(mask, connectivity)
        found = cc3d.statistics(labels)
        return cls(
            labels, found["voxel_counts"].astype(np.int64), found["centroids"], found["bounding_boxes"]
        )

    def __iter__(self) -> Any:
        return iter(range(1, len(self.voxels)))

    def component(self, k: int, finding: Finding, in_truth: bool, box: Box, spacing_mm: Triple) -> Component:
        """Component number k, placed in the volume from which `box` was cut."""
        start = np.array([side.start for side in box])
        corner = np.array([side.start for side in self.boxes[k]])
        voxels = np.argwhere(self.labels[self.boxes[k]] == k) + corner
        apart = ((voxels - self.centroids[k]) * spacing_mm) ** 2
        nearest = voxels[np.argmin(apart.sum(axis=1))]
        z, y, x = self.centroids[k] + start
        return Component(
            finding,
            in_truth,
            float(self.voxels[k] * np.prod(spacing_mm) / 1000),
            (float(z), float(y), float(x)),
            tuple(int(i) for i in nearest + start),  # type: ignore[arg-type]
        )


def _partners(true: NDArray[np.integer], predicted: NDArray[np.integer]) -> dict[int, dict[int, int]]:
    """For each true component the predicted ones with which it shares voxels, and how many."""
    both = (true > 0) & (predicted > 0)
    pairs, counts = np.unique(np.stack([true[both], predicted[both]]), axis=1, return_counts=True)
    partners: dict[int, dict[int, int]] = defaultdict(dict)
    for k, other, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
        partners[k][other] = count
    return partners


def _matched(
    component: Component,
    true: _Split,
    k: int,
    predicted: _Split,
    touched: dict[int, int],
    spacing_mm: Triple,
    measured: bool,
) -> Component:
    """A found lesion with its overlap and distance."""
    others = sum(int(predicted.voxels[other]) for other in touched)
    dice = 2 * sum(touched.values()) / (int(true.voxels[k]) + others)
    other_ml = float(others * np.prod(spacing_mm) / 1000)
    component = replace(component, dice=dice, other_ml=other_ml)
    if not measured:
        return component
    boxes = [true.boxes[k], *(predicted.boxes[other] for other in touched)]
    within = tuple(
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*boxes, strict=True)
    )
    a, b = true.labels[within] == k, np.isin(predicted.labels[within], list(touched))
    return replace(component, hd95_mm=surface_distances(a, b, spacing_mm).hausdorff(95))
