"""Resampling against brute-force integrals, torch's own area interpolation, and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from torch.nn import functional as F

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import finish
from ctseg_models.contract.lattice import Lattice
from ctseg_models.contract.plan import Intensity, StagePlan
from ctseg_models.inference.input.intensities import normalise, settle
from ctseg_models.inference.input.preprocess import axis_weights, network_input, resample_box


@given(
    n=st.integers(3, 12),
    spacing=st.floats(0.5, 2),
    low=st.floats(-6, 6),
    factor=st.floats(1.05, 4),
    n_out=st.integers(1, 6),
)
def test_area_is_the_mean_over_the_output_voxel(
    n: int, spacing: float, low: float, factor: float, n_out: int
) -> None:
    values = np.random.default_rng(n).normal(size=n)
    weights = axis_weights(n, spacing, low, factor * spacing, n_out)
    fine = 4000
    for j, row in enumerate(weights):
        points = low + factor * spacing * (j + (np.arange(fine) + 0.5) / fine)
        centre = low + factor * spacing * (j + 0.5)
        inside = (points > 0) & (points < n * spacing)
        if 1e-3 < centre < n * spacing - 1e-3:
            expected = values[np.clip((points[inside] / spacing).astype(int), 0, n - 1)].mean()
            assert row @ values == pytest.approx(expected, abs=0.02)
            assert row.sum() == pytest.approx(1, abs=1e-5)
        elif centre < -1e-3 or centre > n * spacing + 1e-3:
            assert not row.any()


def test_a_whole_number_of_voxels_is_torchs_area_interpolation() -> None:
    volume = np.random.default_rng(1).integers(-1000, 1000, (12, 20, 18)).astype(np.int16)
    lattice = Lattice((0, 0, 0), (3.0, 4.0, 3.0), (4, 5, 6))
    expected = F.interpolate(torch.from_numpy(volume).float()[None, None], size=(4, 5, 6), mode="area")[0, 0]
    assert torch.allclose(finish_shares(resample_box(volume, (1.0, 1.0, 1.0), lattice)), expected, atol=1e-3)


def test_linear_upsampling_keeps_a_linear_field_and_pads_outside() -> None:
    z, y, x = np.meshgrid(*(np.arange(n) + 0.5 for n in (7, 8, 9)), indexing="ij")
    field = (3 * z - 2 * 1.5 * y + 2 * x).astype(np.float32)
    lattice = Lattice((1.0, -2.0, 2.0), (0.4, 1.0, 0.8), (10, 16, 12))
    got = finish_shares(resample_box(field, (1.0, 1.5, 2.0), lattice, pad=-77.0)).numpy()
    cz, cy, cx = np.meshgrid(
        1 + 0.4 * (np.arange(10) + 0.5),
        -2 + np.arange(16) + 0.5,
        2 + 0.8 * (np.arange(12) + 0.5),
        indexing="ij",
    )
    inner = (cy > 0.75) & (cy < 11.25)
    assert np.abs(got - (3 * cz - 2 * cy + cx))[inner].max() < 1e-4
    assert (got[(cy < 0) | (cy > 12)] == -77).all()


def test_smoothing_is_a_gaussian_in_mm() -> None:
    volume = np.random.default_rng(2).normal(size=(24, 22, 26)).astype(np.float32)
    lattice = Lattice((0, 0, 0), (2.0, 1.0, 0.5), volume.shape)
    got = finish_shares(resample_box(volume, (2.0, 1.0, 0.5), lattice, sigma_mm=1.5)).numpy()
    expected = ndimage.gaussian_filter(volume, [0.75, 1.5, 3.0], truncate=4.0)
    inner = (slice(4, -4), slice(7, -7), slice(12, -12))
    assert np.abs(got - expected)[inner].max() < 2e-3


def test_views_with_negative_strides_need_no_copy_of_the_volume() -> None:
    stored = np.random.default_rng(3).integers(-1000, 1000, (9, 8, 7)).astype(np.uint16)
    view = stored.transpose(2, 0, 1)[::-1, :, ::-1]
    lattice = Lattice((0, 0, 0), (1.0, 1.0, 1.0), view.shape)
    assert np.array_equal(
        finish_shares(resample_box(view, (1.0, 1.0, 1.0), lattice)).numpy(), view.astype(np.float32)
    )


@pytest.mark.parametrize(
    ("intensity", "expected"),
    [
        (Intensity(clip_low=-200, clip_high=500, shift=150, scale=350), [-1, -150 / 350, 1]),
        (Intensity(statistics="minmax"), [0, 0.5, 1]),
        (
            Intensity(clip_low=-1000, clip_high=0, statistics="zscore"),
            [-np.sqrt(2), 1 / np.sqrt(2), 1 / np.sqrt(2)],
        ),
        (Intensity(statistics="zscore_nonzero"), [-1, 0, 1]),
        (Intensity(statistics="max"), [-1, 0, 1]),
        (Intensity(clip_quantiles=(0.25, 0.75), shift=0, scale=100), [-5, 0, 5]),
    ],
)
def test_intensities_by_hand(intensity: Intensity, expected: list[float]) -> None:
    volume = np.array([-1000.0, 0.0, 1000.0]).reshape(1, 1, 3)
    assert normalise(
        torch.tensor([-1000.0, 0.0, 1000.0]), settle(intensity, volume)
    ).tolist() == pytest.approx(expected, abs=1e-6)


def test_a_missing_channel_is_a_sentence() -> None:
    plan = StagePlan("segment", (Intensity(source=1),), (1.0, 1.0, 1.0))
    with pytest.raises(BundleError, match="takes 2 channels and the volume has 1"):
        finish_shares(
            network_input(
                np.zeros((3, 4, 5)), (1.0, 1.0, 1.0), Lattice((0, 0, 0), (1, 1, 1), (3, 4, 5)), plan
            )
        )


def finish_shares(work):  # type: ignore[no-untyped-def]
    return finish(work)
