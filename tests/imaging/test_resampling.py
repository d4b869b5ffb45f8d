"""Resampling against SimpleITK's resampler and against a field that is linear in the patient's space."""

import numpy as np
import pytest
import SimpleITK as sitk

from ctseg_imaging.geometry import AxisView, Geometry
from ctseg_imaging.resampling import resample, resample_labels, resample_to_spacing
from ctseg_imaging.volume import LabelMap, Labels, Volume

TURN = np.linalg.qr(np.array([[1, 0.2, -0.1], [-0.2, 1, 0.3], [0.1, -0.3, 1.0]]))[0]
SOURCE = Geometry.from_parts((11, 14, 17), (3.0, 1.7, 0.9), (-12.0, 30.0, 100.0), TURN)


def linear_field(geometry: Geometry) -> np.ndarray:
    """2x - 3y + 0.5z + 7 at each voxel, (x, y, z) in LPS mm; trilinear sampling is exact on it."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), -1)
    return geometry.index_to_lps(index) @ [2, -3, 0.5] + 7


def inside(geometry: Geometry, source: Geometry) -> np.ndarray:
    """Voxels of `geometry` between the outermost voxel centres of `source`."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), -1)
    at = source.lps_to_index(geometry.index_to_lps(index))
    return ((at >= 0) & (at <= np.array(source.shape) - 1)).all(-1)


def at_a_tie(geometry: Geometry, source: Geometry) -> np.ndarray:
    """Voxels of `geometry` half way between two voxels of `source`, where every program rounds as it
    likes.
    """
    index = np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), -1)
    at = source.lps_to_index(geometry.index_to_lps(index))
    return (np.abs(at - np.floor(at) - 0.5) < 1e-6).any(-1)


def targets() -> dict[str, Geometry]:
    turned = AxisView((1, 2, 0), (True, False, True)).geometry(SOURCE)
    return {
        "finer": SOURCE.with_spacing((1.1, 0.8, 0.7)),
        "coarser": SOURCE.with_spacing((4.0, 3.3, 2.1)),
        "crop": SOURCE.crop((2, 3, 4), (9, 9, 9)),
        "beyond": SOURCE.crop((-3, 2, -4), (8, 20, 30)),
        "swapped and turned": turned.with_spacing((1.3, 1.2, 1.9)),
        "oblique": Geometry.from_parts((9, 10, 12), (2.1, 1.9, 1.3), SOURCE.index_to_lps((1, 3, 2))),
    }


@pytest.mark.parametrize("name", targets())
def test_a_linear_field_comes_back_exactly(name):
    onto = targets()[name]
    volume = Volume(linear_field(SOURCE), SOURCE)
    result = resample(volume, onto, 1)
    where = inside(onto, SOURCE)
    assert where.any()
    np.testing.assert_allclose(result.array[where], linear_field(onto)[where], atol=1e-9)
    assert result.geometry is onto
    assert result.header is None


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("name", targets())
def test_agrees_with_simpleitk(name, order):
    onto = targets()[name]
    array = np.random.default_rng(1).integers(-1000, 1000, SOURCE.shape).astype(np.int16)
    image = sitk.GetImageFromArray(array.astype(np.float64))
    image.SetSpacing(SOURCE.spacing_mm[::-1])
    image.SetOrigin(SOURCE.origin_lps_mm)
    image.SetDirection(SOURCE.direction.ravel().tolist())
    expected = sitk.GetArrayFromImage(
        sitk.Resample(
            image,
            onto.shape[::-1],
            sitk.Transform(),
            sitk.sitkLinear if order else sitk.sitkNearestNeighbor,
            onto.origin_lps_mm,
            onto.spacing_mm[::-1],
            onto.direction.ravel().tolist(),
            -3000.0,
            sitk.sitkFloat64,
        )
    )
    got = resample(Volume(array, SOURCE), onto, order, -3000, dtype=np.float64).array
    where = inside(onto, SOURCE) & ~(at_a_tie(onto, SOURCE) if order == 0 else False)
    assert where.sum() > 50
    assert np.abs(got[where] - expected[where]).max() < (2e-3 if order else 1e-9)
    far = onto.crop((0, 0, 0), onto.shape)
    outside = ~inside(far, SOURCE.crop((-1, -1, -1), tuple(n + 1 for n in SOURCE.shape)))
    assert (got[outside] == -3000).all()


