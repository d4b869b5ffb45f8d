"""Connected parts against scipy's, also where cc3d alone stops with an error."""

import numpy as np
import pytest
from scipy import ndimage

from ctseg_imaging.editing import drop_islands
from ctseg_imaging.editing.connected_parts import connected_parts

GRIDS = [(1, 19, 51), (1, 1, 7), (3, 5, 7), (7, 3, 1), (4, 6, 9)]


@pytest.mark.parametrize("shape", GRIDS)
@pytest.mark.parametrize(("connectivity", "rank"), [(6, 1), (18, 2), (26, 3)])
def test_the_same_parts_as_scipy(shape, connectivity, rank):
    rng = np.random.default_rng(5)
    alone = np.zeros(shape, bool)
    alone[::2, ::2, ::2] = True  # as many parts as there can be
    for mask in (alone, *(rng.random(shape) > level for level in (0.2, 0.5, 0.8))):
        numbers, count = ndimage.label(mask, ndimage.generate_binary_structure(3, rank))
        found, how_many = connected_parts(mask, connectivity)
        assert how_many == count and found.shape == shape
        pairs = {(int(a), int(b)) for a, b in zip(numbers.ravel(), found.ravel(), strict=True)}
        assert len(pairs) == len(np.unique(numbers)) and all(bool(a) == bool(b) for a, b in pairs)


def test_islands_of_single_voxels_are_dropped():
    mask = np.zeros((3, 19, 51), bool)
    mask[1, ::2, ::2] = True
    mask[1, 0, :5] = True
    kept = drop_islands(mask, 1.0, (1.0, 1.0, 1.0))
    assert np.argwhere(kept).tolist() == [[1, 0, x] for x in range(5)]
