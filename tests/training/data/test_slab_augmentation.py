"""Slab augmentation: an image that is its own label map, scipy's resampling, and slices counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import ndimage

from ctseg_training.data.slab_augmentation import (
    augment_ct,
    augment_generic,
    augment_in_plane,
    interpolated,
    rotate_in_plane,
    skipped,
    take_slices,
)
from ctseg_training.recipes.slab_settings import CTCues, Generic, InPlane

SHAPE = (6, 17, 22)
QUIET = CTCues(share=1.0, noise=0.0, shift=0.0)
SHAPES = st.sampled_from([SHAPE, (1, 15, 20), (2, 9, 12), (3, 8, 11)])
VALUES = (0, 2, 5)
SEEDS = st.integers(0, 2**32 - 1)


def blocks(shape: tuple[int, int, int], seed: int = 0) -> torch.Tensor:
    """Labels 0, 2 and 5 in blobs: values with a gap, so an interpolated label would show."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), (0.5, 2, 2))
    return torch.from_numpy(np.array(VALUES)[np.digitize(smooth, np.quantile(smooth, [0.5, 0.8]))])


def own_channel(shape: tuple[int, int, int], seed: int) -> list[torch.Tensor]:
    """What each augmentation leaves in the channel of a voxel's own label, of an image with a channel per
    label.
    """
    labels = blocks(shape)
    channels = torch.stack([labels == value for value in VALUES]).float()
    found = []
    for moved, target in (
        augment_ct(channels, labels, QUIET, np.random.default_rng(seed)),
        augment_generic(channels, labels, Generic(share=1.0, gamma=0.0), np.random.default_rng(seed)),
        augment_in_plane(channels, labels, InPlane(), np.random.default_rng(seed)),
    ):
        assert moved.shape == channels.shape and target.shape == labels.shape and target.dtype == torch.int64
        assert set(target.flatten().tolist()) <= set(VALUES)
        assert torch.allclose(moved.sum(0), torch.ones(shape), atol=1e-5)
        found.append(moved.gather(0, torch.searchsorted(torch.tensor(VALUES), target)[None]))
    return found


@settings(max_examples=40, deadline=None)
@given(SHAPES, SEEDS)
def test_image_and_labels_move_together(shape: tuple[int, int, int], seed: int) -> None:
    """The nearest voxel weighs at least 1/8 of what is interpolated, and all of it where it is 1."""
    assert all(float(own.min()) > 0.124 for own in own_channel(shape, seed))


@pytest.mark.parametrize("shape", [SHAPE, (1, 15, 20), (2, 9, 12), (3, 8, 11)])
def test_most_of_an_image_stays_with_its_label(shape: tuple[int, int, int]) -> None:
    """One draw may turn a volume of three slices by much: the mean is of 30."""
    for draws in zip(*(own_channel(shape, seed) for seed in range(30)), strict=True):
        assert float(torch.stack(draws).mean()) > 0.7


