"""The result of running bundles on a volume."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ctseg_imaging.geometry import Shape
from ctseg_imaging.volume import LabelMap, Volume
from ctseg_models.contract.run_warning import RunWarning

ROI = "region of interest"


@dataclass(frozen=True)
class RoiBox:
    """A named box of the input's stored voxels, [start, stop) along (z, y, x)."""

    name: str
    start: Shape
    stop: Shape


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Labels on the input's own grid and voxel order, and how they were computed."""

    labels: LabelMap
    roi_boxes: tuple[RoiBox, ...] = ()
    # (classes, z, y, x), background first, on the network's own lattice (its geometry), never at full
    # resolution; float32, or float16 in a temporary file when large.
    probabilities: Volume | None = None
    # float32 on the input's grid, 0..1: the largest map of a network's edge head, else 1 - (most probable -
    # second most probable), which is 1 on a border between classes.
    edge_map: Volume | None = None
    # float32 on the input's grid, 0..1: the share of an ensemble's members with another label, or the entropy
    # of the probabilities.
    disagreement: Volume | None = None
    # Plain JSON: bundles, versions, device, settings, times, warnings, confidence of each label; nothing
    # about the patient.
    provenance: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[RunWarning, ...] = ()

    def __repr__(self) -> str:
        """Without the provenance, which fills pages."""
        models = [bundle["name"] for bundle in self.provenance.get("bundles", ())]
        return f"Prediction({self.labels!r}, models={models}, {len(self.warnings)} warnings)"
