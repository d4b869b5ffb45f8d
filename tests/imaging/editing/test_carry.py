"""A carried correction on straight edges, whose places are worked out by hand."""

import numpy as np
import pytest

from ctseg_imaging.editing.carry import carry_correction


def test_an_edge_that_moved_moves_less_with_every_slice_and_not_in_fixed_ones():
    before = np.zeros((9, 12, 30), bool)
    before[:, :, 5:15] = True
    after = before.copy()
    after[4, :, 15:21] = True  # 6 mm further; 3 mm slices, 12 mm reach: weights 3/4, 1/2, 1/4
    first = after.copy()
    carried = carry_correction(before, after, 4, (3.0, 1.0, 1.0), 12.0, fixed={6})
    widths = carried[:, 6].sum(axis=1)
    assert np.array_equal(carried[[0, 4, 6, 8]], after[[0, 4, 6, 8]]) and np.array_equal(after, first)
    assert 16 > widths[5] >= widths[7] >= 10 and widths[3] == widths[5] > 10


def test_a_reach_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        carry_correction(np.zeros((2, 3, 4), bool), np.zeros((2, 3, 4), bool), 0, (1.0, 1.0, 1.0), 0)
