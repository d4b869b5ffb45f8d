"""Components against scipy's labelling and the definitions by brute force."""

import numpy as np
import pytest
from scipy import ndimage

from ctseg_imaging.metrics.components import Finding, islands_and_holes, lesions
from ctseg_imaging.metrics.lesions import count_lesions
from ctseg_imaging.metrics.surfaces import surface_distances

SPACING = (2.5, 0.8, 0.9)
VOXEL_ML = 2.5 * 0.8 * 0.9 / 1000


def blobs(seed, shape=(17, 28, 39)):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
    return smooth > np.quantile(smooth, 0.92)


def two_readers(seed):
    """Masks that share some lesions, each with some of its own."""
    truth = blobs(seed)
    prediction = np.roll(truth, (0, 1, 2), (0, 1, 2)) & (np.arange(39) < 26) | blobs(seed + 100) & (
        np.arange(39) > 20
    )
    return truth, prediction


def by_brute_force(truth, prediction):
    """(finding, voxels, other voxels, dice, centroid) of each lesion, by scipy and one at a time."""
    numbered, count = ndimage.label(truth, np.ones((3, 3, 3)))
    others, other_count = ndimage.label(prediction, np.ones((3, 3, 3)))
    for k in range(1, count + 1):
        lesion = numbered == k
        partner = np.isin(others, np.setdiff1d(others[lesion], 0))
        dice = 2 * (lesion & partner).sum() / (lesion.sum() + partner.sum()) if partner.any() else np.nan
        finding = Finding.FOUND if partner.any() else Finding.MISSED
        yield finding, lesion, partner, dice
    for k in range(1, other_count + 1):
        if not (truth & (others == k)).any():
            yield Finding.FALSE, others == k, np.zeros_like(truth), np.nan


@pytest.mark.parametrize("seed", range(4))
def test_lesions_are_those_of_scipy_one_at_a_time(seed):
    truth, prediction = two_readers(seed)
    found = lesions(truth, prediction, SPACING)
    expected = list(by_brute_force(truth, prediction))
    assert {one.finding for one in found} == {Finding.FOUND, Finding.MISSED, Finding.FALSE}
    by_place = {tuple(np.round(one.centroid, 6)): one for one in found}
    assert len(by_place) == len(found) == len(expected)
    for finding, lesion, partner, dice in expected:
        one = by_place[tuple(np.round(np.argwhere(lesion).mean(0), 6))]
        assert one.finding is finding
        assert one.in_truth is (finding is not Finding.FALSE)
        assert one.volume_ml == pytest.approx(lesion.sum() * VOXEL_ML)
        assert one.other_ml == pytest.approx(partner.sum() * VOXEL_ML)
        assert one.dice == pytest.approx(dice, nan_ok=True)
        assert one.iou == pytest.approx(
            (lesion & partner).sum() / (lesion | partner).sum() if partner.any() else np.nan, nan_ok=True
        )
        assert lesion[one.voxel]
        hd95 = surface_distances(lesion, partner, SPACING).hausdorff(95) if partner.any() else np.nan
        assert one.hd95_mm == pytest.approx(hd95, nan_ok=True)


def test_the_counts_agree_with_the_challenges():
    truth, prediction = two_readers(7)
    counts, found = count_lesions(truth, prediction), lesions(truth, prediction, SPACING)
    kinds = [one.finding for one in found]
    assert counts.found == kinds.count(Finding.FOUND)
    assert counts.true == kinds.count(Finding.FOUND) + kinds.count(Finding.MISSED)
    assert counts.predicted - counts.confirmed == kinds.count(Finding.FALSE)


def test_missed_ones_come_first_and_large_ones_before_small_ones():
    found = lesions(*two_readers(1), SPACING)
    order = [(list(Finding).index(one.finding), -one.volume_ml) for one in found]
    assert order == sorted(order)


def test_the_voxel_lies_in_a_ring_whose_centroid_does_not():
    mask = np.zeros((5, 9, 12), bool)
    mask[2, 1:8, 2:9] = True
    mask[2, 2:7, 3:8] = False
    (ring,) = lesions(mask, np.zeros_like(mask), SPACING)
    assert ring.centroid == (2, 4, 5)
    assert mask[ring.voxel]


def test_islands_and_holes_worked_by_hand():
    mask = np.zeros((9, 12, 15), bool)
    mask[1:8, 1:9, 1:8] = True
    mask[3:5, 3:6, 3] = False  # a hole of 6 voxels
    mask[4, 8, 6] = False  # a dent: open at the surface
    mask[1, 10, 12:14] = True  # an island of 2
    mask[6, 10:12, 12:15] = True  # one of 6
    found = islands_and_holes(mask, SPACING, in_truth=False)
    assert [(one.finding, round(one.volume_ml / VOXEL_ML), one.centroid) for one in found] == [
        (Finding.ISLAND, 6, (6, 10.5, 13)),
        (Finding.ISLAND, 2, (1, 10, 12.5)),
        (Finding.HOLE, 6, (3.5, 4, 3)),
    ]
    assert not any(one.in_truth for one in found)
    assert not mask[found[2].voxel]


@pytest.mark.parametrize("seed", range(3))
def test_holes_are_what_filling_fills(seed):
    mask = ~blobs(seed)
    found = [one for one in islands_and_holes(mask, SPACING, in_truth=True) if one.finding is Finding.HOLE]
    filled, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    assert len(found) == count > 0
    volumes = sorted(np.bincount(filled.ravel())[1:])
    assert sorted(round(one.volume_ml / VOXEL_ML) for one in found) == volumes


def test_empty_masks_have_none():
    none = np.zeros((5, 6, 7), bool)
    assert lesions(none, none, SPACING) == []
    assert islands_and_holes(none, SPACING, in_truth=True) == []
