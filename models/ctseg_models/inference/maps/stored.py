"""Class maps read slice by slice: slices along z become available, are read, and are forgotten."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import torch
from torch import Tensor

from ctseg_models.contract.maps import Maps
from ctseg_models.inference.maps.scratch import unnamed_file

IN_MEMORY = 1_000_000_000  # bytes: float32 up to here
HALVED = 2_000_000_000  # bytes in float16 up to here, beyond that in a temporary file
SLICES_AT_ONCE = 16


class MemoryMaps:
    """Maps in one tensor (K, z, y, x) of any floating-point type on any device."""

    pending = False

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(K, z, y, x)."""
        k, z, y, x = self.tensor.shape
        return k, z, y, x

    def advance(self, high: int) -> Generator[float, None, None]:
        """All slices are available."""
        yield from ()

    def forget(self, low: int) -> None:
        """Nothing is forgotten."""

    def part(self, k: int, low: int, high: int) -> Tensor:
        """Slices [low, high) of map k: (high - low, y, x) float32."""
        return self.tensor[k, low:high].float().cpu()

    def write(self, low: int, slices: Tensor) -> None:
        """Write slices (K, n, y, x) from `low` on."""
        self.tensor[:, low : low + slices.shape[1]] = slices


class FileMaps:
    """Maps as float16 in a nameless temporary file that lives as long as this object."""

    pending = False

    def __init__(self, shape: tuple[int, int, int, int]) -> None:
        self.shape = shape
        self._plane = shape[2] * shape[3]
        self._file = unnamed_file(2 * int(np.prod(shape, dtype=np.int64)))

    def advance(self, high: int) -> Generator[float, None, None]:
        """All slices are available."""
        yield from ()

    def forget(self, low: int) -> None:
        """Nothing is forgotten."""

    def part(self, k: int, low: int, high: int) -> Tensor:
        """Slices [low, high) of map k: (high - low, y, x) float32."""
        self._file.seek(2 * self._plane * (k * self.shape[1] + low))
        read = np.fromfile(self._file, np.float16, (high - low) * self._plane)
        return torch.from_numpy(read.reshape(high - low, *self.shape[2:]).astype(np.float32))

    def write(self, low: int, slices: Tensor) -> None:
        """Write slices (K, n, y, x) from `low` on."""
        for k, one in enumerate(slices.half().numpy()):
            self._file.seek(2 * self._plane * (k * self.shape[1] + low))
            self._file.write(np.ascontiguousarray(one).data)
        self._file.flush()


class LabelMaps:
    """Maps of 0 and 1 for `values` of an array of `labels` (z, y, x), made when they are read."""

    pending = False

    def __init__(self, labels: Tensor, values: tuple[int, ...]) -> None:
        self.labels, self._values = labels, values
        z, y, x = labels.shape
        self.shape = (len(values), z, y, x)

    def advance(self, high: int) -> Generator[float, None, None]:
        """All slices are available."""
        yield from ()

    def forget(self, low: int) -> None:
        """Nothing is forgotten."""

    def part(self, k: int, low: int, high: int) -> Tensor:
        """Slices [low, high) of map k: (high - low, y, x) float32."""
        return (self.labels[low:high] == self._values[k]).float()


def room_for(shape: tuple[int, int, int, int], taken: int = 0) -> MemoryMaps | FileMaps:
    """Storage for maps of this shape that are read repeatedly. taken : bytes of memory that others hold."""
    count = int(np.prod(shape, dtype=np.int64))
    if taken + 4 * count <= IN_MEMORY:
        return MemoryMaps(torch.empty(shape))
    return (
        MemoryMaps(torch.empty(shape, dtype=torch.float16))
        if taken + 2 * count <= HALVED
        else FileMaps(shape)
    )


def held_bytes(maps: Maps) -> int:
    """The bytes of memory that stored maps hold."""
    if isinstance(maps, FileMaps):
        return 0
    if isinstance(maps, LabelMaps):
        return maps.labels.nbytes
    return (
        maps.tensor.nbytes if isinstance(maps, MemoryMaps) else 4 * int(np.prod(maps.shape, dtype=np.int64))
    )


def gathered(
    maps: Maps, room: MemoryMaps | FileMaps | None = None
) -> Generator[float, None, MemoryMaps | FileMaps]:
    """`maps` with every slice computed, stored in `room`; yields shares of the work."""
    if room is None:
        room = room_for(maps.shape)
    depth = maps.shape[1]
    for low in range(0, depth, SLICES_AT_ONCE):
        high = min(depth, low + SLICES_AT_ONCE)
        yield from maps.advance(high)
        room.write(low, torch.stack([maps.part(k, low, high) for k in range(maps.shape[0])]))
        maps.forget(high)
    return room


class CutMaps:
    """The voxels [start, stop), (z, y, x), of other maps, without their padding."""

    def __init__(self, maps: Maps, start: tuple[int, int, int], stop: tuple[int, int, int]) -> None:
        self._maps, self._start, self._stop = maps, start, stop
        z, y, x = (b - a for a, b in zip(start, stop, strict=True))
        self.shape = (maps.shape[0], z, y, x)

    @property
    def pending(self) -> bool:
        """Whether some slices have not been computed yet."""
        return self._maps.pending

    def advance(self, high: int) -> Generator[float, None, None]:
        """Compute the slices below `high`."""
        return self._maps.advance(self._start[0] + high if high < self.shape[1] else self._maps.shape[1])

    def forget(self, low: int) -> None:
        """Allow the memory of the slices below `low` to be reused."""
        self._maps.forget(self._start[0] + low)

    def part(self, k: int, low: int, high: int) -> Tensor:
        """Slices [low, high) of map k: (high - low, y, x) float32."""
        z, y, x = self._start
        return self._maps.part(k, z + low, z + high)[:, y : self._stop[1], x : self._stop[2]]
