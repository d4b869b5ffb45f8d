"""The words for the difference of two grids, with numbers worked by hand."""

import numpy as np

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.grid_difference import difference
from tests.imaging.test_geometry import turned


def test_how_two_grids_differ_in_words():
    grid = Geometry.from_parts((5, 6, 7), (3.0, 1.5, 0.7), (10, -20, 30))
    shifted = Geometry.from_parts((5, 6, 7), (3.0, 1.5, 0.7), (10.35, -20, 28.5))
    assert difference(shifted, grid) == "shifted by 0.35, 0, -1.5 mm (x, y, z)"
    thicker = Geometry.from_parts(
        (5, 6, 7), (5.0, 1.5, 0.7), (10, -20, 30)
    )  # centres 6 and 10 mm above the first slice
    assert (
        difference(thicker, grid)
        == "voxels of 5 x 1.5 x 0.7 against 3 x 1.5 x 0.7 mm (z, y, x), its centre 4.00 mm away"
    )
    centre = grid.index_to_lps((2, 2.5, 3))
    turn = turned(0, 0, 30)
    origin = centre - turn @ (centre - np.array(grid.origin_lps_mm))
    assert difference(Geometry.from_parts((5, 6, 7), (3.0, 1.5, 0.7), origin, turn), grid) == (
        "turned by 30.00 degrees, its centre 0.00 mm away"
    )
