"""Statistics of a volume against numpy over the whole array, and independent of the segmented part."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import finish
from ctseg_models.contract.lattice import Lattice
from ctseg_models.contract.plan import Intensity, StagePlan
from ctseg_models.inference.input.intensities import normalise, settle
from ctseg_models.inference.input.preprocess import network_input


@pytest.fixture
def volume() -> np.ndarray:
    values = np.random.default_rng(0).gamma(2.0, 300.0, (7, 8, 9))
    values[:2] = 0
    return values.astype(np.float32)


@pytest.mark.parametrize("statistics", ["minmax", "max", "zscore", "zscore_nonzero"])
@pytest.mark.parametrize(
    "clip", [{}, {"clip_low": 20.0, "clip_high": 700.0}, {"clip_quantiles": (0.1, 0.95)}]
)
def test_statistics_are_numpys(volume: np.ndarray, statistics: str, clip: dict) -> None:
    intensity = Intensity(statistics=statistics, **clip)
    got = normalise(torch.from_numpy(volume).clone(), settle(intensity, volume)).numpy()
    low, high = (
        np.quantile(volume, clip["clip_quantiles"])
        if "clip_quantiles" in clip
        else (clip.get("clip_low", -np.inf), clip.get("clip_high", np.inf))
    )
    clipped = np.clip(volume.astype(np.float64), low, high)
    counted = clipped[volume != 0] if statistics == "zscore_nonzero" else clipped
    shift, scale = {
        "minmax": (clipped.min(), np.ptp(clipped)),
        "max": (0.0, clipped.max()),
        "zscore": (counted.mean(), counted.std()),
        "zscore_nonzero": (counted.mean(), counted.std()),
    }[statistics]
    assert got == pytest.approx((clipped - shift) / scale, abs=1e-5)


def test_what_is_not_finite_does_not_count(volume: np.ndarray) -> None:
    broken = volume.copy()
    broken[3, 2, 1], broken[4, 4, 4] = np.nan, np.inf
    good = np.isfinite(broken)
    settled = settle(Intensity(statistics="zscore"), broken)
    assert (settled.shift, settled.scale) == pytest.approx(
        (broken[good].astype(float).mean(), broken[good].astype(float).std()), rel=1e-6
    )


def test_a_part_is_normalised_as_the_whole(volume: np.ndarray) -> None:
    plan = StagePlan("segment", (Intensity(statistics="zscore"),), (1.0, 1.0, 1.0))
    whole = finish(
        network_input(volume, (1.0, 1.0, 1.0), Lattice((0, 0, 0), (1.0, 1.0, 1.0), (7, 8, 9)), plan)
    )
    part = finish(
        network_input(volume, (1.0, 1.0, 1.0), Lattice((2, 3, 1), (1.0, 1.0, 1.0), (4, 3, 5)), plan)
    )
    assert torch.allclose(part, whole[:, :, 2:6, 3:6, 1:6], atol=1e-5)


def test_nothing_to_normalise_by_is_a_sentence(volume: np.ndarray) -> None:
    with pytest.raises(BundleError, match="no value"):
        settle(Intensity(statistics="zscore_nonzero"), np.zeros_like(volume))


def test_a_constant_image_becomes_zeros() -> None:
    flat = np.full((3, 4, 5), 7.0, np.float32)
    assert not normalise(torch.from_numpy(flat).clone(), settle(Intensity(statistics="zscore"), flat)).any()


def test_statistics_that_are_not_settled_are_refused(volume: np.ndarray) -> None:
    with pytest.raises(ValueError, match="settle"):
        normalise(torch.from_numpy(volume), Intensity(statistics="minmax"))


def test_two_ways_to_clip_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        Intensity(clip_low=0.0, clip_quantiles=(0.1, 0.9))
    with pytest.raises(ValueError, match="must rise"):
        Intensity(clip_quantiles=(0.9, 0.1))
