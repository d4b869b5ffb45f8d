"""Geometry against SimpleITK's own arithmetic, and AxisView against the definition of an upright LPS view."""

from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.geometry import AxisView, Geometry, Match, nearest_axes

SHAPE, SPACING, ORIGIN = (7, 8, 9), (3.0, 1.7, 0.9), (-120.5, 33.25, 871.0)


def turned(x_degrees: float, y_degrees: float, z_degrees: float) -> np.ndarray:
    """Rotation about x, then y, then z."""
    a, b, c = np.radians([x_degrees, y_degrees, z_degrees])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def oblique() -> Geometry:
    return Geometry.from_parts(SHAPE, SPACING, ORIGIN, turned(12, -7, 25))


def as_itk(geometry: Geometry) -> sitk.Image:
    image = sitk.Image([int(n) for n in geometry.shape[::-1]], sitk.sitkUInt8)
    image.SetSpacing(geometry.spacing_mm[::-1])
    image.SetOrigin(geometry.origin_lps_mm)
    image.SetDirection(geometry.direction.ravel().tolist())
    return image


@given(index=st.tuples(*[st.integers(0, n - 1) for n in SHAPE]))
def test_a_voxel_lies_where_itk_puts_it(index):
    geometry = oblique()
    expected = as_itk(geometry).TransformIndexToPhysicalPoint([int(i) for i in index[::-1]])
    np.testing.assert_allclose(geometry.index_to_lps(index), expected, atol=1e-9)
    np.testing.assert_allclose(geometry.lps_to_index(expected), index, atol=1e-9)


def test_parts_come_back():
    geometry = oblique()
    assert geometry.spacing_mm == pytest.approx(SPACING)
    assert geometry.origin_lps_mm == ORIGIN
    np.testing.assert_allclose(geometry.direction, turned(12, -7, 25), atol=1e-12)
    assert geometry.voxel_volume_mm3 == pytest.approx(3.0 * 1.7 * 0.9)


@pytest.mark.parametrize(
    ("affine", "word"),
    [
        (np.diag([1, 1, 0, 1.0]), "zero"),
        (np.full((4, 4), np.nan), "finite"),
        (np.eye(3), "4x4"),
        (np.array([[0, 0.3, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]]), "sheared"),
    ],
)
def test_what_is_no_box_is_refused(affine, word):
    with pytest.raises(GeometryError, match=word):
        Geometry((3, 4, 5), affine)


def test_affine_cannot_be_changed_behind_its_back():
    source = np.eye(4)
    geometry = Geometry((2, 3, 4), source)
    source[0, 3] = 5
    assert geometry.origin_lps_mm == (0, 0, 0)
    with pytest.raises(ValueError):
        geometry.affine_lps[0, 0] = 2


def test_axis_codes_and_obliqueness():
    assert Geometry.from_parts(SHAPE, SPACING).axis_codes == "SPL"
    assert Geometry.from_parts(SHAPE, SPACING, direction=np.diag([-1, -1, 1])).axis_codes == "SAR"
    assert not Geometry.from_parts(SHAPE, SPACING).is_oblique
    assert oblique().is_oblique


def test_crop_keeps_the_lattice():
    geometry = oblique()
    part = geometry.crop((2, 1, -3), (6, 8, 4))
    assert part.shape == (4, 7, 7)
    np.testing.assert_allclose(part.index_to_lps((1, 2, 3)), geometry.index_to_lps((3, 3, 0)))


def test_with_spacing_keeps_the_outer_face_and_the_extent():
    geometry = oblique()
    finer = geometry.with_spacing((1.5, 1.7, 0.45))
    assert finer.shape == (14, 8, 18)
    np.testing.assert_allclose(
        finer.index_to_lps((-0.5, -0.5, -0.5)), geometry.index_to_lps((-0.5, -0.5, -0.5))
    )
    np.testing.assert_allclose(finer.index_to_lps((13.5, 7.5, 17.5)), geometry.index_to_lps((6.5, 7.5, 8.5)))


