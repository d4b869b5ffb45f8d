"""Components against scipy's labelling with all 26 neighbours."""

import numpy as np
import pytest
from scipy import ndimage

from ctseg_imaging.editing import component_at, components_by_size

SHAPE = (7, 11, 13)


@pytest.fixture
def mask():
    return np.random.default_rng(3).random(SHAPE) > 0.86


def test_the_component_at_each_voxel(mask):
    numbers, count = ndimage.label(mask, np.ones((3, 3, 3)))
    assert count > 5
    for number in range(1, count + 1):
        at = tuple(int(i) for i in np.argwhere(numbers == number)[-1])
        assert np.array_equal(component_at(mask, at), numbers == number)
    outside = tuple(int(i) for i in np.argwhere(~mask)[0])
    assert not component_at(mask, outside).any()


def test_components_are_numbered_by_size(mask):
    numbers, count = ndimage.label(mask, np.ones((3, 3, 3)))
    found, how_many = components_by_size(mask)
    assert how_many == count and np.array_equal(found > 0, mask)
    sizes = [int((found == number).sum()) for number in range(1, count + 1)]
    assert sizes == sorted(sizes, reverse=True)
    for number in range(1, count + 1):
        assert len(np.unique(numbers[found == number])) == 1


def test_one_end_of_a_diagonal_reaches_the_other_and_a_gap_does_not():
    mask = np.zeros(SHAPE, bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[3, 1, 1] = True
    assert np.argwhere(component_at(mask, (0, 0, 0))).tolist() == [[0, 0, 0], [1, 1, 1]]
    assert components_by_size(mask)[0][3, 1, 1] == 2
    assert components_by_size(np.zeros(SHAPE, bool))[1] == 0
