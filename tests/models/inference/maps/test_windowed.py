"""Windows against the identity, and against MONAI's inferer."""

from __future__ import annotations

from collections.abc import Generator

import pytest
import torch
from torch import Tensor

from ctseg_imaging.progress import finish
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.tiling import Tiling, window_starts
from ctseg_models.inference.maps.windowed import WindowedMaps, mirrored, sliding_window


def identity(x: Tensor, _: Arithmetic) -> Generator[float, None, Tensor]:
    yield 0.5
    yield 0.5
    return torch.cat([x[0], 1 - x[0]])


def position_dependent(x: Tensor) -> Tensor:
    """Not shift invariant, so the weights matter."""
    ramp = torch.linspace(0, 1, x.shape[-1])
    return torch.cat([x * ramp, x.flip(-2)], dim=1)


def as_steps(x: Tensor, _: Arithmetic) -> Generator[float, None, Tensor]:
    yield 1.0
    return position_dependent(x)[0]


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.8])
def test_the_identity_comes_back(overlap: float) -> None:
    image = torch.rand(1, 1, 13, 17, 21)
    maps = finish(
        sliding_window(identity, image, Tiling.spread((13, 17, 21), (8, 6, 10), overlap), 2, Arithmetic())
    ).tensor
    assert torch.allclose(maps, torch.cat([image[0], 1 - image[0]]), atol=1e-6)


def test_it_is_monais_gaussian_sliding_window() -> None:
    monai = pytest.importorskip("monai.inferers")
    image = torch.rand(1, 1, 13, 17, 21)
    expected = monai.sliding_window_inference(
        image, (8, 6, 10), 1, position_dependent, overlap=0.5, mode="gaussian"
    )
    maps = finish(
        sliding_window(as_steps, image, Tiling.spread((13, 17, 21), (8, 6, 10), 0.5), 2, Arithmetic())
    ).tensor
    assert torch.allclose(maps, expected[0], atol=1e-4)


def test_starts_by_hand() -> None:
    assert window_starts(21, 10, 0.5) == (0, 5, 10, 11)
    assert window_starts(20, 10, 0.5) == (0, 5, 10)
    assert window_starts(7, 10, 0.5) == (0,)


def test_a_window_larger_than_the_array_is_refused() -> None:
    with pytest.raises(ValueError, match="pad the array first"):
        Tiling.spread((5, 9, 9), (8, 6, 6), 0.5)


def test_the_shares_add_up() -> None:
    work = sliding_window(
        identity, torch.rand(1, 1, 13, 17, 21), Tiling.spread((13, 17, 21), (8, 6, 10), 0.5), 2, Arithmetic()
    )
    assert sum(work) == pytest.approx(1)


def test_slices_come_when_they_are_asked_for_and_go_when_they_are_forgotten() -> None:
    image, tiling = torch.rand(1, 1, 29, 7, 11), Tiling.spread((29, 7, 11), (8, 6, 10), 0.5)
    everything = finish(sliding_window(as_steps, image, tiling, 2, Arithmetic()))
    lazy = WindowedMaps(as_steps, image, tiling, 2, Arithmetic())
    shares = 0.0
    for low in range(0, 29, 3):
        high = min(29, low + 3)
        shares += sum(lazy.advance(high))
        for k in range(2):
            assert torch.allclose(lazy.part(k, low, high), everything.part(k, low, high), atol=1e-6)
        lazy.forget(low)
        assert lazy._sums.shape[1] <= 16  # two windows, not the whole
    assert shares == pytest.approx(1)
    with pytest.raises(ValueError, match="at hand"):
        lazy.part(0, 0, 2)


def test_mirrored_is_the_mean_over_the_flips() -> None:
    image = torch.rand(1, 1, 5, 7, 9)
    expected = torch.stack(
        [
            position_dependent(image.flip(axes))[0].flip([axis - 1 for axis in axes])
            for axes in ([], [2], [4], [2, 4])
        ]
    ).mean(0)
    assert torch.allclose(finish(mirrored(as_steps, (0, 2))(image, Arithmetic())), expected, atol=1e-6)
