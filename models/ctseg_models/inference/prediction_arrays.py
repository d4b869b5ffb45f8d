"""The arrays of a prediction on the volume's own grid, and painting the networks' maps into them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import Labels
from ctseg_models.contract.bundle import LARGEST_LABEL
from ctseg_models.contract.upright import Upright
from ctseg_models.inference.inference_settings import InferenceSettings
from ctseg_models.inference.labels.class_maps import Target
from ctseg_models.inference.labels.confidence_recorder import ConfidenceRecorder
from ctseg_models.inference.labels.paint import paint, paint_map
from ctseg_models.inference.stage_run import SEGMENTING, StageResult, report


@dataclass(eq=False)
class PredictionArrays:
    """Arrays (z, y, x) in the volume's stored voxel order, written through its upright view."""

    upright: Upright
    labels: NDArray[np.unsignedinteger[Any]]
    edges: NDArray[np.float32] | None  # 0..1; None: not asked for
    entropy: NDArray[np.float32] | None
    confidence: list[dict[str, Any]] | None = field(default=None)  # a row for each label, once painted

    @classmethod
    def blank(
        cls, upright: Upright, values: tuple[int, ...], settings: InferenceSettings
    ) -> PredictionArrays:
        """For labels of these values. Raises BundleError for values that no mask holds."""
        shape = upright.volume.geometry.shape
        return cls(
            upright,
            np.zeros(shape, label_dtype(values)),
            np.zeros(shape, np.float32) if settings.edge_map else None,
            np.zeros(shape, np.float32) if settings.disagreement == "entropy" else None,
        )

    def paint(
        self, found: StageResult, names: Labels, settings: InferenceSettings
    ) -> Generator[Progress, None, None]:
        """Write the labels of `found`, and the other maps; maps that are pending are computed meanwhile."""
        geometry = self.upright.geometry
        target = Target(geometry.spacing_mm, *found.box.voxels(geometry))
        edges, entropy = self._view(self.edges), self._view(self.entropy)
        recorder = ConfidenceRecorder(settings, names, found.maps, geometry, target, entropy)
        labels = self.upright.view.apply(self.labels)
        # The edge head of a network that has one is brought to the grid afterwards.
        painting = paint(found.maps, target, labels, edges if found.edges is None else None, recorder)
        if found.maps.maps.pending:  # nearly all of the time is the network's
            yield from report("segment", painting, SEGMENTING, 10, 100)
        else:
            yield from report("assemble", painting, "Resampling the labels to the image's grid")
        if edges is not None and found.edges is not None:
            largest = found.edges.amax(dim=0, keepdim=True)
            work = paint_map(largest, found.maps.lattice, target, edges)
            yield from report("assemble", work, "Resampling the edge map")
        self.confidence = recorder.confidence()

    def _view(self, array: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        return None if array is None else self.upright.view.apply(array)


def label_dtype(values: tuple[int, ...]) -> type[np.unsignedinteger[Any]]:
    """The smallest type that holds the values. Raises BundleError for values that no mask holds."""
    if max(values) > LARGEST_LABEL:
        raise BundleError(
            f"The model has a label {max(values)}, but a mask holds labels up to {LARGEST_LABEL}; get "
            "another model."
        )
    return np.uint8 if max(values) <= np.iinfo(np.uint8).max else np.uint16
