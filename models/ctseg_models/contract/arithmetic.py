"""In which precision a network computes, and how much work it does between two yields."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch

from ctseg_imaging.geometry import Shape

SMALL_MAP = (
    4096 * 32
    # values: below this, converting to bf16 and back costs more than it saves, and oneDNN's bf16 is at its
    # weakest
)


@dataclass(frozen=True)
class Arithmetic:
    """How to compute. dtype : of large maps (float32, or bfloat16); small maps and the SCN's spatial part
    stay float32.

    step_flops : the work between two yields; the default is 0.02 to 0.1 s on two CPU cores. on_trial :
    whether it has still to be seen that the labels are those of float32.
    """

    dtype: torch.dtype = torch.float32
    step_flops: float = 1.5e10
    on_trial: bool = False

    def of(self, channels: int, size: Shape) -> torch.dtype:
        """The dtype of a map."""
        return self.dtype if channels * prod(size) >= SMALL_MAP else torch.float32
