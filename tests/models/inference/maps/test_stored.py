"""Class maps in memory, in half precision and in a nameless file; values that are not finite; a full disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import finish, scaled
from ctseg_models.bundles.monai.bundle import read_monai
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.tiling import Tiling
from ctseg_models.contract.upright import Upright
from ctseg_models.ensembles.members import run_members
from ctseg_models.inference.maps import scratch, stored
from ctseg_models.inference.maps.stored import (
    CutMaps,
    FileMaps,
    LabelMaps,
    MemoryMaps,
    gathered,
    held_bytes,
    room_for,
)
from ctseg_models.inference.maps.windowed import WindowedMaps
from tests.models.monai_making import monai_bundle, smooth_ct

SHAPE = (3, 21, 8, 11)


def steps(x: Tensor, _: Arithmetic) -> Generator[float, None, Tensor]:
    yield 1.0
    return x[0]


def windowed(image: Tensor) -> WindowedMaps:
    return WindowedMaps(steps, image, Tiling.spread((21, 8, 11), (8, 8, 10), 0.5), 3, Arithmetic())


@pytest.mark.parametrize(
    ("in_memory", "halved", "kind", "tolerance"),
    [(10**9, 10**9, MemoryMaps, 1e-6), (0, 10**9, MemoryMaps, 1e-3), (0, 0, FileMaps, 1e-3)],
)
def test_gathered_maps_are_the_maps_wherever_they_lie(
    in_memory: int, halved: int, kind: type, tolerance: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "IN_MEMORY", in_memory)
    monkeypatch.setattr(stored, "HALVED", halved)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    image = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(2))
    kept = finish(gathered(windowed(image)))
    assert isinstance(kept, kind) and kept.shape == SHAPE
    for k in (2, 0, 1):
        assert torch.allclose(kept.part(k, 5, 19), image[0, k, 5:19], atol=5 * tolerance)
    cut = CutMaps(kept, (2, 1, 3), (20, 8, 9))
    assert cut.shape == (3, 18, 7, 6)
    assert torch.allclose(cut.part(1, 3, 7), image[0, 1, 5:9, 1:8, 3:9], atol=5 * tolerance)
    assert not list(tmp_path.rglob("maps-*"))  # no name is left behind


def test_what_other_maps_hold_leaves_less_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "IN_MEMORY", 1000)
    monkeypatch.setattr(stored, "HALVED", 1200)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    first, second, third = room_for((2, 3, 4, 5)), room_for((2, 3, 4, 5), 600), room_for((2, 3, 4, 5), 1000)
    assert isinstance(first, MemoryMaps) and first.tensor.dtype == torch.float32
    assert isinstance(second, MemoryMaps) and second.tensor.dtype == torch.float16
    assert isinstance(third, FileMaps)
    assert [held_bytes(one) for one in (first, second, third, CutMaps(first, (0, 1, 2), (3, 4, 5)))] == [
        480,
        240,
        0,
        4 * 2 * 3 * 3 * 3,
    ]
    assert (
        held_bytes(LabelMaps(torch.zeros(3, 4, 5, dtype=torch.int32), tuple(range(105)))) == 4 * 3 * 4 * 5
    )  # however many labels


def test_the_members_of_an_ensemble_share_one_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundles = [read_monai(monai_bundle(tmp_path / name)) for name in ("one", "two", "three")]
    upright = Upright.of(smooth_ct())
    alone = finish(run_members(bundles[:1], upright, None, "cpu", Arithmetic()))[0].maps.maps
    assert isinstance(alone, MemoryMaps)
    size = alone.tensor.nbytes
    monkeypatch.setattr(stored, "IN_MEMORY", size)
    monkeypatch.setattr(stored, "HALVED", 2 * size - 1)
    found = [member.maps.maps for member in finish(run_members(bundles, upright, None, "cpu", Arithmetic()))]
    assert [held_bytes(one) for one in found] == [size, size // 2, 0]
    assert torch.allclose(found[2].part(1, 0, 4), alone.part(1, 0, 4), atol=2e-3)


def test_a_disk_without_room_is_an_error_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path)
    monkeypatch.setattr(scratch, "_take", full)
    with pytest.raises(BundleError, match=r"no room for 0\.0 GB .*No space left on device.*smaller region"):
        FileMaps(SHAPE)
    assert not list(tmp_path.iterdir())


def test_the_room_is_taken_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path)
    with scratch.unnamed_file(3_000_001) as file:
        assert os.fstat(file.fileno()).st_size == 3_000_001
        assert os.fstat(file.fileno()).st_blocks * 512 >= 3_000_001
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    with scratch.unnamed_file(2_500_000) as file:
        assert os.fstat(file.fileno()).st_size == 2_500_000 and file.tell() == 0


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_values_that_are_not_finite_are_no_background(wrong: float) -> None:
    image = torch.zeros(1, *SHAPE)
    image[0, 1, 13, 4, 5] = wrong
    with pytest.raises(BundleError, match="not finite"):
        finish(gathered(windowed(image)))


def test_closing_a_scaled_part_closes_the_part() -> None:
    closed = []

    def part() -> Generator[float, None, int]:
        try:
            yield 0.5
            yield 0.5
            return 7
        finally:
            closed.append(True)

    work = scaled(part(), 0.1)
    assert next(work) == pytest.approx(0.05)
    work.close()
    assert closed == [True]
    assert finish(scaled(part(), 0.1)) == 7
