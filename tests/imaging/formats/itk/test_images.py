"""SimpleITK images become volumes and come back, judged by SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk

from ctseg_imaging import formats
from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Volume

OBLIQUE = np.linalg.qr(np.array([[1, 0.2, -0.1], [-0.2, 1, 0.3], [0.1, -0.3, 1.0]]))[0]
SPACING, ORIGIN = (0.9765625, 1.7, 3.27), (-12.3, 30.1, 100.7)  # (x, y, z)


def image(dtype=np.int16, components=1) -> sitk.Image:
    shape = (7, 8, 9, components) if components > 1 else (7, 8, 9)
    voxels = np.random.default_rng(3).integers(0, 100, shape).astype(dtype)
    made = sitk.GetImageFromArray(voxels, isVector=components > 1)
    made.SetSpacing(SPACING)
    made.SetOrigin(ORIGIN)
    made.SetDirection(OBLIQUE.ravel().tolist())
    return made


def numbers(one: sitk.Image) -> tuple:
    return one.GetSize(), one.GetSpacing(), one.GetOrigin(), one.GetDirection(), one.GetPixelIDTypeAsString()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float32, np.float64])
def test_voxels_and_geometry_survive_to_the_bit(dtype):
    made = image(dtype)
    volume = Volume.from_sitk(made)
    assert volume.shape == (7, 8, 9)
    assert volume.spacing_mm == SPACING[::-1]
    assert volume.array.dtype == dtype
    again = volume.to_sitk()
    assert numbers(again) == numbers(made)
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(again), sitk.GetArrayViewFromImage(made))


def test_voxel_centres_are_where_simpleitk_has_them():
    made = image()
    geometry = Volume.from_sitk(made).geometry
    for z, y, x in ((0, 0, 0), (6, 3, 2), (1, 7, 8)):
        expected = made.TransformIndexToPhysicalPoint((x, y, z))
        np.testing.assert_allclose(geometry.index_to_lps((z, y, x)), expected, atol=1e-12)
    made_of_parts = Volume(np.zeros((7, 8, 9), np.int16), Geometry(geometry.shape, geometry.affine_lps))
    for size, spacing, origin, direction, _ in (numbers(made_of_parts.to_sitk()),):
        assert size == (9, 8, 7)
        np.testing.assert_allclose(spacing, SPACING, rtol=1e-14)
        assert origin == ORIGIN
        np.testing.assert_allclose(direction, OBLIQUE.ravel(), atol=1e-14)


def test_a_volume_of_an_image_is_the_volume_of_its_file(tmp_path):
    sitk.WriteImage(image(), str(tmp_path / "a.mha"))
    of_file, of_image = formats.read(tmp_path / "a.mha"), Volume.from_sitk(image())
    np.testing.assert_array_equal(of_file.array, of_image.array)
    np.testing.assert_array_equal(of_file.geometry.affine_lps, of_image.geometry.affine_lps)
    assert of_file.spacing_mm == of_image.spacing_mm


def test_voxels_are_copies():
    made = image()
    volume = Volume.from_sitk(made)
    first = int(volume.array[0, 0, 0])
    made.SetPixel((0, 0, 0), first + 1)
    again = volume.to_sitk()
    volume.array[0, 0, 0] = first + 2
    assert again.GetPixel((0, 0, 0)) == first


def test_several_numbers_a_voxel_become_channels():
    made = image(components=2)
    volume = Volume.from_sitk(made)
    assert volume.shape == (2, 7, 8, 9)
    for channel in range(2):
        expected = sitk.GetArrayFromImage(sitk.VectorIndexSelectionCast(made, channel))
        np.testing.assert_array_equal(volume.array[channel], expected)
        extracted = sitk.Extract(volume.to_sitk(), (9, 8, 7, 0), (0, 0, 0, channel))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(extracted), expected)
        assert extracted.GetSpacing() == pytest.approx(SPACING, rel=1e-14)
        np.testing.assert_allclose(extracted.GetDirection(), OBLIQUE.ravel(), atol=1e-14)


def test_four_dimensions_are_channels():
    made = sitk.JoinSeries([image(), image()], 0.0, 5.0)
    volume = Volume.from_sitk(made)
    assert volume.shape == (2, 7, 8, 9)
    np.testing.assert_array_equal(volume.geometry.affine_lps, Volume.from_sitk(image()).geometry.affine_lps)


def test_metadata_of_a_patient_are_left_out():
    made = image()
    made.SetMetaData("0010|0010", "Doe^Jane")
    assert Volume.from_sitk(made).to_sitk().GetMetaDataKeys() == ()


def test_label_maps_and_masks():
    mask = Volume(np.arange(504).reshape(7, 8, 9) % 2 == 0, Geometry.from_parts((7, 8, 9), (3.27, 1.7, 0.9)))
    assert mask.to_sitk().GetPixelID() == sitk.sitkUInt8
    labels = LabelMap.from_volume(Volume.from_sitk(image(np.float32)), {1: "liver"})
    assert labels.labels.name(1) == "liver"
    assert numbers(labels.to_sitk()) == (*numbers(image())[:4], "8-bit unsigned integer")


@pytest.mark.parametrize(
    ("made", "error", "message"),
    [
        (sitk.Image(4, 5, sitk.sitkInt16), FormatError, "has 2 dimensions"),
        (sitk.Image([4, 5, 6], sitk.sitkComplexFloat32), FormatError, "complex64"),
        (sitk.Image([4, 5, 6], sitk.sitkLabelUInt8), FormatError, "label objects"),
        (np.zeros((4, 5, 6)), FormatError, "not ndarray"),
        (None, FormatError, "not NoneType"),
    ],
)
def test_other_images_are_refused(made, error, message):
    with pytest.raises(error, match=message):
        Volume.from_sitk(made)


def test_a_sheared_direction_is_refused():
    made = image()
    made.SetDirection((1, 0.3, 0, 0, 1, 0, 0, 0, 1))
    with pytest.raises(GeometryError, match="sheared"):
        Volume.from_sitk(made)
    four = sitk.Image([3, 4, 5, 6], sitk.sitkInt16)
    four.SetDirection((1, 0, 0, 0.5, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1))
    with pytest.raises(FormatError, match="fourth axis"):
        Volume.from_sitk(four)