@settings(max_examples=25, deadline=None)
@given(SHAPES, SEEDS)
def test_a_draw_is_a_function_of_the_random_state(shape: tuple[int, int, int], seed: int) -> None:
    image, labels = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1)), blocks(shape)
    before = image.clone()

    def each(rng: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [
            augment_ct(image, labels, CTCues(), np.random.default_rng(rng)),
            augment_generic(image, labels, Generic(), np.random.default_rng(rng)),
            augment_in_plane(image, labels, InPlane(), np.random.default_rng(rng)),
        ]

    for first, second in zip(each(seed), each(seed), strict=True):
        assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
        assert torch.equal(image, before)  # the input is not written to
        assert first[0].isfinite().all() and first[0].dtype == torch.float32


@settings(max_examples=25, deadline=None)
@given(SHAPES, SEEDS)
def test_the_identity_changes_nothing(shape: tuple[int, int, int], seed: int) -> None:
    image, labels = torch.randn(1, *shape), blocks(shape)
    still = CTCues(share=1.0, noise=0, skip=0, interpolate=0, shift=0, rotation_deg=0)
    stiff = Generic(share=1.0, rotation_deg=0, scale=0, elastic_voxels=0, gamma=0)
    for moved, target in (
        augment_ct(image, labels, still, np.random.default_rng(seed)),
        augment_ct(image, labels, CTCues(share=0.0), np.random.default_rng(seed)),
        augment_generic(image, labels, stiff, np.random.default_rng(seed)),
        augment_generic(image, labels, Generic(share=0.0), np.random.default_rng(seed)),
        augment_in_plane(image, labels, InPlane(rotation_deg=0), np.random.default_rng(seed)),
    ):
        assert torch.equal(moved, image) and torch.equal(target, labels)


def test_skipping_and_interpolating_by_hand() -> None:
    assert [z // 2 for z in skipped(8, 0)] == [0, 2, 4, 6, 4, 2, 0, 2]
    assert [z // 2 for z in skipped(7, 1)] == [1, 3, 5, 3, 1, 3, 5]
    assert [z // 2 for z in skipped(2, 1)] == [0, 1] and skipped(1, 0) == [0]
    image = torch.tensor([10.0, 20.0, 60.0, 100.0]).reshape(1, 4, 1, 1)
    labels = torch.tensor([0, 1, 1, 3]).reshape(4, 1, 1)
    moved, target = take_slices(image, labels, interpolated(4, 3))  # positions 1.5, 2, 2.5, 3
    assert moved.flatten().tolist() == [40, 60, 80, 100] and target.flatten().tolist() == [1, 1, 1, 3]
    moved, target = take_slices(image, labels, interpolated(4, 0))
    assert moved.flatten().tolist() == [10, 15, 20, 40] and target.flatten().tolist() == [0, 0, 1, 1]


@given(st.integers(4, 40), st.integers(0, 1))
def test_after_skipping_neighbours_are_two_slices_apart(slices: int, first: int) -> None:
    steps = np.diff(skipped(slices, first)) / 2
    assert len(steps) == slices - 1 and set(np.abs(steps)) == {2}


def test_rotation_is_scipys() -> None:
    rng = np.random.default_rng(5)
    image = ndimage.gaussian_filter(rng.normal(size=(3, 31, 40)), (0, 2, 2)).astype(np.float32)
    labels = blocks((3, 31, 40))
    for degrees in (12.0, -30.0, 77.0):
        moved, target = rotate_in_plane(torch.from_numpy(image)[None], labels, degrees)
        for order, ours, theirs in ((1, moved[0].numpy(), image), (0, target.numpy(), labels.numpy())):
            reference = ndimage.rotate(
                theirs, degrees, axes=(2, 1), reshape=False, order=order, mode="nearest"
            )
            if order:
                assert np.abs(ours - reference).max() < 1e-4
            else:
                assert (ours == reference).mean() > 0.999  # a voxel exactly between two


def test_a_quarter_turn_takes_y_to_x() -> None:
    image = torch.zeros(1, 1, 7, 7)
    image[0, 0, 6, 3] = 1
    moved, _ = rotate_in_plane(image, torch.zeros(1, 7, 7, dtype=torch.int64), 90)
    assert moved[0, 0, 3, 6] == pytest.approx(1, abs=1e-5) and moved.sum() == pytest.approx(1, abs=1e-4)


def test_shares_and_intensities() -> None:
    """Of a flat image: how often it is touched, how often shifted, and how far."""
    image, labels = torch.ones(1, 1, 3, 4), torch.zeros(1, 3, 4, dtype=torch.int64)
    rng = np.random.default_rng(0)
    quiet = CTCues(noise=0, shift=0.5)
    shifts = np.array([float(augment_ct(image, labels, quiet, rng)[0].mean()) - 1 for _ in range(3000)])
    assert abs(np.mean(shifts != 0) - 0.2) < 0.025
    assert 0.45 < shifts.max() <= 0.5 and -0.5 <= shifts.min() < -0.45
    rng = np.random.default_rng(1)
    touched = [
        not torch.equal(augment_ct(image, labels, CTCues(shift_share=0), rng)[0], image) for _ in range(2000)
    ]
    assert abs(np.mean(touched) - 0.8) < 0.03
    noise = augment_ct(
        torch.zeros(1, 20, 40, 40),
        torch.zeros(20, 40, 40, dtype=torch.int64),
        CTCues(share=1, noise=0.1, shift=0, rotation_deg=0),
        np.random.default_rng(2),
    )[0]
    deviation = float(noise.std())
    assert 0 < deviation <= 0.1 and abs(float(noise.mean())) < 4 * deviation / math.sqrt(noise.numel())
    assert abs(float((noise.abs() < deviation).float().mean()) - 0.6827) < 0.01  # normal


def test_gamma_keeps_range_and_order() -> None:
    image = torch.linspace(-2, 3, 60).reshape(1, 3, 4, 5)
    only = Generic(share=1, rotation_deg=0, scale=0, elastic_voxels=0, gamma=0.7)
    for seed in range(10):
        moved = augment_generic(
            image, torch.zeros(3, 4, 5, dtype=torch.int64), only, np.random.default_rng(seed)
        )[0].flatten()
        assert moved[0] == -2 and moved[-1] == pytest.approx(3) and (moved.diff() > 0).all()
        exponent = math.log((float(moved[30]) + 2) / 5) / math.log(30 / 59)
        assert math.exp(-0.7) <= exponent <= math.exp(0.7)


def test_scaling_is_about_the_middle() -> None:
    """A ramp along each axis, scaled about the middle, is a ramp with the same middle and another slope,
    the same for all axes.
    """
    z, y, x = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in (7, 9, 11)), indexing="ij"
    )
    only = Generic(share=1, rotation_deg=0, scale=0.3, elastic_voxels=0, gamma=0)
    moved = augment_generic(
        torch.stack([z, y, x]), torch.zeros(7, 9, 11, dtype=torch.int64), only, np.random.default_rng(4)
    )[0]
    assert moved[:, 3, 4, 5].abs().max() < 1e-6
    slopes = [float(moved[0, 4, 4, 5]), float(moved[1, 3, 5, 5]), float(moved[2, 3, 4, 6])]
    assert slopes == pytest.approx([slopes[0]] * 3, abs=1e-5) and slopes[0] != pytest.approx(1, abs=0.01)
    assert 1 / 1.3 <= slopes[0] <= 1 / 0.7


def test_elastic_displacements_stay_within_their_bound() -> None:
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij")
    image = torch.stack([y, x])[:, None].expand(2, 4, 40, 50)
    only = Generic(share=1, rotation_deg=0, scale=0, elastic_voxels=3, gamma=0)
    moved = (
        augment_generic(image, torch.zeros(4, 40, 50, dtype=torch.int64), only, np.random.default_rng(3))[0]
        - image
    )
    inside = moved[:, :, 4:-4, 4:-4]
    assert 0.5 < float(inside.abs().max()) <= 3
    assert float(inside.diff(dim=-1).abs().max()) < 1  # no fold


def test_what_does_not_fit_is_refused() -> None:
    image, labels = torch.zeros(1, 3, 4, 5), torch.zeros(3, 5, 4, dtype=torch.int64)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="must agree"):
        augment_ct(image, labels, CTCues(), rng)
    with pytest.raises(ValidationError):
        CTCues(rotation=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        CTCues(share=1.2)
