"""How a network computes: its precision, and how much work it does between two yields."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch

from ctseg_imaging.geometry import Shape

# Values of a map: below this, converting to bf16 and back costs more than it saves.
SMALL_MAP = 4096 * 32


@dataclass(frozen=True)
class Arithmetic:
    """The number type of a network's maps, where they are held, and the work between two yields."""

    dtype: torch.dtype = torch.float32  # of large maps; small ones and the SCN's spatial part stay float32
    step_flops: float = 1.5e10  # between two yields: 0.02 to 0.1 s on two CPU cores
    on_trial: bool = False  # whether its labels have yet to be compared with those of float32

    def of(self, channels: int, size: Shape) -> torch.dtype:
        """The dtype of a map of `channels` times `size` (z, y, x) values."""
        return self.dtype if channels * prod(size) >= SMALL_MAP else torch.float32
