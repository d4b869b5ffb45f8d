"""The spatial augmentation and the resampling of a sample, against scipy and values worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.interpolate import BSpline

from ctseg_models.contract.lattice import Lattice
from ctseg_training.data.resampling import reach, sample_image, sample_labels, smooth
from ctseg_training.data.spatial import SpatialDraw, draw_spatial, identity, rotation, sample_points, spline
from ctseg_training.recipes.data_settings import Augmentation, Elastic
from tests.training.conftest import SHAPE, SPACING, anatomy


def millimetres() -> list[np.ndarray]:  # type: ignore[type-arg]
    return list(
        np.meshgrid(*[(np.arange(n) + 0.5) * s for n, s in zip(SHAPE, SPACING, strict=True)], indexing="ij")
    )


def test_points_follow_translation_rotation_and_mirror() -> None:
    """A voxel of the lattice worked by hand: 90 degrees about z take +y to +x."""
    lattice = Lattice((10.0, 20.0, 30.0), (2.0, 3.0, 4.0), (5, 7, 9))
    centre = np.array([15.0, 30.5, 48.0])
    turned = SpatialDraw(rotation(np.array([np.pi / 2, 0, 0])) * 2, np.array([1.0, 2.0, 3.0]), mirror=True)
    points = sample_points(lattice, turned)
    offset = np.array(
        [0.0, 3.0, -4.0]
    )  # voxel (2, 4, 5) lies (0, +3, +4) mm from the centre; mirrored, x is -4
    expected = centre + [1, 2, 3] + 2 * np.array([offset[0], -offset[2], offset[1]])
    assert points[2, 4, 5].numpy() == pytest.approx(expected, abs=1e-4)
    assert sample_points(lattice, identity())[0, 0, 0].numpy() == pytest.approx([11.0, 21.5, 32.0])


@pytest.mark.parametrize("angles", [(0.3, 0, 0), (0, -0.2, 0), (0.1, 0.2, -0.3)])
def test_rotation_keeps_lengths_and_hands(angles: tuple[float, float, float]) -> None:
    turned = rotation(np.array(angles))
    assert turned @ turned.T == pytest.approx(np.eye(3), abs=1e-12) and np.linalg.det(
        turned
    ) == pytest.approx(1)


def test_a_linear_field_is_sampled_exactly_in_one_resampling() -> None:
    """Linear interpolation of a linear field has no error, so its values tell where each voxel was
    taken from.
    """
    z, y, x = millimetres()
    field = (5 * z - 3 * y + 2 * x).astype(np.float32)
    rng = np.random.default_rng(5)
    settings = Augmentation(
        translation_mm=(5, 5, 5),
        rotation_rad=(0.3, 0.3, 0.3),
        scale=0.1,
        scale_per_axis=0.1,
        elastic=Elastic(grid=(4, 5, 6), amplitude_mm=(3, 3, 3)),
        mirror=0.5,
    )
    for _ in range(5):
        lattice = Lattice((30.0, 25.0, 22.0), (2.0, 2.0, 1.5), (11, 13, 15))
        points = sample_points(lattice, draw_spatial(settings, rng))
        at = reach(points, SHAPE, SPACING, lattice.spacing_mm)
        assert not at.outside.any()
        values = sample_image(torch.from_numpy(field), SPACING, at, outside=-1000)
        assert values.numpy() == pytest.approx(
            (points * torch.tensor([5.0, -3.0, 2.0])).sum(-1).numpy(), abs=0.02
        )


def test_coarse_voxels_average_instead_of_picking() -> None:
    """A checkerboard of +-1 averages to 0 in voxels three times as large along each axis (two where three
    do not fit).
    """
    board = np.indices(SHAPE).sum(0) % 2 * 2.0 - 1
    lattice = Lattice((6.0, 5.0, 4.0), (6.0, 5.0, 4.0), (6, 6, 6))
    at = reach(sample_points(lattice, identity()), SHAPE, SPACING, lattice.spacing_mm)
    assert at.pool == (2, 2, 2)
    assert sample_image(torch.from_numpy(board.astype(np.float32)), SPACING, at, outside=0).abs().max() < 1e-6


def test_labels_on_the_same_grid_stay_and_smoothing_is_scipys() -> None:
    labels = anatomy(4)[1]
    lattice = Lattice((0.0, 0.0, 0.0), SPACING, SHAPE)
    at = reach(sample_points(lattice, identity()), SHAPE, SPACING, SPACING)
    assert np.array_equal(sample_labels(torch.from_numpy(labels), at).numpy(), labels)
    smoothed = sample_labels(torch.from_numpy(labels), at, smoothing_voxels=1.0).numpy()
    shares = [ndimage.gaussian_filter((labels == k).astype(float), 1.0, mode="nearest") for k in range(4)]
    reference = np.argmax(shares, axis=0)
    assert (smoothed != reference).mean() < 1e-3 and (smoothed != labels).any()


def test_smoothing_in_mm_is_scipys() -> None:
    image = anatomy(5)[0].astype(np.float32)
    reference = ndimage.gaussian_filter(image, [2.0 / s for s in SPACING], mode="nearest")
    ours = smooth(torch.from_numpy(image)[None, None], [2.0 / s for s in SPACING])[0, 0].numpy()
    assert np.abs(ours - reference).max() < 0.02


def test_the_spline_is_scipys_cubic_b_spline() -> None:
    control = np.random.default_rng(1).normal(size=7)
    n = 20
    position = (np.arange(n) + 0.5) / n * 6
    padded = np.concatenate([[control[0]] * 3, control, [control[-1]] * 3])
    reference = BSpline(np.arange(-5.0, len(padded) - 1), padded, 3)(position)
    ours = (
        spline(torch.from_numpy(control.astype(np.float32)).reshape(1, 7, 1, 1), (n, 1, 1)).flatten().numpy()
    )
    assert ours == pytest.approx(reference, abs=1e-5)
