"""One training step. Methods that train otherwise (a dual variable, an adversary) get a step function of their own here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ctseg_imaging.errors import RecipeError
from ctseg_models.inference.arithmetic import bf16_is_faster
from ctseg_training.losses.objective import objective
from ctseg_training.networks import named_outputs
from ctseg_training.optimisation import GradientClip
from ctseg_training.recipes.schema import Recipe


@dataclass(frozen=True)
class Hardware:
    """Where and how precisely the network computes."""

    device: str
    bf16: bool

    @classmethod
    def choose(cls, device: str, precision: str) -> Hardware:
        """device "auto": a CUDA GPU if there is one. precision "auto": bf16 where a short measurement shows that it is faster."""
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            torch.zeros(1, device=device)
        except (RuntimeError, AssertionError) as error:
            raise RecipeError(f"The device {device!r} cannot be used here; choose cpu, or install a torch built for it.") from error
        return cls(device, precision == "bf16" or (precision == "auto" and bf16_is_faster(device)))


@dataclass(frozen=True)
class StepResult:
    """loss : the weighted sum, terms : each term's own value. skipped : the gradient was not finite and the weights stay as they were."""

    loss: float
    terms: dict[str, float]
    norm: float
    skipped: bool


def step_seed(seed: int, step: int) -> int:
    """The seed of the network's own randomness (dropout) at `step`: what makes a resumed run equal an uninterrupted one."""
    return (seed * 1_000_003 + step * 7919 + 1) % 2**63


def supervised_step(network: nn.Module, batch: tuple[Tensor, Tensor, Tensor], recipe: Recipe, optimiser: torch.optim.Optimizer,
                    clip: GradientClip, hardware: Hardware) -> StepResult:
    """Forward, loss, backward, clip, update. batch : image (B, C, Z, Y, X), target (B, Z, Y, X), present (B, K)."""
    image, target, present = (part.to(hardware.device) for part in batch)
    network.train()
    image = image.contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast(torch.device(hardware.device).type, dtype=torch.bfloat16, enabled=hardware.bf16):
        returned = network(image)
    loss, terms = objective(named_outputs(returned), target, present, recipe.losses)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = clip(network.parameters())
    usable = math.isfinite(norm)
    if usable:
        optimiser.step()
    return StepResult(float(loss.detach()), terms, norm, not usable)
