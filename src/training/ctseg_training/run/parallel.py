"""Several processes that train one network: torch's own DistributedDataParallel, started by
`torch.distributed.run`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

PATIENCE = timedelta(hours=12)  # the others wait while the leading process checks, validates and scores


@dataclass(frozen=True)
class World:
    """The processes that train together.

    size : how many. rank : the number of this one; 0 writes, validates and decides.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: str) -> World:
        """Join the group that the environment names (RANK, WORLD_SIZE, ...), with gloo on the processor and
        nccl on GPUs; without one, the process is alone.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=PATIENCE)
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def share(self, network: nn.Module) -> nn.Module:
        """`network` such that every backward leaves the mean gradient of all processes."""
        return network if self.size == 1 else DistributedDataParallel(network, find_unused_parameters=True)

    def from_leader(self, *numbers: float) -> tuple[float, ...]:
        """The numbers of the leading process, sent to all."""
        if self.size == 1:
            return numbers
        sent = torch.tensor(
            numbers, dtype=torch.float64, device="cuda" if distributed.get_backend() == "nccl" else "cpu"
        )
        distributed.broadcast(sent, 0)
        return tuple(sent.tolist())
