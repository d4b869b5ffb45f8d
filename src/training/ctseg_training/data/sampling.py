"""Drawing a training sample from a case: the part is chosen, augmented and resampled once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctseg_models.contract.lattice import Lattice, ViewBox
from ctseg_models.contract.plan import Intensity, StagePlan
from ctseg_models.inference.input.intensities import normalise
from ctseg_training.data.cases import Case
from ctseg_training.data.decathlon import Decathlon
from ctseg_training.data.resampling import reach, sample_image, sample_labels
from ctseg_training.data.slab_augmentation import augment_ct, augment_generic, augment_in_plane
from ctseg_training.data.spatial import SpatialDraw, draw_spatial, sample_points
from ctseg_training.recipes.schema import Recipe


@dataclass(frozen=True, eq=False)
class Sample:
    """image : (C, Z, Y, X) network input. target : (Z, Y, X) int64. present : (K,) bool, background first."""

    case: str
    image: Tensor
    target: Tensor
    present: Tensor


@dataclass(frozen=True)
class PatchSampler:
    """Draws samples by a recipe.

    weights : per class index 1, 2, ..., how often a patch goes near it. pairs : class indices that change
    places when the picture is mirrored.
    """

    recipe: Recipe
    plan: StagePlan
    weights: tuple[float, ...]
    pairs: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, recipe: Recipe, plan: StagePlan, dataset: Decathlon) -> PatchSampler:
        """Raises RecipeError when the recipe names a label that the data set does not have."""
        weights = [1.0] * len(dataset.labels)
        for name, weight in recipe.sampling.label_weights.items():
            weights[dataset.class_of(name, "sampling.label_weights") - 1] = weight
        pairs = tuple(
            (
                dataset.class_of(a, "augmentation.mirror_pairs"),
                dataset.class_of(b, "augmentation.mirror_pairs"),
            )
            for a, b in recipe.augmentation.mirror_pairs
        )
        return cls(recipe, plan, tuple(weights), pairs)

    @property
    def localises(self) -> bool:
        """Whether all labels count as one class."""
        return self.recipe.stage == "localise"

    def sample(self, case: Case, rng: np.random.Generator) -> Sample:
        """One augmented sample; the same `rng` state gives the same sample."""
        lattice, slices = self.lattice(case, rng)
        return self.take(case, lattice, draw_spatial(self.recipe.augmentation, rng), rng, slices)

    def lattice(self, case: Case, rng: np.random.Generator) -> tuple[Lattice, NDArray[np.int64] | None]:
        """Where the sample lies before augmentation, and which of its slices are taken; None: all."""
        sampling = self.recipe.sampling
        whole = ViewBox.whole(case.geometry)
        if sampling.mode == "patch":
            return self._fixed(self._patch_centre(case, rng)), None
        if sampling.mode == "slices":
            return self._slices(case, rng)
        box = whole if sampling.mode == "whole" else case.box.grown(sampling.margin_mm).cut(whole)
        if sampling.size is not None:
            return self._fixed(np.add(box.low, box.high) / 2), None
        return self.plan.lattice(box, divide_evenly=sampling.mode == "whole"), None

    def _slices(self, case: Case, rng: np.random.Generator) -> tuple[Lattice, NDArray[np.int64]]:
        """Random slices of the whole volume in their order, each at most once if there are enough; in plane
        around the box of the labels.
        """
        sampling, spacing = self.recipe.sampling, self.recipe.data.spacing_mm
        assert sampling.size is not None
        depth = max(1, round(case.geometry.shape[0] * case.spacing_mm[0] / spacing[0]))
        low_y, low_x = (
            (a + b) / 2 - n * s / 2
            for a, b, n, s in zip(
                case.box.low[1:], case.box.high[1:], sampling.size[1:], spacing[1:], strict=True
            )
        )
        lattice = Lattice((0.0, low_y, low_x), spacing, (depth, *sampling.size[1:]))
        usable = np.arange(depth)
        if not sampling.empty_slices:
            stored = np.clip(
                ((usable + 0.5) * spacing[0] / case.spacing_mm[0]).astype(int), 0, case.geometry.shape[0] - 1
            )
            labelled = (
                np.unique(np.concatenate([points[:, 0] for points in case.points.values()]))
                if case.points
                else stored
            )
            usable = usable[np.isin(stored, labelled)] if np.isin(stored, labelled).any() else usable
        wanted = sampling.size[0]
        chosen = rng.choice(usable, wanted, replace=len(usable) < wanted)
        return lattice, np.sort(chosen)

    def take(
        self,
        case: Case,
        lattice: Lattice,
        spatial: SpatialDraw,
        rng: np.random.Generator,
        slices: NDArray[np.int64] | None = None,
    ) -> Sample:
        """The sample at `lattice` (only its `slices`), moved by `spatial`; `rng` draws the intensities."""
        data = self.recipe.data
        points = sample_points(lattice, spatial, slices)
        at = reach(
            points, case.labels.shape, case.spacing_mm, lattice.spacing_mm, 4 * data.smoothing_sigma_mm
        )
        values = {
            source: sample_image(
                case.image[source],
                case.spacing_mm,
                at,
                outside=data.outside,
                smoothing_sigma_mm=data.smoothing_sigma_mm,
            )
            for source in sorted({channel.source for channel in case.intensities})
        }
        labels = (case.labels > 0).to(torch.uint8) if self.localises else case.labels
        target = sample_labels(labels, at, smoothing_voxels=data.label_smoothing_voxels)
        present = torch.tensor([True, True] if self.localises else case.present)
        if spatial.mirror and not self.localises:
            target, present = self._mirrored(target, present)
        image = self._intensities(values, case.intensities, rng)
        image, target = self._slab(image, target, rng)
        return Sample(case.name, image, target, present)

    def _slab(self, image: Tensor, target: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        settings = self.recipe.augmentation.slab
        if settings is None:
            return image, target
        if settings.kind == "ct_cues":
            return augment_ct(image, target, settings, rng)
        if settings.kind == "generic":
            return augment_generic(image, target, settings, rng)
        return augment_in_plane(image, target, settings, rng)

    def _fixed(self, centre_mm: NDArray[np.float64]) -> Lattice:
        size, spacing = self.recipe.sampling.size, self.recipe.data.spacing_mm
        assert size is not None
        low = [float(c - n * s / 2) for c, n, s in zip(centre_mm, size, spacing, strict=True)]
        return Lattice((low[0], low[1], low[2]), spacing, size)

    def _patch_centre(self, case: Case, rng: np.random.Generator) -> NDArray[np.float64]:
        """The centre in mm.

        A patch smaller than the box of the labels plus margin stays inside it, a larger one is centred on it.
        """
        sampling = self.recipe.sampling
        assert sampling.size is not None
        box = case.box.grown(sampling.margin_mm).cut(ViewBox.whole(case.geometry))
        low, high = np.array(box.low), np.array(box.high)
        if case.points and rng.random() < sampling.near_label:
            labels = sorted(case.points)
            weights = np.array([self.weights[label - 1] for label in labels])
            points = case.points[labels[rng.choice(len(labels), p=weights / weights.sum())]]
            voxel = points[rng.integers(len(points))]
            centre = (voxel + 0.5) * np.array(case.spacing_mm) + rng.uniform(-1, 1, 3) * np.array(
                sampling.near_distance_mm
            )
        else:
            centre = rng.uniform(low, high)
        half = np.array(sampling.size) * np.array(self.recipe.data.spacing_mm) / 2
        middle = (low + high) / 2
        inside: NDArray[np.float64] = np.clip(
            centre, np.minimum(low + half, middle), np.maximum(high - half, middle)
        )
        return inside

    def _mirrored(self, target: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        table = torch.arange(len(present))
        for a, b in self.pairs:
            table[a], table[b] = b, a
        return table[target], present[table]

    def _intensities(
        self, values: dict[int, Tensor], channels: tuple[Intensity, ...], rng: np.random.Generator
    ) -> Tensor:
        """(C, Z, Y, X): the same shift of the stored values for all channels, and the same factor of the
        input.
        """
        settings = self.recipe.augmentation
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        shift = float(rng.normal(0, settings.value_shift))
        noise = float(rng.uniform(0, settings.noise)) if settings.noise > 0 and rng.random() < 0.5 else 0.0
        for source, stored in values.items():
            values[source] = stored + shift
            if noise > 0:
                values[source] += torch.randn(stored.shape, generator=generator) * noise
        x = torch.stack([normalise(values[channel.source].clone(), channel) for channel in channels])
        factor = 1 + float(rng.uniform(-1, 1)) * settings.intensity_scale
        x = x * factor + float(rng.uniform(-1, 1)) * settings.intensity_shift
        if settings.input_noise > 0:
            x += torch.randn(x.shape, generator=generator) * float(rng.uniform(0, settings.input_noise))
        return x
