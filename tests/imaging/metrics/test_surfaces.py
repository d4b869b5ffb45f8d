"""Surface distances against DeepMind's package (stored values), against geometry and against all pairs of
points.
"""

import json
import time

import numpy as np
import pytest

from ctseg_imaging.metrics.surfaces import neighbour_codes, snap, surface_distances, surfel_areas_mm2
from tests.pace import at_most

PAIRS = (
    "blobs_isotropic",
    "blobs_anisotropic",
    "organ_perturbed",
    "organ_shifted",
    "organ_eroded_other_spacing",
    "touching_borders",
    "single_voxels",
    "thin_plates",
    "identical",
    "empty_reference",
    "empty_prediction",
    "both_empty",
)
SPACING = (2.5, 0.8, 0.9)


def numbers(values):
    return [float(value) for value in values]  # "NaN" and "Infinity" too


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=["x,y,z", "z,y,x", "y,z,x"])
@pytest.mark.parametrize("pair", PAIRS)
def test_the_values_of_deepminds_package(pair, order, shared_file):
    folder = shared_file("oracles/metrics")
    expected = json.loads((folder / "expected.json").read_text())[pair]
    masks = np.load(folder / "masks.npz")
    reference, prediction = (
        masks[f"{pair}__{side}"].transpose(order) for side in ("reference", "prediction")
    )
    found = surface_distances(reference, prediction, [expected["spacing_mm"][axis] for axis in order])
    exactly = {"rel": 1e-9, "nan_ok": True}
    assert [len(found.area_a_mm2), len(found.area_b_mm2)] == expected["surfels"]
    assert [found.area_a_mm2.sum(), found.area_b_mm2.sum()] == pytest.approx(
        numbers(expected["surface_area_mm2"]), **exactly
    )
    assert found.average() == pytest.approx(numbers(expected["average_surface_distance"]), **exactly)
    for percent, value in expected["robust_hausdorff"].items():
        assert found.hausdorff(float(percent)) == pytest.approx(float(value), **exactly)
    for tolerance, value in expected["surface_dice"].items():
        assert found.nsd(float(tolerance)) == pytest.approx(float(value), **exactly)
        assert found.overlap(float(tolerance)) == pytest.approx(
            numbers(expected["surface_overlap"][tolerance]), **exactly
        )


def test_areas_are_those_of_the_cuts_worked_by_hand():
    z, y, x = SPACING
    areas = surfel_areas_mm2(SPACING)
    one_corner = np.sqrt((y * x) ** 2 + (z * x) ** 2 + (z * y) ** 2) / 8
    assert areas[0] == areas[255] == 0
    assert areas[1] == areas[128] == areas[254] == pytest.approx(one_corner)
    assert areas[0b11110000] == areas[0b00001111] == pytest.approx(y * x)  # a layer in z
    assert areas[0b11001100] == pytest.approx(z * x)  # a layer in y
    assert areas[0b10101010] == pytest.approx(z * y)  # a layer in x
    assert areas[0b10000001] == pytest.approx(2 * one_corner)  # two opposite corners
    assert areas == pytest.approx(areas[::-1])  # inside and outside share a surface


def test_areas_agree_with_another_table():
    tables = pytest.importorskip("monai.metrics.utils")
    other, kernel = tables.get_code_to_measure_table(SPACING)
    assert kernel.ravel().tolist() == [128, 64, 32, 16, 8, 4, 2, 1]
    assert surfel_areas_mm2(SPACING) == pytest.approx(other.numpy(), rel=1e-6)


def test_codes_name_the_voxel_that_is_inside():
    mask = np.zeros((2, 3, 4), bool)
    mask[1, 2, 3] = True
    codes = neighbour_codes(mask)
    assert codes.shape == (3, 4, 5)
    assert (codes > 0).sum() == 8
    assert codes[1, 2, 3] == 1
    assert codes[2, 3, 4] == 128
    assert codes[1, 2, 4] == 2
    assert codes[1, 3, 3] == 4
    assert codes[2, 2, 3] == 16


def brute_force(a, b, spacing):
    """Distances from every corner where the eight voxels differ to all such corners of the other mask."""

    def corners(mask):
        padded = np.pad(mask, 1)
        return (
            np.array(
                [
                    index
                    for index in np.ndindex(*np.add(mask.shape, 1))
                    if 0 < padded[tuple(slice(i, i + 2) for i in index)].sum() < 8
                ]
            )
            * spacing
        )

    pa, pb = corners(a), corners(b)
    apart = np.sqrt(((pa[:, None] - pb[None]) ** 2).sum(-1))
    return np.sort(apart.min(1)), np.sort(apart.min(0))


