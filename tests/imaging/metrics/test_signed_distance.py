"""Against the distances of every voxel to every other one, in patient coordinates of an oblique grid."""

import numpy as np
import pytest

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.metrics.signed_distance import signed_surface_distance

SHAPE, SPACING = (6, 7, 9), (3.0, 0.7, 1.4)
C, S = np.cos(0.4), np.sin(0.4)
OBLIQUE = np.array([[C, -S, 0], [S, C, 0], [0, 0, 1.0]])


def brute(truth, prediction):
    """Every pair of voxels, by their LPS positions; one ring of background voxels beyond the array."""
    padded = [np.pad(mask, 1) for mask in (truth, prediction)]
    grid = Geometry.from_parts(padded[0].shape, SPACING, (5.0, -3.0, 11.0), OBLIQUE)
    places = np.argwhere(np.ones(padded[0].shape, bool))
    points = np.array([grid.index_to_lps(place) for place in places])
    true = padded[0].ravel()
    found = np.full(padded[0].shape, np.nan)
    for place, point, inside in zip(places, points, true, strict=True):
        sides = [
            place + sign * step for step in np.eye(3, dtype=int) for sign in (-1, 1)
        ]  # a voxel of the ring is never predicted
        if padded[1][tuple(place)] and not all(padded[1][tuple(side)] for side in sides):
            nearest = np.linalg.norm(points[true != inside] - point, axis=1).min()
            found[tuple(place)] = -nearest if inside else nearest
    return found[1:-1, 1:-1, 1:-1]


@pytest.mark.parametrize("seed", range(3))
def test_every_boundary_voxel_has_its_brute_force_distance(seed):
    truth, prediction = np.random.default_rng(seed).random((2, *SHAPE)) > 0.55
    truth[2:5, 1:6, 2:8] = True
    prediction[1:4, 2:7, 1:7] = True
    signed = signed_surface_distance(truth, prediction, SPACING)
    found = np.full(SHAPE, np.nan)
    found[signed.box] = signed.distance_mm
    np.testing.assert_allclose(found, brute(truth, prediction), rtol=1e-5)
    assert np.nanmin(found) < 0 < np.nanmax(found)


def test_a_slab_that_is_two_voxels_too_thick():
    truth, prediction = np.zeros((2, 8, 9, 10), bool)
    truth[2:4], prediction[2:6] = True, True
    signed = signed_surface_distance(truth, prediction, (2.5, 1.0, 1.0))
    assert signed.distance_mm[-1, 4, 4] == pytest.approx(5.0) and signed.limit_mm == 5.0
    assert signed.distance_mm[0, 4, 4] == pytest.approx(-2.5)


def test_an_empty_mask_has_no_distances():
    empty, full = np.zeros((3, 4, 5), bool), np.ones((3, 4, 5), bool)
    assert signed_surface_distance(empty, full, (1, 1, 1)) is None
    assert signed_surface_distance(full, empty, (1, 1, 1)) is None
