"""The state of one training run: its steps, checkpoints and final weights."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn

from ctseg_imaging.errors import RecipeError
from ctseg_models.bundles.own.bundle import OwnBundle, build_network
from ctseg_models.bundles.own.metadata import Stage
from ctseg_training.data.feeding import Batch
from ctseg_training.losses.objective import Objective
from ctseg_training.recipes.schema import Recipe
from ctseg_training.run.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ctseg_training.run.constraint import GeometricConstraint
from ctseg_training.run.curve import LearningCurve
from ctseg_training.run.ema import Ema
from ctseg_training.run.optimisation import GradientClip, build_optimiser, choose_trainable, learning_rate
from ctseg_training.run.parallel import World
from ctseg_training.run.steps import Hardware, Learner, StepResult, step_seed

MAY_CHANGE = ("budget", "checkpoints", "description", "workers")  # without changing the samples
LOSS_MEMORY = 0.98  # of the smoothed loss


@dataclass
class Run:
    """The state of a training run."""

    stage: Stage
    network: nn.Module
    learner: Learner
    ema: Ema
    cases: str = ""  # a hash of the names of the cases that are trained on
    world: World = field(default_factory=World)
    curve: LearningCurve = field(default_factory=LearningCurve)
    step: int = 0  # how many are done
    seconds: float = 0.0  # of training, over all parts of an interrupted run
    skipped: int = 0
    loss: float | None = None
    waited: float = 0.0  # of those, for data
    before: dict[str, float | None] | None = None
    _began: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(
        cls,
        recipe: Recipe,
        stage: Stage,
        hardware: Hardware,
        init_from: OwnBundle | None,
        geometric: GeometricConstraint | None = None,
        cases: str = "",
        world: World = World(),
    ) -> Run:
        """A fresh run; weights from the recipe's seed, or from the bundle."""
        torch.manual_seed(recipe.seed)
        network = build_network(stage)
        if init_from is not None:
            network.load_state_dict(init_from.weights(stage.name))
        layout = torch.channels_last if recipe.network.dimensions == 2 else torch.channels_last_3d
        network = network.to(hardware.device).to(memory_format=layout)  # type: ignore[call-overload]
        choose_trainable(network, recipe.trainable)
        objective = Objective.of(recipe, hardware.device)
        sharpen = None
        if recipe.content is not None and recipe.content.trainable and objective.features is not None:
            sharpen = torch.optim.Adam(
                objective.features.parameters(), recipe.content.learning_rate, maximize=True
            )
        learner = Learner(
            recipe,
            hardware,
            world.share(network),
            objective,
            build_optimiser(recipe.optimiser, network),
            GradientClip(recipe.clip_at),
            geometric,
            sharpen,
        )
        return cls(stage, network, learner, Ema(network, recipe.ema), cases, world)

    @property
    def recipe(self) -> Recipe:
        """What is being trained."""
        return self.learner.recipe

    @property
    def hardware(self) -> Hardware:
        """The device and precision."""
        return self.learner.hardware

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint.

        Raises RecipeError if it was made by another recipe (the budget may change), from other cases or by
        another number of processes: the next samples would differ.
        """
        saved = load_checkpoint(path)
        mine = self.recipe.model_dump(mode="json")
        changed = sorted(key for key in mine if key not in MAY_CHANGE and mine[key] != saved.recipe.get(key))
        if changed:
            raise RecipeError(
                f"{path}: was made with another {changed[0]}; resume with the recipe in that folder, or "
                "start in another."
            )
        if (saved.cases, saved.processes) != (self.cases, self.world.size):
            raise RecipeError(
                f"{path}: was made from other cases or by another number of processes; resume with those, or "
                "start in another folder."
            )
        self.network.load_state_dict(saved.network)
        self.learner.optimiser.load_state_dict(saved.optimiser)
        if (
            saved.features is not None
            and self.learner.sharpen is not None
            and self.learner.objective.features is not None
        ):
            self.learner.objective.features.load_state_dict(saved.features["weights"])
            self.learner.sharpen.load_state_dict(saved.features["optimiser"])
        if self.learner.geometric is not None:
            self.learner.geometric.restore(path, saved.step)
        self.ema.weights = {name: tensor.to(self.hardware.device) for name, tensor in saved.ema.items()}
        self.learner.clip.mean, self.step, self.skipped, self.loss = (
            saved.clip_mean,
            saved.step,
            saved.skipped,
            saved.loss,
        )
        self.curve, self.before, self.seconds = LearningCurve(**saved.curve), saved.before, saved.seconds

    def start_clock(self) -> None:
        """Start counting training time."""
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

    def advance(self, feed: Iterator[Batch], spent: float) -> tuple[StepResult, float]:
        """One step; its result and the learning rate it ran with.

        spent : of the budget, the same for all processes.
        """
        recipe = self.recipe
        rate = learning_rate(
            recipe.optimiser.learning_rate, recipe.schedule, self.step, spent, self.curve.reductions
        )
        for group in self.learner.optimiser.param_groups:
            group["lr"] = rate
        waiting_since = time.monotonic()
        batches = [next(feed) for _ in range(recipe.accumulate)]
        self.waited += time.monotonic() - waiting_since
        numbers = [self.first_batch + ahead * self.world.size for ahead in range(recipe.accumulate)]
        result = self.learner.step(batches, [step_seed(recipe.seed, number) for number in numbers])
        self.step += 1
        self.skipped += result.skipped
        if not result.skipped:
            self.ema.update(self.network, self.step)
            self.loss = (
                result.loss
                if self.loss is None
                else LOSS_MEMORY * self.loss + (1 - LOSS_MEMORY) * result.loss
            )
        return result, rate

    @property
    def first_batch(self) -> int:
        """The number of this process's first batch of the next step; further ones follow in steps of
        `world.size`.
        """
        return self.step * self.recipe.accumulate * self.world.size + self.world.rank

    def save(self, path: Path, *, to_resume: bool = True) -> None:
        """Write a checkpoint; the duals of paper 1 only for one to be resumed.

        Raises FormatError when the disk is full.
        """
        self.elapsed()
        learner, features = self.learner, None
        if learner.sharpen is not None and learner.objective.features is not None:
            features = {
                "weights": learner.objective.features.state_dict(),
                "optimiser": learner.sharpen.state_dict(),
            }
        if learner.geometric is not None and to_resume:
            path.parent.mkdir(parents=True, exist_ok=True)
            learner.geometric.snapshot(path, self.step)
        save_checkpoint(
            Checkpoint(
                self.step,
                self.seconds,
                self.network.state_dict(),
                self.ema.weights,
                learner.optimiser.state_dict(),
                learner.clip.mean,
                self.skipped,
                self.loss,
                asdict(self.curve),
                features,
                self.recipe.model_dump(mode="json"),
                self.before,
                self.cases,
                self.world.size,
            ),
            path,
        )
        if learner.geometric is not None and to_resume:
            learner.geometric.forget(path, self.step)

    def averaged(self) -> nn.Module:
        """A copy of the network with the averaged weights, for scoring."""
        network = build_network(self.stage)
        network.load_state_dict(self.ema.weights)
        return network.to(self.hardware.device).eval()
