"""Polygons to pixels and back, against a point-in-polygon test of every centre."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.path import Path as Outline
from scipy import ndimage

from ctseg_imaging.formats.segmentations.rtstruct.contours import fill, trace


@pytest.mark.parametrize("seed", range(20))
def test_a_pixel_is_inside_if_its_centre_is(seed: int) -> None:
    """Star-shaped polygons with irrational corners, some beyond the picture: no centre lies on an edge."""
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 12))
    radius = rng.uniform(2, 9, 12)
    polygon = np.column_stack([6 + radius * np.sin(angle), 8 + radius * np.cos(angle)])
    centres = np.array(list(np.ndindex(11, 17)), float)
    assert np.array_equal(fill(polygon, (11, 17)), Outline(polygon).contains_points(centres).reshape(11, 17))


def test_neighbours_that_share_an_edge_share_no_pixel() -> None:
    left = np.array([[1, 1], [1, 4], [5, 4], [5, 1]], float)
    right = left + np.array([0, 3])
    assert not (fill(left, (8, 9)) & fill(right, (8, 9))).any()
    assert (fill(left, (8, 9)) | fill(right, (8, 9))).sum() == 4 * 6


def test_a_keyhole_is_a_hole() -> None:
    outline = [[0.5, 0.5], [0.5, 7.5], [7.5, 7.5], [7.5, 0.5], [3.5, 0.5]]
    hole = [[3.5, 2.5], [5.5, 2.5], [5.5, 5.5], [2.5, 5.5], [2.5, 2.5], [3.5, 2.5], [3.5, 0.5]]
    expected = np.zeros((9, 9), bool)
    expected[1:8, 1:8] = True
    expected[3:6, 3:6] = False
    assert np.array_equal(fill(np.array(outline + hole, float), (9, 9)), expected)


@settings(max_examples=300, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 9))))
def test_traced_outlines_give_the_mask_back(mask) -> None:
    """By the even-odd rule over all outlines and by their union alike; one outline for each 4-connected
    region.
    """
    outlines = list(trace(mask))
    assert len(outlines) == ndimage.label(mask)[1]
    filled = [fill(outline, mask.shape) for outline in outlines]
    assert np.array_equal(np.logical_xor.reduce([np.zeros_like(mask), *filled]), mask)
    assert np.array_equal(np.logical_or.reduce([np.zeros_like(mask), *filled]), mask)