def test_whole_numbers_stay_and_are_rounded():
    array = np.array([[[0, 1, 4]]], np.int16)
    volume = Volume(array, Geometry.from_parts((1, 1, 3), (1, 1, 1)))
    finer = resample_to_spacing(volume, (1, 1, 0.5))
    assert finer.array.dtype == np.int16
    # Voxel centres at -0.25, 0.25, ... 2.25; the border voxels hold on to their outer faces.
    np.testing.assert_array_equal(finer.array[0, 0], np.rint([0, 0.25, 0.75, 1.75, 3.25, 4]))
    np.testing.assert_array_equal(resample_to_spacing(volume, (1, 1, 0.5), 0).array[0, 0], [0, 0, 1, 1, 4, 4])


def test_rounding_does_not_wrap_around():
    array = np.full((3, 4, 5), 32767, np.int16)
    volume = Volume(array, Geometry.from_parts((3, 4, 5), (1, 1, 1)))
    assert (resample_to_spacing(volume, (0.7, 0.6, 0.9), 1).array == 32767).all()


def test_fill_is_the_smallest_finite_value():
    array = np.full(SOURCE.shape, 50.0, np.float32)
    array[0, 0, 0], array[1, 1, 1], array[2, 2, 2] = -1024, -np.inf, np.nan
    result = resample(Volume(array, SOURCE), SOURCE.crop((40, 40, 40), (43, 44, 45)))
    assert (result.array == -1024).all()


def test_nan_stays_where_it_is():
    array = np.zeros((5, 6, 7), np.float32)
    array[2, 3, 4] = np.nan
    grid = Geometry.from_parts(array.shape, (1, 1, 1))
    moved = resample(Volume(array, grid), grid.crop((1, 1, 1), (5, 6, 7)))
    assert np.isnan(moved.array).sum() == 1
    assert np.isnan(moved.array[1, 2, 3])


def test_own_grid_is_given_back_as_it_is():
    volume = Volume(np.zeros(SOURCE.shape, np.int16), SOURCE, header="kept")
    assert resample(volume, SOURCE) is volume


def test_channels_are_resampled_each():
    array = np.stack([linear_field(SOURCE), -linear_field(SOURCE)])
    onto = SOURCE.with_spacing((2, 2, 2))
    result = resample(Volume(array, SOURCE), onto)
    np.testing.assert_allclose(result.array[0], -result.array[1])


def test_labels_keep_their_values_and_names():
    array = np.zeros(SOURCE.shape, np.uint16)
    array[3:7, 4:9, 5:12] = 300
    labels = Labels.from_names({300: "liver"})
    finer = resample_labels(LabelMap(array, SOURCE, labels), SOURCE.with_spacing((1.5, 0.85, 0.45)))
    assert finer.array.dtype == np.uint16
    assert set(np.unique(finer.array)) == {0, 300}
    assert (finer.array == 300).sum() == 8 * (array == 300).sum()
    assert finer.labels is labels


def test_labels_outside_are_background():
    label_map = LabelMap(np.ones(SOURCE.shape, np.uint8), SOURCE)
    wide = resample_labels(label_map, SOURCE.crop((-2, -2, -2), (13, 16, 19)))
    assert wide.array.sum() == label_map.array.size
    assert resample_labels(label_map, SOURCE) is label_map


def test_other_orders_are_a_fault_of_the_caller():
    with pytest.raises(ValueError, match="order"):
        resample(Volume(np.zeros(SOURCE.shape), SOURCE), SOURCE.with_spacing((1, 1, 1)), order=3)
