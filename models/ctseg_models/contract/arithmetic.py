"""How a network computes: its precision, its memory, and how much work it does between two yields."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from ctseg_imaging.geometry import Shape

# Values of a map: below this, converting to bf16 and back costs more than it saves.
SMALL_MAP = 4096 * 32


class MapMemory(Protocol):
    """Where the memory of a network's maps comes from."""

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        """As torch.empty, contiguous."""

    def empty_map(
        self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, layout: torch.memory_format
    ) -> Tensor:
        """The same for a map (B, C, ...) in one of torch's layouts."""

    def free(self) -> None:
        """Release what no tensor uses."""


class TorchMemory:
    """New memory for every map."""

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        """torch.empty."""
        return torch.empty(shape, dtype=dtype, device=device)

    def empty_map(
        self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, layout: torch.memory_format
    ) -> Tensor:
        """torch.empty in this layout."""
        return torch.empty(shape, dtype=dtype, device=device, memory_format=layout)

    def free(self) -> None:
        """Nothing is kept."""


@dataclass(frozen=True)
class Arithmetic:
    """The number type of a network's maps, where they are held, and the work between two yields."""

    dtype: torch.dtype = torch.float32  # of large maps; small ones and the SCN's spatial part stay float32
    step_flops: float = 1.5e10  # between two yields: 0.02 to 0.1 s on two CPU cores
    on_trial: bool = False  # whether its labels have yet to be compared with those of float32
    memory: MapMemory = field(default_factory=TorchMemory, compare=False, repr=False)

    def of(self, channels: int, size: Shape) -> torch.dtype:
        """The dtype of a map of `channels` times `size` (z, y, x) values."""
        return self.dtype if channels * prod(size) >= SMALL_MAP else torch.float32
