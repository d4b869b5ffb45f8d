"""Lengths, angles, regions and labels, against values worked by hand, matplotlib, scipy and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from scipy import ndimage

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.geometry import AxisView, Geometry
from ctseg_imaging.measurements import DrawnShape, Kind, label_values, measure
from ctseg_imaging.measurements.lengths import short_diameter
from ctseg_imaging.measurements.regions import even_odd_area
from ctseg_imaging.volume import LabelMap, Labels, ViewOnlyVolume, Volume

# Turned about an axis that is none of the patient's: Rodrigues' formula for 40 degrees about (1, 2, 2) / 3.
_K = np.array([[0, -2, 2], [2, 0, -1], [-2, 1, 0]]) / 3
TURNED = np.eye(3) + np.sin(np.radians(40)) * _K + (1 - np.cos(np.radians(40))) * _K @ _K
SHAPE = (9, 20, 31)


def oblique(array: np.ndarray | None = None) -> Volume:
    """20 x 31 voxels of 3 x 2 mm in 9 slices 4 mm apart, turned in the patient."""
    values = np.random.default_rng(3).integers(-900, 900, SHAPE, np.int16) if array is None else array
    geometry = Geometry.from_parts(values.shape, (4.0, 3.0, 2.0), (-70.0, 31.5, 812.0), TURNED)
    return Volume(values, geometry, modality="CT")


def on_slice(kind: Kind, axis: int, index: float, flat: np.ndarray) -> DrawnShape:
    points = np.insert(np.asarray(flat, float), axis, index, axis=1)
    return DrawnShape(kind, axis, tuple(map(tuple, points.tolist())))


@pytest.mark.parametrize(
    ("axis", "points", "mm"),
    [
        (0, [(5, 2, 3), (5, 3, 5)], 5.0),  # 1 x 3 mm and 2 x 2 mm: 3, 4, 5
        (1, [(1, 7, 2), (4, 7, 10)], 20.0),  # 3 x 4 mm and 8 x 2 mm: 12, 16, 20
        (2, [(2.5, 3, 9), (0.5, 5, 9)], 10.0),  # 2 x 4 mm and 2 x 3 mm: 8, 6, 10
        (0, [(5, 2, 3), (5, 3, 5), (5, 3, 0), (5, 13, 0)], 45.0),  # 5 + 10 + 30 mm along a line
    ],
)
def test_a_ruler_in_each_plane(axis, points, mm):
    assert measure(DrawnShape(Kind.RULER, axis, tuple(points)), oblique()).length_mm == pytest.approx(mm)


@pytest.mark.parametrize(
    ("end", "other", "degrees"),
    [
        ((4, 6, 10), (4, 2, 20), 90.0),
        ((4, 6, 10), (4, 6, 16), 45.0),  # 12 mm down, and 12 mm across
        ((4, 2, 12), (4, 2, 18), 0.0),
        ((4, 2, 12), (4, 2, 8), 180.0),
        ((4, 4, 10), (4, 2, 10), 0.0),  # an arm without length
        ((4, 3, 10), (4, 3, 10 + 1.5 * np.sqrt(3)), 60.0),  # tan 60 = sqrt 3, times 3 mm, in voxels of 2 mm
    ],
)
def test_an_angle_is_measured_in_mm_and_not_in_voxels(end, other, degrees):
    shape = DrawnShape(Kind.ANGLE, 0, (end, (4, 2, 10), other))
    assert measure(shape, oblique()).angle_degrees == pytest.approx(degrees, abs=1e-6)


def test_a_recist_pair_gives_the_longer_diameter_first():
    pair = ((3, 5, 5), (3, 5, 11), (3, 2, 8), (3, 8, 8))  # 12 mm across; 18 mm down
    found = measure(DrawnShape(Kind.RECIST, 0, pair), oblique())
    assert (found.long_mm, found.short_mm) == (pytest.approx(18), pytest.approx(12))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_short_diameter_is_perpendicular_in_the_patient(axis):
    volume = oblique()
    long = np.insert([[2.0, 3.0], [6.5, 8.0]], axis, 4, axis=1)
    short = short_diameter(volume.geometry, axis, long, 0.25, (3.0, 7.0))
    assert short[:, axis] == pytest.approx([4, 4])
    a, b, c, d = volume.geometry.index_to_lps(np.concatenate([long, short]))
    crossing = a + 0.25 * (b - a)
    assert np.dot(b - a, d - c) == pytest.approx(0, abs=1e-6)
    assert np.linalg.norm(c - crossing) == pytest.approx(3) and np.linalg.norm(d - crossing) == pytest.approx(
        7
    )


def test_a_rectangle_by_hand():
    array = np.zeros(SHAPE, np.int16)
    array[6, 4:8, 10:13] = [[10, 20, 30]] * 4
    shape = on_slice(Kind.RECTANGLE, 0, 6, [(3.5, 9.5), (3.5, 12.5), (7.5, 12.5), (7.5, 9.5)])
    found = measure(shape, oblique(array))
    assert found.area_mm2 == pytest.approx(4 * 3 * 3 * 2) and found.voxels == 12
    assert (found.mean, found.minimum, found.maximum) == (20, 10, 30)
    assert found.sd == pytest.approx(np.sqrt(200 / 3))


def test_an_ellipse_by_its_equation():
    volume = oblique()
    corners = [(2.2, 5.1), (2.2, 15.7), (14.6, 15.7), (14.6, 5.1)]
    found = measure(on_slice(Kind.ELLIPSE, 1, 3, corners), oblique(volume.array.transpose(1, 0, 2)))
    inside = [
        volume.array[3, z, x]
        for z in range(20)
        for x in range(31)
        if ((z - 8.4) / 6.2) ** 2 + ((x - 10.4) / 5.3) ** 2 <= 1
    ]
    assert found.voxels == len(inside)
    assert found.mean == pytest.approx(np.mean(inside)) and found.sd == pytest.approx(np.std(inside))
    assert found.area_mm2 == pytest.approx(np.pi * 6.2 * 4 * 5.3 * 2)  # coronal: voxels of 4 x 2 mm


def test_a_turned_ellipse_is_inscribed_in_its_rectangle():
    centre, half = np.array([9.0, 14.0]), np.array([[4.0, 3.0], [-1.5, 2.0]])
    corners = [centre + a * half[0] + b * half[1] for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    mask = np.zeros(SHAPE[1:], bool)
    for y, x in np.ndindex(mask.shape):
        a = np.dot((y, x) - centre, half[0]) / 25  # the half sides are at right angles, 5 and 2.5 long
        b = np.dot((y, x) - centre, half[1]) / 6.25
        mask[y, x] = a * a + b * b <= 1
    volume = oblique()
    found = measure(on_slice(Kind.ELLIPSE, 0, 2, np.array(corners)), volume)
    assert found.voxels == mask.sum() > 30 and found.mean == pytest.approx(volume.array[2][mask].mean())


@pytest.mark.parametrize("axis", [0, 1, 2])
@given(seed=st.integers(0, 10_000), count=st.integers(3, 12))
def test_a_polygon_holds_the_centres_that_matplotlib_finds(axis, seed, count):
    volume = oblique()
    size = np.delete(SHAPE, axis)
    flat = np.random.default_rng(seed).uniform(-3, size + 3, (count, 2))  # crosses itself, leaves the image
    found = measure(on_slice(Kind.POLYGON, axis, 5, flat), volume)
    grid = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1).reshape(-1, 2)
    inside = Outline(flat, closed=False).contains_points(grid).reshape(size)
    values = np.take(volume.array, 5, axis=axis)[inside]
    assert found.voxels == values.size
    if values.size:
        assert found.mean == pytest.approx(values.mean()) and found.sd == pytest.approx(
            values.std(), abs=1e-9
        )
        assert (found.minimum, found.maximum) == (values.min(), values.max())


@pytest.mark.parametrize(
    ("corners", "area"),
    [
        ([(0, 0), (0, 4), (3, 4), (3, 0)], 12.0),
        ([(0, 0), (4, 4), (4, 0), (0, 4)], 8.0),  # two triangles that meet in a point
        ([(0, 0), (0, 4), (4, 4), (4, 0), (0, 0), (1, 1), (1, 3), (3, 3), (3, 1), (1, 1)], 12.0),  # a hole
        ([(0, 0), (0, 4), (4, 4), (4, 0)] * 2, 0.0),  # round twice: outside again
    ],
)
def test_the_area_of_a_polygon_is_even_odd(corners, area):
    assert even_odd_area(corners) == pytest.approx(area)


def test_the_area_of_a_star_is_that_of_its_five_points():
    turns = np.radians(90 + 144 * np.arange(5))
    star = 30 * np.stack([np.sin(turns), np.cos(turns)], axis=1)
    steps = (np.arange(1200) + 0.5) / 20 - 30
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    assert even_odd_area(star) == pytest.approx(Outline(star).contains_points(grid).sum() / 400, rel=1e-3)


def test_neighbouring_rectangles_share_no_voxel():
    volume = oblique()
    left = on_slice(Kind.RECTANGLE, 0, 1, [(2, 2), (2, 9), (8, 9), (8, 2)])
    right = on_slice(Kind.RECTANGLE, 0, 1, [(2, 9), (2, 15), (8, 15), (8, 9)])
    both = on_slice(Kind.POLYGON, 0, 1, [(2, 2), (2, 15), (8, 15), (8, 2)])
    counts = [measure(shape, volume).voxels for shape in (left, right, both)]
    assert counts == [6 * 7, 6 * 6, 6 * 13]


def test_a_region_off_the_image_has_an_area_and_no_values():
    found = measure(on_slice(Kind.RECTANGLE, 0, 1, [(-9, -9), (-9, -5), (-5, -5), (-5, -9)]), oblique())
    assert found.area_mm2 == pytest.approx(96) and found.voxels == 0
    assert found.mean is found.sd is found.minimum is found.maximum is None


def test_values_that_are_not_finite_are_left_out():
    array = np.full(SHAPE, 7.0, np.float32)
    array[2, 5, 5:7] = np.nan, np.inf
    found = measure(on_slice(Kind.RECTANGLE, 0, 2, [(4, 4), (4, 8), (7, 8), (7, 4)]), oblique(array))
    assert (found.voxels, found.mean, found.sd) == (12, 7.0, 0.0)


@pytest.mark.parametrize("codes", [((0, 1, 2), (False, True, False)), ((2, 0, 1), (True, False, True))])
def test_a_shape_measures_the_same_in_another_voxel_order(codes):
    volume, view = oblique(), AxisView(*codes)
    turned = Volume(view.apply(volume.array), view.geometry(volume.geometry), modality="CT")
    for axis in range(3):
        flat = np.array([(1.2, 2.4), (2.1, 14.9), (7.7, 12.2), (6.1, 3.3)])
        shape = on_slice(Kind.POLYGON, axis, 4, flat)
        before, after = measure(shape, volume), measure(shape.seen_in(view, SHAPE), turned)
        assert after.voxels == before.voxels > 20
        assert after.area_mm2 == pytest.approx(before.area_mm2) and after.mean == pytest.approx(before.mean)


@pytest.mark.parametrize(
    ("kind", "axis", "points", "words"),
    [
        (Kind.RULER, 0, ((0, 0, 0),), "at least 2"),
        (Kind.ANGLE, 0, ((0, 0, 0), (0, 1, 1)), "3 points"),
        (Kind.RECIST, 0, ((0, 0, 0), (0, 1, 1), (0, 2, 2)), "4 points"),
        (Kind.RULER, 0, ((0, 0, 0), (1, 1, 1)), "one slice"),
        (Kind.RULER, 3, ((0, 0, 0), (0, 1, 1)), "axis"),
        (Kind.RULER, 0, ((0, 0, 0), (0, np.nan, 1)), "finite"),
        (Kind.ELLIPSE, 0, ((0, 0, 0), (0, 0, 4), (0, 3, 9), (0, 3, 0)), "parallelogram"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(kind, axis, points, words):
    with pytest.raises(ValueError, match=words):
        DrawnShape(kind, axis, points)


def test_a_view_only_volume_is_not_measured():
    volume = ViewOnlyVolume(**vars(oblique()), why="a slice is missing")
    with pytest.raises(GeometryError, match="viewing only"):
        measure(DrawnShape(Kind.RULER, 0, ((0, 0, 0), (0, 1, 1))), volume)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
@pytest.mark.parametrize("codes", [((0, 1, 2), (False, False, False)), ((1, 2, 0), (True, False, True))])
def test_labels_have_scipys_means_and_deviations(dtype, codes):
    volume, view = oblique(), AxisView(*codes)
    random = np.random.default_rng(5)
    labels = random.choice(
        np.array([0, 1, 2, 7, 250 if dtype is np.uint8 else 70_000 % 65_521], dtype), SHAPE
    )
    if dtype is np.int32:
        labels[labels == 7] = 1_000_000
    image = Volume(view.apply(volume.array), view.geometry(volume.geometry), modality="CT")
    found = label_values(LabelMap(labels, volume.geometry, Labels.from_names({1: "liver"})), image)
    values = [int(value) for value in np.unique(labels) if value]
    assert [one.value for one in found] == values and found[0].name == "liver"
    for one in found:
        assert one.voxels == (labels == one.value).sum()
        assert one.volume_ml == pytest.approx(one.voxels * 4 * 3 * 2 / 1000)
        assert one.mean == pytest.approx(ndimage.mean(volume.array, labels, one.value))
        assert one.sd == pytest.approx(ndimage.standard_deviation(volume.array, labels, one.value))


def test_labels_without_an_image_have_a_volume_only_and_another_grid_is_refused():
    volume = oblique()
    label_map = LabelMap(np.ones(SHAPE, np.uint8), volume.geometry)
    (one,) = label_values(label_map)
    assert (one.volume_ml, one.mean, one.sd) == (pytest.approx(9 * 20 * 31 * 0.024), None, None)
    elsewhere = Volume(volume.array, Geometry.from_parts(SHAPE, (4, 3, 2)), modality="CT")
    with pytest.raises(GeometryError, match="another grid"):
        label_values(label_map, elsewhere)


def test_a_far_away_mean_does_not_spoil_a_deviation():
    array = (np.random.default_rng(0).normal(0, 1, SHAPE) + 1e7).astype(np.float64)
    (one,) = label_values(LabelMap(np.ones(SHAPE, np.uint8), oblique().geometry), oblique(array))
    assert one.sd == pytest.approx(array.std(), rel=1e-9)