@pytest.mark.parametrize("seed", range(4))
def test_distances_agree_with_all_pairs_of_corners(seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.random((7, 8, 9)) > 0.9 for _ in range(2))
    a[:, :3], b[:, :, 6:] = False, False
    found = surface_distances(a, b, SPACING)
    there, back = brute_force(a, b, np.array(SPACING))
    assert found.a_to_b_mm == pytest.approx(there, abs=1e-9)
    assert found.b_to_a_mm == pytest.approx(back, abs=1e-9)
    assert found.hausdorff() == pytest.approx(max(there[-1], back[-1]))


def test_two_plates_are_as_far_apart_as_they_were_put():
    a, b = np.zeros((2, 12, 8, 9), bool)
    a[2], b[9] = True, True
    found = surface_distances(a, b, SPACING)
    assert found.hausdorff() == found.hausdorff(95) == pytest.approx(7 * 2.5)
    assert 6 * 2.5 < found.assd() < 7 * 2.5
    assert found.nsd(6 * 2.5 - 0.1) == 0
    assert found.nsd(7 * 2.5) == pytest.approx(1)


def test_a_tolerance_that_is_met_exactly_counts_in_spite_of_a_rounded_spacing():
    a, b = np.zeros((2, 5, 6, 7), bool)
    a[2, 2, 2], b[2, 2, 3] = True, True
    rounded = tuple(float(np.float32(s)) for s in (2.5, 0.8, 0.7000001))
    assert surface_distances(a, b, rounded).nsd(0.7) == 1


def test_empty_sides_have_the_values_that_are_documented():
    none, some = np.zeros((5, 6, 7), bool), np.zeros((5, 6, 7), bool)
    some[1:3, 2:4, 3] = True
    both = surface_distances(none, none, SPACING)
    assert both.hausdorff() == np.inf
    assert np.isnan([both.assd(), both.nsd(1), *both.average()]).all()
    for one in (surface_distances(some, none, SPACING), surface_distances(none, some, SPACING)):
        assert one.hausdorff(95) == one.assd() == np.inf
        assert one.nsd(1000.0) == 0


def test_the_place_in_the_volume_and_the_order_of_axes_do_not_matter():
    rng = np.random.default_rng(0)
    a, b = (rng.random((7, 8, 9)) > 0.7 for _ in range(2))
    plain = surface_distances(a, b, SPACING)
    wide = surface_distances(
        np.pad(a, ((3, 0), (0, 9), (1, 2))), np.pad(b, ((3, 0), (0, 9), (1, 2))), SPACING
    )
    turned = surface_distances(
        a.transpose(2, 0, 1)[::-1], b.transpose(2, 0, 1)[::-1], (SPACING[2], SPACING[0], SPACING[1])
    )
    for other in (wide, turned):
        assert (other.hausdorff(95), other.assd(), other.nsd(1.0)) == pytest.approx(
            (plain.hausdorff(95), plain.assd(), plain.nsd(1.0))
        )


def test_snapping_leaves_lattice_lengths_exact_and_far_ones_alone():
    exact = np.hypot(3 * SPACING[1], 4 * SPACING[2])
    far = np.float32(5000.123)
    assert snap(np.array([exact, 0.0, far], np.float32), SPACING).tolist() == [exact, 0.0, float(far)]
    assert len(snap(np.zeros(0, np.float32), SPACING)) == 0


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="onto one"):
        surface_distances(np.ones((2, 3, 4), bool), np.ones((2, 4, 3), bool), SPACING)
    with pytest.raises(ValueError, match="tolerance"):
        surface_distances(np.ones((2, 3, 4), bool), np.ones((2, 3, 4), bool), SPACING).nsd(-1)


def test_an_organ_in_a_ct_of_512_x_512_x_100_takes_less_than_two_seconds():
    grid = np.ogrid[:100, :512, :512]

    def ball(centre, radius_mm):
        return (
            sum(
                ((axis - at) * step) ** 2
                for axis, at, step in zip(grid, centre, (2.5, 0.8, 0.8), strict=True)
            )
            < radius_mm**2
        )

    a, b = ball((50, 250, 200), 90), ball((51, 255, 205), 92)
    with at_most(2, time.process_time):
        found = surface_distances(a, b, (2.5, 0.8, 0.8))
    # radii of 90 and 92 mm, centres (2.5, 4, 4) mm apart: no two surfaces are further apart than the sum, and
    # voxels round by half their diagonal on either side
    assert 2 < found.hausdorff(95) < 2 + np.linalg.norm((2.5, 4, 4)) + np.linalg.norm((2.5, 0.8, 0.8))
