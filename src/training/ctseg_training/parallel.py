"""Several processes that train one network: torch's own DistributedDataParallel, started by `torch.distributed.run`."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class World:
    """size : how many processes. rank : which one this is; 0 writes, validates and decides."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: str) -> World:
        """The group that the environment names (RANK, WORLD_SIZE, ...), gloo on the processor and nccl on GPUs; alone without one."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def share(self, network: nn.Module) -> nn.Module:
        """`network` such that every backward leaves the mean gradient of all processes."""
        return network if self.size == 1 else DistributedDataParallel(network)

    def told(self, *numbers: int) -> tuple[int, ...]:
        """What the leading process says."""
        if self.size == 1:
            return numbers
        spoken = torch.tensor(numbers, device="cuda" if distributed.get_backend() == "nccl" else "cpu")
        distributed.broadcast(spoken, 0)
        return tuple(int(number) for number in spoken)