def test_matches_tells_the_five_cases_apart():
    geometry = oblique()

    def moved(voxels):
        affine = geometry.affine_lps.copy()
        affine[:3, 3] = geometry.index_to_lps(voxels)
        return Geometry(geometry.shape, affine)

    assert geometry.matches(oblique()) == Match.SAME
    assert geometry.matches(moved((0, 0, 4e-4))) == Match.ROUNDING
    assert geometry.matches(moved((0, 0.5, 0))) == Match.SHIFTED
    assert geometry.matches(geometry.crop((1, 1, 1), (5, 5, 5))) == Match.SHIFTED
    assert geometry.matches(geometry.with_spacing((2, 2, 2))) == Match.OTHER_GRID
    assert geometry.matches(moved((0, 8.001, 0))) == Match.NO_OVERLAP


def test_boxes_whose_hulls_overlap_but_that_do_not_touch():
    """A rod across the corner of a cube: only the separating axis test, not a bounding box, sees the gap."""
    cube = Geometry.from_parts((10, 10, 10), (1, 1, 1))
    rod = Geometry.from_parts((2, 2, 40), (1, 1, 1), (-2.5, 27, 4), turned(0, 0, -45))
    low, high = rod.corners_lps_mm().min(0), rod.corners_lps_mm().max(0)
    assert (low < 9.5).all()
    assert (high > -0.5).all()
    assert cube.matches(rod) == Match.NO_OVERLAP


@pytest.mark.parametrize(
    ("order", "signs"), list(product(permutations(range(3)), product((1, -1), repeat=3)))
)
def test_view_is_upright_for_all_48_orientations(order, signs):
    """Whatever the storage, the view runs to superior, posterior, left; the same point has the same value; no
    copy; exactly back.
    """
    direction = np.zeros((3, 3))
    direction[list(order), range(3)] = signs
    geometry = Geometry.from_parts(SHAPE, SPACING, ORIGIN, direction @ turned(3, 4, 5))
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    view = AxisView.of(geometry)
    seen, grid = view.apply(array), view.geometry(geometry)
    assert grid.axis_codes == "SPL"
    assert np.shares_memory(seen, array)
    for index in ((0, 0, 0), (1, 2, 3), tuple(n - 1 for n in grid.shape)):
        stored = np.rint(geometry.lps_to_index(grid.index_to_lps(index))).astype(int)
        assert seen[index] == array[tuple(stored)]
    back = view.invert(seen)
    assert np.shares_memory(back, array)
    assert back.strides == array.strides
    np.testing.assert_array_equal(back, array)


def test_view_of_channels_leaves_them_first():
    geometry = Geometry.from_parts(SHAPE, SPACING, direction=np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]]))
    array = np.zeros((2, *SHAPE))
    view = AxisView.of(geometry)
    assert view.apply(array).shape == (2, *view.geometry(geometry).shape)
    assert view.invert(view.apply(array)).shape == array.shape


def test_nearest_axes_stay_one_to_one_at_45_degrees():
    assert sorted(nearest_axes(turned(45, 0, 45)[:, ::-1])) == [0, 1, 2]
    assert nearest_axes(np.eye(3)[:, ::-1]) == (2, 1, 0)


ORIENTATIONS = [
    AxisView(order, flips) for order in permutations(range(3)) for flips in product((False, True), repeat=3)
]


@pytest.mark.parametrize("degrees", [(12, -8, 20), (0, 0, 45)], ids=["oblique", "at 45 degrees"])
@pytest.mark.parametrize("view", ORIENTATIONS, ids=str)
def test_one_lattice_in_another_voxel_order_is_reoriented(view, degrees):
    grid = Geometry.from_parts((5, 6, 7), (3.0, 1.5, 0.7), (10, -20, 30), turned(*degrees))
    array = np.arange(5 * 6 * 7).reshape(5, 6, 7)
    other, stored = view.geometry(grid), view.apply(array)
    identity = view == AxisView((0, 1, 2), (False, False, False))
    assert grid.matches(other) == (Match.SAME if identity else Match.REORIENTED)
    back = AxisView.between(other, grid)
    np.testing.assert_array_equal(back.apply(stored), array)


def test_a_flip_that_leaves_the_lattice_is_no_reorientation():
    grid = Geometry.from_parts((5, 6, 7), (3.0, 1.5, 0.7))
    flipped = AxisView((0, 1, 2), (False, False, True)).geometry(grid)
    affine = flipped.affine_lps.copy()
    affine[0, 3] += 0.35
    assert grid.matches(Geometry(flipped.shape, affine)) == Match.OTHER_GRID
    assert AxisView.between(Geometry(flipped.shape, affine), grid) is None
