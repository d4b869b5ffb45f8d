"""What a bundle says about a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ctseg_imaging.geometry import Shape
from ctseg_imaging.volume import LabelMap, Volume


@dataclass(frozen=True)
class RoiBox:
    """A box of the input's stored voxels, (z, y, x): [start, stop). name : what it is, e.g. "region of
    interest".
    """

    name: str
    start: Shape
    stop: Shape


@dataclass(frozen=True, eq=False)
class Prediction:
    """Labels on the input's own grid and voxel order, and how they came about.

    probabilities : (classes, z, y, x), background first, on the network's own lattice (its geometry says
    where), never at full resolution; float32, or float16 in a temporary file when large. edge_map :
    float32 on the input's grid, 0..1: the edge head of a network that has one (the likeliest of its
    labels), else 1 - (most probable - second most probable), which is 1 on a border between classes.
    disagreement : float32 on the input's grid, 0..1: the share of an ensemble's members that say something
    else, or the entropy of the probabilities. provenance : plain JSON; bundle, versions, device, settings,
    times, warnings, how sure each label is; nothing about the patient.
    """

    labels: LabelMap
    roi_boxes: tuple[RoiBox, ...] = ()
    probabilities: Volume | None = None
    edge_map: Volume | None = None
    disagreement: Volume | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def warnings(self) -> Sequence[str]:
        """What the user should know before trusting the labels, one sentence each."""
        said: list[str] = self.provenance.get("warnings", [])
        return said
