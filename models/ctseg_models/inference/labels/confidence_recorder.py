"""Confidence and entropy of a single bundle, gathered while its labels are painted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Labels
from ctseg_models.inference.inference_settings import InferenceSettings
from ctseg_models.inference.labels.class_maps import ClassMaps, Target
from ctseg_models.inference.labels.confidence import Tally
from ctseg_models.inference.labels.disagreement import Entropy
from ctseg_models.inference.labels.point_sampler import PointSampler
from ctseg_models.inference.labels.sampler import ClassMapSampler


class ConfidenceRecorder:
    """Passed to `paint`: confidence of each label, and the entropy of each voxel.

    It sees every slab before its maps are forgotten.
    """

    def __init__(
        self,
        settings: InferenceSettings,
        labels: Labels,
        class_maps: ClassMaps,
        view: Geometry,
        target: Target,
        entropy: NDArray[np.float32] | None,
    ) -> None:
        """view : the geometry that `target` is a part of. entropy : (z, y, x) of all of the view, to be
        filled; None: not asked for.
        """
        self._labels, self._voxel_ml = labels, float(np.prod(view.spacing_mm)) / 1000
        self._tally = Tally(max(class_maps.values)) if settings.confidence else None
        self._points = PointSampler(class_maps, target)
        self._entropy = None if entropy is None else entropy[target.place]

    def __call__(self, sampler: ClassMapSampler, a: int, b: int, winner: Tensor) -> None:
        """Record slices [a, b) of the target with their labels (b - a, y, x)."""
        unsure = None
        if self._entropy is not None:
            entropy = Entropy()
            for value in sampler.values:
                if (chance := sampler.slab(value, a, b)) is not None:
                    entropy.add(chance)
            unsure = entropy.value()
            self._entropy[a:b] = unsure.numpy()
        if self._tally is not None:
            self._tally.add(
                winner,
                lambda sample: self._points.chances(sample.labels, sample.z + a, sample.y, sample.x),
                unsure,
            )

    def confidence(self) -> list[dict[str, Any]] | None:
        """A row for each label found; None if it was not asked for."""
        return None if self._tally is None else self._tally.table(self._labels, self._voxel_ml)
