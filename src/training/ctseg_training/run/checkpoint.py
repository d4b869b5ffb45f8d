"""The state of a run on disk: everything that the next step depends on."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ctseg_imaging.errors import RecipeError
from ctseg_imaging.formats.disk.atomic import atomic_path


@dataclass
class Checkpoint:
    """Everything that the next step depends on."""

    step: int  # how many are done
    seconds: float  # of training so far
    network: dict[str, Tensor]
    ema: dict[str, Tensor]
    optimiser: dict[str, Any]
    clip_mean: float | None
    skipped: int
    loss: float | None
    curve: dict[str, Any]  # the fields of a `LearningCurve`
    features: dict[str, Any] | None  # weights and optimiser of content features that are trained
    # recipe, cases, processes: to refuse resuming with others
    recipe: dict[str, Any]
    before: dict[str, float | None] | None
    cases: str
    processes: int


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write it atomically, replacing the last one. Raises FormatError when the disk is full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = {name: getattr(checkpoint, name) for name in checkpoint.__dataclass_fields__}  # no copies
    with atomic_path(path, overwrite=True) as temporary:
        torch.save(fields, temporary)


def load_checkpoint(path: Path) -> Checkpoint:
    """Tensors on the CPU; nothing in the file is executed. Raises RecipeError."""
    try:
        return Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError as error:
        raise RecipeError(
            f"{path}: does not exist, so there is nothing to resume; start without --resume."
        ) from error
    except (OSError, RuntimeError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise RecipeError(
            f"{path}: is not a checkpoint that this version can read; start again in another folder."
        ) from error
