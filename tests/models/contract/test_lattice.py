"""The lattice of a network's input: paper 5's sizes by hand, and its position in the patient."""

from __future__ import annotations

import numpy as np
import pytest

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import AxisView
from ctseg_models.contract.lattice import Lattice, Region, ViewBox
from ctseg_models.contract.plan import AllowedSizes, Growth, Intensity, StagePlan
from tests.models.making import oblique_geometry

LOCALISER = StagePlan(
    "localise",
    (Intensity(),),
    (6.0, 6.0, 6.0),
    sizes=AllowedSizes(min=(32, 32, 32), max=(256, 80, 80), step=(16, 16, 16)),
)
SEGMENTER = StagePlan(
    "segment",
    (Intensity(),),
    (2.0, 2.0, 2.0),
    sizes=AllowedSizes(min=(32, 32, 32), max=(160, 128, 160), step=(16, 16, 16)),
    growth=Growth(factor=1.0, add_mm=0.1),
)


def test_a_whole_volume_is_divided_evenly_and_padded_on_both_sides() -> None:
    lattice = LOCALISER.lattice(ViewBox((0, 0, 0), (336.0, 303.0, 366.0)), divide_evenly=True)
    assert lattice.shape == (64, 64, 64)
    assert lattice.spacing_mm == pytest.approx((6, 303 / 51, 6))
    assert lattice.low_mm == pytest.approx((-4 * 6, -6 * 303 / 51, -6))


def test_a_roi_keeps_the_spacing_and_its_centre() -> None:
    box = ViewBox((10, 20, 30), (10 + 100, 20 + 63, 30 + 64.5))
    lattice = SEGMENTER.lattice(box, divide_evenly=False)
    assert lattice.spacing_mm == (2, 2, 2)
    assert lattice.shape == (64, 32, 48)  # 50, 32 and 33 voxels are needed
    middle = [(a + b) / 2 for a, b in zip(lattice.box.low, lattice.box.high, strict=True)]
    assert middle == pytest.approx(
        [60, 51.5, 62.25 + 1]
    )  # 15 voxels of 2 mm to add along x: 7 before, 8 after


def test_the_spacing_grows_until_the_largest_size_holds_the_box() -> None:
    lattice = SEGMENTER.lattice(ViewBox((0, 0, 0), (100, 300, 100)), divide_evenly=False)
    assert lattice.spacing_mm[1] == pytest.approx(2.4)  # 300 / 128 = 2.34
    assert lattice.shape[1] == 128


def test_what_never_fits_is_a_sentence() -> None:
    with pytest.raises(BundleError, match="does not fit this bundle"):
        SEGMENTER.lattice(ViewBox((0, 0, 0), (1e6, 10, 10)), divide_evenly=False)


def test_a_lattices_geometry_lies_where_its_mm_say() -> None:
    geometry = oblique_geometry((7, 8, 9), (3.0, 2.0, 1.7))
    view = AxisView.of(geometry).geometry(geometry)
    lattice = Lattice((4.5, -2.0, 3.4), (1.5, 4.0, 3.4), (5, 6, 7))
    point = lattice.geometry(view).index_to_lps((2, 1, 3))
    in_view = [(4.5 + 2.5 * 1.5) / 3.0 - 0.5, (-2 + 1.5 * 4) / 2.0 - 0.5, (3.4 + 3.5 * 3.4) / 1.7 - 0.5]
    assert point == pytest.approx(view.index_to_lps(in_view))


def test_a_box_holds_the_voxels_whose_centre_it_holds() -> None:
    geometry = oblique_geometry((7, 8, 9), (3.0, 2.0, 1.7), degrees=0)
    assert ViewBox((1.4, -5, 2.6), (7.6, 99, 6.0)).voxels(geometry) == ((0, 0, 2), (3, 8, 4))


def test_a_region_of_stored_voxels_comes_back() -> None:
    geometry = oblique_geometry((7, 8, 9), (3.0, 2.0, 1.7), degrees=0)
    box = Region.from_index(geometry, (1, 2, 3), (4, 6, 9)).box(geometry)
    assert box.voxels(geometry) == ((1, 2, 3), (4, 6, 9))


def test_a_region_outside_is_a_sentence() -> None:
    geometry = oblique_geometry((7, 8, 9), (3.0, 2.0, 1.7))
    with pytest.raises(BundleError, match="holds no voxel"):
        Region((900.0, 900.0, 900.0), (950.0, 950.0, 950.0)).box(geometry)


def test_what_is_equal_to_the_volume_stays_equal() -> None:
    plan = StagePlan("segment", (Intensity(),), (1.5, 2.0, 2.5))
    lattice = plan.lattice(ViewBox((0, 0, 0), (9 * 1.5, 8 * 2.0, 7 * 2.5)), divide_evenly=True)
    assert lattice.shape == (9, 8, 7)
    assert np.allclose(lattice.low_mm, 0)
