"""Memory that large maps pass on to the next ones."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ctseg_models.inference.network import buffers
from ctseg_models.inference.network.buffers import BufferPool

CPU = torch.device("cpu")
SHAPE = (6, 30, 50, 1000)  # 18 MB in bfloat16, 36 MB in float32


@pytest.fixture
def pool() -> BufferPool:
    return BufferPool()


def test_a_map_lies_where_the_last_one_lay(pool: BufferPool) -> None:
    first = pool.empty(SHAPE, torch.float32, CPU)
    place = first.data_ptr()
    first.fill_(7)
    del first
    again = pool.empty(SHAPE, torch.float32, CPU)
    assert again.data_ptr() == place
    assert again.shape == SHAPE
    assert again.is_contiguous()
    half = pool.empty((2, *SHAPE), torch.bfloat16, CPU)  # of the same size, while `again` lives
    assert half.data_ptr() != place


VIEWS: dict[str, Callable[[torch.Tensor], Any]] = {
    "slice": lambda x: x[2:3],
    "channels last": lambda x: x.movedim(-1, 0)[None],
    "numpy": lambda x: x[1:].numpy(),
    "another type": lambda x: x.view(torch.int32)[5],
}


@pytest.mark.parametrize("view", list(VIEWS))
def test_memory_that_a_view_looks_at_is_not_given_away(view: str, pool: BufferPool) -> None:
    first = pool.empty(SHAPE, torch.float32, CPU)
    first.fill_(7)
    with torch.inference_mode():
        kept = VIEWS[view](first)
    seven = torch.as_tensor(kept).clone()
    del first
    gc.collect()
    pool.empty(SHAPE, torch.float32, CPU).fill_(9)
    assert torch.equal(torch.as_tensor(kept), seven)


def test_a_much_larger_block_is_left_to_larger_maps(pool: BufferPool) -> None:
    large = pool.empty((4, *SHAPE), torch.float32, CPU)
    place = large.data_ptr()
    del large
    assert pool.empty(SHAPE, torch.float32, CPU).data_ptr() != place


def test_what_nobody_uses_is_limited_and_can_be_given_back() -> None:
    pool = BufferPool(kept=50_000_000)
    sizes = [40_000_000, 60_000_000, 90_000_000, 140_000_000]
    for size in sizes:
        pool.empty((size,), torch.uint8, CPU)
    assert sum(len(block.memory) for block in pool.blocks if block.is_free) <= 50_000_000 + sizes[-1]
    used = pool.empty((140_000_000,), torch.uint8, CPU)
    pool.free()
    assert [len(block.memory) for block in pool.blocks] == [140_000_000]
    assert used.numel() == 140_000_000


def test_without_memory_torch_raises_its_error(pool: BufferPool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(size: int) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(buffers, "_memory", refuse)
    assert pool.empty(SHAPE, torch.float32, CPU).shape == SHAPE
    with pytest.raises(RuntimeError, match="alloc"):
        pool.empty((1 << 50,), torch.float32, CPU)
