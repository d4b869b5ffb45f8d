"""The state of one training run, and what moves it: a step, a checkpoint, the weights at the end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ctseg_imaging.errors import RecipeError
from ctseg_models.bundles.metadata import Stage
from ctseg_models.bundles.own import OwnBundle, build_network
from ctseg_training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ctseg_training.ema import Ema
from ctseg_training.optimisation import GradientClip, build_optimiser, choose_trainable, learning_rate
from ctseg_training.recipes.schema import Recipe
from ctseg_training.steps import Hardware, StepResult, step_seed, supervised_step

MAY_CHANGE = ("budget", "checkpoints", "description")  # without another sample being drawn
LOSS_MEMORY = 0.98  # of the smoothed loss


@dataclass
class Run:
    """step : how many are done. seconds : of training, over all parts of an interrupted run. best : the best mean Dice of the curve."""

    recipe: Recipe
    stage: Stage
    hardware: Hardware
    network: nn.Module
    optimiser: torch.optim.Optimizer
    ema: Ema
    clip: GradientClip
    step: int = 0
    seconds: float = 0.0
    skipped: int = 0
    loss: float | None = None
    best: float | None = None
    before: dict[str, float | None] | None = None
    _began: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(cls, recipe: Recipe, stage: Stage, hardware: Hardware, init_from: OwnBundle | None) -> Run:
        """A fresh run; weights from the recipe's seed, or from the bundle."""
        torch.manual_seed(recipe.seed)
        network = build_network(stage)
        if init_from is not None:
            network.load_state_dict(init_from.weights(stage.name))
        network = network.to(hardware.device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        choose_trainable(network, recipe.trainable)
        return cls(recipe, stage, hardware, network, build_optimiser(recipe.optimiser, network), Ema(network, recipe.ema),
                   GradientClip(recipe.clip_at))

    def resume(self, path: Path) -> None:
        """Take up a checkpoint. Raises RecipeError when it was made by another recipe (the budget may change)."""
        saved = load_checkpoint(path)
        mine = self.recipe.model_dump(mode="json")
        changed = sorted(key for key in mine if key not in MAY_CHANGE and mine[key] != saved.recipe.get(key))
        if changed:
            raise RecipeError(f"{path}: was made with another {changed[0]}; resume with the recipe in that folder, or start in another.")
        self.network.load_state_dict(saved.network)
        self.optimiser.load_state_dict(saved.optimiser)
        self.ema.weights = {name: tensor.to(self.hardware.device) for name, tensor in saved.ema.items()}
        self.clip.mean, self.step, self.skipped, self.loss = saved.clip_mean, saved.step, saved.skipped, saved.loss
        self.best, self.before, self.seconds = saved.best, saved.before, saved.seconds

    def start_clock(self) -> None:
        """Training time counts from now on."""
        self._began = time.monotonic() - self.seconds

    def elapsed(self) -> float:
        """Seconds of training so far."""
        self.seconds = time.monotonic() - self._began
        return self.seconds

    def spent(self) -> float:
        """The share of the budget used up, 0..1; 0 without one."""
        budget = self.recipe.budget
        by_steps = self.step / budget.steps if budget.steps else 0.0
        by_time = self.elapsed() / (60 * budget.minutes) if budget.minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    def advance(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[StepResult, float]:
        """One step; its result and the learning rate it ran with."""
        rate = learning_rate(self.recipe.optimiser.learning_rate, self.recipe.schedule, self.step, self.spent())
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        torch.manual_seed(step_seed(self.recipe.seed, self.step))
        result = supervised_step(self.network, batch, self.recipe, self.optimiser, self.clip, self.hardware)
        self.step += 1
        self.skipped += result.skipped
        if not result.skipped:
            self.ema.update(self.network, self.step)
            self.loss = result.loss if self.loss is None else LOSS_MEMORY * self.loss + (1 - LOSS_MEMORY) * result.loss
        return result, rate

    def save(self, path: Path) -> None:
        """Write a checkpoint. Raises FormatError when the disk is full."""
        self.elapsed()
        save_checkpoint(Checkpoint(self.step, self.seconds, self.network.state_dict(), self.ema.weights, self.optimiser.state_dict(),
                                   self.clip.mean, self.skipped, self.loss, self.best, self.recipe.model_dump(mode="json"),
                                   self.before), path)

    def averaged(self) -> nn.Module:
        """A copy of the network with the averaged weights, for scoring."""
        network = build_network(self.stage)
        network.load_state_dict(self.ema.weights)
        return network.to(self.hardware.device).eval()
