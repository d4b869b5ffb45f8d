"""One training step of any method: supervised, with paper 1's duals or paper 4's adversary if the recipe has
them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ctseg_imaging.errors import RecipeError
from ctseg_models.inference.network.precision import bf16_is_faster
from ctseg_models.networks.outputs import final, named_outputs
from ctseg_training.data.feeding import Batch
from ctseg_training.losses.objective import Objective
from ctseg_training.recipes.schema import Recipe
from ctseg_training.run.constraint import GeometricConstraint
from ctseg_training.run.networks import as_seen, as_volumes
from ctseg_training.run.optimisation import GradientClip


@dataclass(frozen=True)
class Hardware:
    """The device and precision of a network."""

    device: str
    bf16: bool

    @classmethod
    def choose(cls, device: str, precision: str) -> Hardware:
        """device "auto": a CUDA GPU if there is one. precision "auto": bf16 if a short measurement shows that
        it is faster.
        """
        device = cls.device_of(device)
        try:
            torch.zeros(1, device=device)
        except (RuntimeError, AssertionError) as error:
            raise RecipeError(
                f"The device {device!r} cannot be used here; choose cpu, or install a torch built for it."
            ) from error
        return cls(device, precision == "bf16" or (precision == "auto" and bf16_is_faster(device)))

    @staticmethod
    def device_of(device: str) -> str:
        """The device that "auto" stands for here."""
        return device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class StepResult:
    """loss : the weighted sum, terms : each term's own value.

    skipped : the gradient was not finite and the weights are unchanged.
    """

    loss: float
    terms: dict[str, float]
    norm: float
    skipped: bool


def step_seed(seed: int, number: int) -> int:
    """The seed of the network's randomness (dropout) in batch `number`, so a resumed run equals an
    uninterrupted one.
    """
    return (seed * 1_000_003 + number * 7919 + 1) % 2**63


@dataclass(frozen=True)
class Learner:
    """The objects of a step.

    network : the callable, which for several processes wraps the network. geometric : paper 1's duals.
    sharpen : the optimiser of content features that are trained against the network (paper 4's min-max game).
    """

    recipe: Recipe
    hardware: Hardware
    network: nn.Module
    objective: Objective
    optimiser: torch.optim.Optimizer
    clip: GradientClip
    geometric: GeometricConstraint | None = None
    sharpen: torch.optim.Optimizer | None = None

    def step(self, batches: Sequence[Batch], seeds: Sequence[int]) -> StepResult:
        """Forward, loss and backward of every batch, then clip and one update.

        seeds : of each batch's own randomness (dropout).
        """
        self.network.train()
        self.optimiser.zero_grad()
        if self.sharpen is not None:
            self.sharpen.zero_grad()
        total, terms = 0.0, dict[str, float]()
        buffers = [buffer.detach().clone() for buffer in self.network.buffers()]  # of batch norms
        answers = []
        for number, (batch, seed) in enumerate(zip(batches, seeds, strict=True)):
            torch.manual_seed(seed)
            apart = number < len(batches) - 1 and isinstance(self.network, DistributedDataParallel)
            with self.network.no_sync() if apart else nullcontext():  # type: ignore[operator]
                loss, values, answer = self._loss(batch)
                (loss / len(batches)).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach()) / len(batches)
            terms = {name: terms.get(name, 0.0) + value / len(batches) for name, value in values.items()}
            answers.append(answer)
        norm = self.clip(self.network.parameters())
        usable = math.isfinite(norm)
        if not usable:
            for buffer, before in zip(self.network.buffers(), buffers, strict=True):
                buffer.copy_(before)
        else:
            self.optimiser.step()
            if self.sharpen is not None:
                self.sharpen.step()
            if self.geometric is not None:
                for batch, answer in zip(batches, answers, strict=True):
                    self.geometric.update(answer, batch)
        return StepResult(total, terms, norm, not usable)

    def _loss(self, batch: Batch) -> tuple[Tensor, dict[str, float], Tensor]:
        """The objective of a batch, its terms, and the probabilities (B, K, Z, Y, X) detached."""
        device, dimensions = self.hardware.device, self.recipe.network.dimensions
        image, target, present = (part.to(device, non_blocking=True) for part in batch[:3])
        seen = as_seen(image, target, present, dimensions)
        layout = torch.channels_last if dimensions == 2 else torch.channels_last_3d
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=self.hardware.bf16):
            returned = self.network(seen.image.contiguous(memory_format=layout))
        outputs = named_outputs(returned, present.shape[1])
        loss, terms = self.objective(outputs, seen)
        if self.geometric is None:
            return loss, terms, torch.empty(0)
        s = as_volumes(final(outputs).probabilities(), len(image), dimensions)
        pull = self.geometric.term(s, batch)
        return loss + pull, terms | {"geometric": float(pull.detach())}, s.detach()
