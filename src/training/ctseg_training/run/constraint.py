"""Paper 1's geometric constraints in the training loop: the duals of every fixed sample, the pull towards
them, and their update.

theta : F(s, y) + mu/2 |s - u + w|^2      u : min TV_g(u) + mu/2 |u - (s + w)|^2, u in [0, 1], area(u) =
area(y)      w : w + s - u

Algorithm 1 takes s after the step of theta; here it is the output that the step was computed from, dropout
included, which saves a second pass: the duals lag by one step of their sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ctseg_training.data.feeding import Batch
from ctseg_training.losses.partial import merge_absent
from ctseg_training.proximal.admm import quadratic_term, update
from ctseg_training.proximal.douglas_rachford import DRSettings
from ctseg_training.proximal.dual_store import DualStore
from ctseg_training.recipes.loss_settings import Geometric
from ctseg_training.recipes.schema import Recipe
from ctseg_training.run.networks import as_volumes


@dataclass
class GeometricConstraint:
    """store : u and w of every sample, (K, Z, Y, X) in half precision on disk.

    flat : every slice is constrained by itself (2D).
    """

    settings: Geometric
    store: DualStore
    flat: bool

    @classmethod
    def of(cls, recipe: Recipe, folder: Path, cases: int, labels: int) -> GeometricConstraint | None:
        """None for a recipe without this part.

        cases : number of training cases. labels : with the background.
        """
        if recipe.geometric is None:
            return None
        size, versions = recipe.sampling.size, recipe.sampling.versions
        assert size is not None and versions is not None  # the recipe has been validated
        store = DualStore(folder, (labels, *size), cases * versions)
        return cls(recipe.geometric, store, recipe.network.dimensions == 2)

    def term(self, s: Tensor, batch: Batch) -> Tensor:
        """mu/2 |s - u + w|^2, a mean over voxels. s : (B, K, Z, Y, X) probabilities."""
        u, w = (part.to(s.device) for part in self.store.get(batch.items))
        return quadratic_term(merge_absent(s, batch.present.to(s.device)), u, w, self.settings.mu)

    def update(self, s: Tensor, batch: Batch) -> None:
        """The new u and w of the batch's samples, from the network's output before its step."""
        u, w = self.store.get(batch.items)
        merged = merge_absent(s.cpu(), batch.present)
        target = batch.target.flatten(0, 1) if self.flat else batch.target
        settings = DRSettings(
            self.settings.mu, tolerance=self.settings.tolerance, max_iterations=self.settings.max_iterations
        )
        u, w = update(self._slices(merged), target, self._slices(u), self._slices(w), settings)
        self.store.put(
            batch.items,
            as_volumes(u, len(s), 2 if self.flat else 3),
            as_volumes(w, len(s), 2 if self.flat else 3),
        )

    def snapshot(self, checkpoint: Path, step: int) -> None:
        """A copy of the duals next to `checkpoint`, before that is written: whichever checkpoint a kill
        leaves has its duals.
        """
        self.store.snapshot(_beside(checkpoint, step), step)

    def forget(self, checkpoint: Path, step: int) -> None:
        """Remove the copies of older checkpoints of that name."""
        for old in checkpoint.parent.glob(f"{checkpoint.stem}-*.duals"):
            if old != _beside(checkpoint, step):
                old.unlink(missing_ok=True)

    def restore(self, checkpoint: Path, step: int) -> None:
        """The duals as they were at `step`.

        Raises RecipeError when the copy is missing or of another step.
        """
        self.store.restore(_beside(checkpoint, step), step)

    def _slices(self, maps: Tensor) -> Tensor:
        return maps.transpose(1, 2).flatten(0, 1) if self.flat else maps


def _beside(checkpoint: Path, step: int) -> Path:
    return checkpoint.with_name(f"{checkpoint.stem}-{step}.duals")
