"""u and w on disk: what comes back, what is refused, and a killed run that ends as the one that went
through.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ctseg_imaging.errors import RecipeError
from ctseg_training.proximal import DRSettings, DualStore, update

SHAPE = (2, 5, 6)


def numbers(seed: int, count: int = 2) -> torch.Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


def test_begins_with_zeros_and_gives_back_what_was_put(tmp_path: Path) -> None:
    store = DualStore(tmp_path / "run", SHAPE, samples=5)
    u, w = store.get([0, 4])
    assert u.shape == (2, *SHAPE) and u.dtype == torch.float32 and not u.any() and not w.any()
    store.put(torch.tensor([3, 1]), numbers(0), numbers(1))
    store.flush()
    u, w = DualStore(tmp_path / "run", SHAPE, samples=5).get([1, 3, 2])
    np.testing.assert_array_equal(
        u[:2].numpy(), numbers(0).numpy()[::-1].astype(np.float16).astype(np.float32)
    )
    np.testing.assert_array_equal(
        w[:2].numpy(), numbers(1).numpy()[::-1].astype(np.float16).astype(np.float32)
    )
    assert not u[2].any()


def test_what_get_gave_does_not_change_with_the_file(tmp_path: Path) -> None:
    store = DualStore(tmp_path, SHAPE, samples=2)
    u, _ = store.get([0, 1])
    store.put([0, 1], numbers(0), numbers(1))
    assert not u.any()


def test_another_shape_is_refused(tmp_path: Path) -> None:
    DualStore(tmp_path, SHAPE, samples=3)
    for shape, samples in (((2, 6, 5), 3), (SHAPE, 4)):
        with pytest.raises(RecipeError, match="another folder"):
            DualStore(tmp_path, shape, samples)
    (tmp_path / "duals.f16").write_bytes(b"\x00 no header")
    with pytest.raises(RecipeError, match="can read"):
        DualStore(tmp_path, SHAPE, 3)


def test_numbers_beyond_half_precision_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    store = DualStore(tmp_path, SHAPE, samples=2)
    with pytest.raises(ValueError, match="half precision"):
        store.put([0, 1], numbers(0), numbers(1) * 1e6)
    assert not store.get([0, 1])[0].any()


def test_snapshot_holds_while_training_goes_on_and_restore_returns_to_it(tmp_path: Path) -> None:
    store = DualStore(tmp_path, SHAPE, samples=2)
    store.put([0, 1], numbers(0), numbers(1))
    assert store.step is None
    store.snapshot(tmp_path / "duals-7.snapshot", step=7)
    assert store.step == 7
    kept = store.get([0, 1])
    store.put([1], numbers(2, 1), numbers(3, 1))
    assert store.step is None
    assert (
        DualStore(tmp_path, SHAPE, samples=2).step is None
    )  # a run that was killed here sees that it has to restore
    store.restore(tmp_path / "duals-7.snapshot", step=7)
    assert store.step == 7
    for back, before in zip(store.get([0, 1]), kept, strict=True):
        assert torch.equal(back, before)
    store.put([0], numbers(4, 1), numbers(5, 1))  # and the snapshot is a copy, not the file itself
    store.restore(tmp_path / "duals-7.snapshot", step=7)
    assert torch.equal(store.get([0])[0], kept[0][:1])


def test_restore_refuses_another_step_and_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    store = DualStore(tmp_path, SHAPE, samples=2)
    store.snapshot(tmp_path / "old.snapshot", step=3)
    store.put([0, 1], numbers(0), numbers(1))
    with pytest.raises(RecipeError, match="belongs to"):
        store.restore(tmp_path / "old.snapshot", step=4)
    with pytest.raises(RecipeError, match="can read"):
        store.restore(tmp_path / "none.snapshot", step=3)
    assert store.get([0, 1])[0].any()


def test_clear_starts_over(tmp_path: Path) -> None:
    store = DualStore(tmp_path, SHAPE, samples=2)
    store.put([0, 1], numbers(0), numbers(1))
    store.clear()
    assert not store.get([0, 1])[0].any() and store.step == 0


def test_a_disk_without_room_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="free some space"):
        DualStore(tmp_path, (5, 4096, 4096, 4096), samples=10_000)
    assert not (tmp_path / "duals.f16").exists()


def test_a_run_killed_and_continued_ends_as_the_one_that_went_through(tmp_path: Path) -> None:
    """Six steps of two samples; the second run stops after the fifth and continues from its snapshot after
    the third.
    """
    y = torch.zeros(4, 5, 6, dtype=torch.int64)
    y[:, 1:4, 2:5] = 1

    def steps(store: DualStore, first: int, last: int) -> None:
        for step in range(first, last):
            drawn = torch.randperm(4, generator=torch.Generator().manual_seed(step))[:2]
            s = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(100 + step)).softmax(1)
            store.put(drawn, *update(s, y[drawn], *store.get(drawn), DRSettings(max_iterations=30)))

    through = DualStore(tmp_path / "through", SHAPE, samples=4)
    steps(through, 0, 6)
    killed = DualStore(tmp_path / "killed", SHAPE, samples=4)
    steps(killed, 0, 3)
    killed.snapshot(tmp_path / "killed" / "duals-3.snapshot", step=3)
    steps(killed, 3, 5)
    killed.flush()
    again = DualStore(tmp_path / "killed", SHAPE, samples=4)
    again.restore(tmp_path / "killed" / "duals-3.snapshot", step=3)
    steps(again, 3, 6)
    for one, other in zip(through.get(range(4)), again.get(range(4)), strict=True):
        assert torch.equal(one, other)
        assert one.any()
