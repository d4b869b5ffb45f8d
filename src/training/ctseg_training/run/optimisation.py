"""Optimiser, learning rate, gradient clipping, and the choice of trained weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ctseg_training.recipes.schema import Optimiser, Schedule

CLIP_MEMORY = 0.99  # of the moving mean of the gradient's norm


def build_optimiser(settings: Optimiser, network: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser over the trained weights."""
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if settings.kind == "sgd":
        return torch.optim.SGD(
            weights,
            settings.learning_rate,
            settings.momentum,
            weight_decay=settings.weight_decay,
            nesterov=settings.nesterov,
        )
    kind: type[torch.optim.Adam] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.kind]
    return kind(weights, lr=settings.learning_rate, betas=settings.betas, weight_decay=settings.weight_decay)


def learning_rate(base: float, schedule: Schedule, step: int, spent: float, reductions: int = 0) -> float:
    """At `step` (from 0).

    spent : share of the budget used up, 0..1. reductions : the number of plateaus so far.
    """
    warmup = min(1.0, (step + 1) / schedule.warmup_steps) if schedule.warmup_steps else 1.0
    left = max(0.0, 1 - spent)
    shares: dict[str, float] = {
        "constant": 1.0,
        "linear": left,
        "poly": left**schedule.power,
        "cosine": 0.5 * (1 + math.cos(math.pi * (1 - left))),
        "plateau": schedule.factor**reductions,
    }
    return base * warmup * shares[schedule.kind]


def choose_trainable(network: nn.Module, part: str) -> None:
    """Freeze all but `part`: "all", "decoder" (expanding blocks and heads) or "head" (the 1x1x1 predictions).

    By the names of the modules, this project's and MONAI's; a network with other names for them is added
    here.
    """
    for name, parameter in network.named_parameters():
        words = name.split(".")
        head = "prediction" in words or "output_block" in words
        decoder = head or any(word.startswith(("expanding", "up")) for word in words)
        parameter.requires_grad_({"all": True, "decoder": decoder, "head": head}[part])


class GradientClip:
    """Clips the gradient's norm at `factor` times its moving mean.

    Source: the training of paper 5, after its authors' program.
    """

    def __init__(self, factor: float | None) -> None:
        self.factor = factor
        self.mean: float | None = None

    def __call__(self, parameters: Iterable[Tensor]) -> float:
        """Clip in place and return the norm before.

        If it is not finite, nothing is changed and the step has to be skipped.
        """
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients))
        if not math.isfinite(norm) or self.factor is None:
            return norm
        kept = norm
        if self.mean is not None and norm > self.factor * self.mean:
            kept = self.factor * self.mean
            torch._foreach_mul_(gradients, kept / norm)
        self.mean = kept if self.mean is None else CLIP_MEMORY * self.mean + (1 - CLIP_MEMORY) * kept
        return norm
