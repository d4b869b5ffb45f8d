"""STAPLE over the table of opinions against SimpleITK's filters over all voxels."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from ctseg_models.ensembles.staple import Opinions, codes_of, most_members, staple

SHAPE = (13, 17, 19)


def opinions_of(classes: int, members: int, seed: int) -> list[NDArray[np.uint8]]:
    """Balls, and members that each see them slightly displaced, with errors of their own."""
    draw = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    truth = np.zeros(SHAPE, np.uint8)
    for label in range(1, classes):
        centre = draw.uniform(4, 12, 3)
        truth[(z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < draw.uniform(9, 30)] = (
            label
        )
    found = []
    for _ in range(members):
        seen = np.roll(truth, tuple(draw.integers(-2, 3, 3)), (0, 1, 2)).copy()
        wrong = draw.random(SHAPE) < 0.1 * draw.random()
        seen[wrong] = draw.integers(0, classes, wrong.sum())
        found.append(seen)
    return found


def ours(maps: list[NDArray[np.uint8]], classes: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The common label map, and the reliabilities."""
    codes = codes_of([seen.astype(np.int64) for seen in maps], classes)
    distinct, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
    winners, reliable = staple(Opinions.of(distinct, counts, len(maps), classes), classes)
    return winners[place].reshape(SHAPE), reliable


@pytest.mark.parametrize(("members", "seed"), [(2, 2), (3, 0), (4, 9), (5, 1)])
def test_binary_masks_equal_simpleitk(members: int, seed: int) -> None:
    maps = opinions_of(2, members, seed)
    reference = sitk.STAPLEImageFilter()
    reference.SetForegroundValue(1)
    chance = sitk.GetArrayFromImage(reference.Execute([sitk.GetImageFromArray(seen) for seen in maps]))
    found, reliable = ours(maps, 2)
    assert np.array_equal(found == 1, chance > 0.5)
    assert 0 < found.sum() < found.size
    assert reliable[:, 1] == pytest.approx(reference.GetSensitivity(), abs=1e-4)
    assert reliable[:, 0] == pytest.approx(reference.GetSpecificity(), abs=1e-4)


@pytest.mark.parametrize(("classes", "members", "seed"), [(3, 3, 3), (4, 4, 4), (5, 2, 5), (6, 5, 6)])
def test_several_labels_equal_simpleitk(classes: int, members: int, seed: int) -> None:
    maps = opinions_of(classes, members, seed)
    reference = sitk.GetArrayFromImage(
        sitk.MultiLabelSTAPLE([sitk.GetImageFromArray(seen) for seen in maps], 99)
    )
    found, _ = ours(maps, classes)
    decided = reference != 99
    assert decided.mean() > 0.99
    assert np.array_equal(found[decided], reference[decided])


def test_a_member_without_foreground_is_as_unreliable_as_in_simpleitk() -> None:
    maps = [*opinions_of(2, 3, 2), np.zeros(SHAPE, np.uint8)]
    chance = sitk.GetArrayFromImage(sitk.STAPLE([sitk.GetImageFromArray(seen) for seen in maps], 1.0))
    found, reliable = ours(maps, 2)
    assert found.any() and np.array_equal(found == 1, chance > 0.5)
    assert reliable[3].tolist() == pytest.approx([1.0, 0.0])


def test_codes_fit_into_63_bits() -> None:
    members = most_members(105)
    worst = codes_of([np.full(1, 104, np.int64)] * members, 105)
    assert worst[0] == 105**members - 1
    assert members >= 9
