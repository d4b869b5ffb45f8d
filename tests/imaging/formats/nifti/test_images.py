"""nibabel images become volumes and come back, judged by nibabel."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from ctseg_imaging import formats
from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Volume

OBLIQUE = np.linalg.qr(np.array([[1, 0.2, -0.1], [-0.2, 1, 0.3], [0.1, -0.3, 1.0]]))[0]
AFFINE = np.eye(4)  # (x, y, z) to RAS mm
AFFINE[:3, :3] = OBLIQUE * (0.8, 1.7, 3.3)
AFFINE[:3, 3] = (-12.3, 30.1, 100.7)
TO_LPS = np.diag([-1, -1, 1])


def image(dtype=np.int16, shape=(9, 8, 7), kind=nibabel.Nifti1Image):
    voxels = np.random.default_rng(3).integers(0, 100, shape).astype(dtype)
    return kind(voxels, AFFINE, dtype=dtype) if kind is not nibabel.MGHImage else kind(voxels, AFFINE)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_voxels_and_affine_survive_to_the_bit(dtype, kind):
    made = image(dtype, kind=kind)
    volume = Volume.from_nibabel(made)
    assert volume.shape == (7, 8, 9)
    assert volume.array.dtype == dtype
    assert volume.spacing_mm == pytest.approx((3.3, 1.7, 0.8), rel=1e-14)
    for x, y, z in ((0, 0, 0), (2, 3, 6), (8, 7, 1)):
        expected = TO_LPS @ nibabel.affines.apply_affine(AFFINE, (x, y, z))
        np.testing.assert_allclose(volume.geometry.index_to_lps((z, y, x)), expected, atol=1e-12)
        assert volume.array[z, y, x] == made.dataobj[x, y, z]
    again = volume.to_nibabel()
    assert type(again) is kind
    np.testing.assert_array_equal(again.affine, AFFINE)
    np.testing.assert_array_equal(again.get_fdata(), made.get_fdata())
    assert again.get_data_dtype() == dtype


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "hdr"])
@pytest.mark.parametrize("scaled", [False, True])
def test_a_volume_of_an_image_is_the_volume_of_its_file(tmp_path, ending, scaled):
    path = tmp_path / f"a.{ending}"
    kind = nibabel.Nifti1Pair if ending == "hdr" else nibabel.Nifti1Image
    made = kind(np.random.default_rng(5).normal(0, 300, (9, 8, 7)), AFFINE)
    made.header.set_data_dtype(np.int16 if scaled else np.float32)
    made.header["descrip"] = b"kept"
    nibabel.save(made, path)
    of_file, of_image = formats.read(path), Volume.from_nibabel(nibabel.load(path))
    np.testing.assert_array_equal(of_image.array, of_file.array)
    assert of_image.array.dtype == of_file.array.dtype == np.float32
    np.testing.assert_array_equal(of_image.geometry.affine_lps, of_file.geometry.affine_lps)
    assert (of_image.spacing_mm, of_image.notes) == (of_file.spacing_mm, of_file.notes)
    for volume, name in ((of_file, "b.nii"), (of_image, "c.nii")):
        formats.write(tmp_path / name, volume)
    ours, theirs = (bytearray((tmp_path / name).read_bytes()) for name in ("c.nii", "b.nii"))
    if not scaled:  # nibabel forgets which of the ways to write "not scaled" a file has
        ours[112:120] = theirs[112:120]
    assert ours == theirs


def test_what_nibabel_saves_is_what_we_read(tmp_path):
    voxels = np.random.default_rng(7).normal(0, 1, (7, 8, 9)).astype(np.float32)
    affine_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ AFFINE[:, [2, 1, 0, 3]]
    volume = Volume(voxels, Geometry((7, 8, 9), affine_lps))
    nibabel.save(volume.to_nibabel(), tmp_path / "a.nii.gz")
    again = formats.read(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(again.array, voxels)
    np.testing.assert_allclose(again.geometry.affine_lps, affine_lps, atol=1e-5)  # a file keeps float32
    header = nibabel.load(tmp_path / "a.nii.gz").header
    assert (int(header["qform_code"]), int(header["sform_code"]), header.get_xyzt_units()[0]) == (1, 1, "mm")


def test_a_header_is_kept_and_an_affine_that_was_changed_wins():
    made = image()
    made.header["descrip"] = b"kept"
    volume = Volume.from_nibabel(made)
    assert bytes(volume.to_nibabel().header["descrip"]).rstrip(b"\0") == b"kept"
    made.affine[:3, 3] += 5
    moved = Volume.from_nibabel(made)
    np.testing.assert_allclose(
        np.array(moved.geometry.origin_lps_mm) - volume.geometry.origin_lps_mm, (-5, -5, 5), atol=1e-12
    )


def test_lengths_in_micrometres_become_mm():
    made = image()
    made.header.set_xyzt_units("micron")
    volume = Volume.from_nibabel(made)
    assert volume.spacing_mm == pytest.approx((0.0033, 0.0017, 0.0008), rel=1e-6)
    again = volume.to_nibabel()
    assert again.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(again.affine[:3], AFFINE[:3] / 1000, rtol=1e-6)


def test_four_dimensions_are_channels():
    made = image(shape=(9, 8, 7, 2))
    volume = Volume.from_nibabel(made)
    assert volume.shape == (2, 7, 8, 9)
    again = volume.to_nibabel()
    np.testing.assert_array_equal(again.get_fdata(), made.get_fdata())
    np.testing.assert_array_equal(again.affine, AFFINE)


def test_voxels_are_copies(tmp_path):
    made = image()
    volume = Volume.from_nibabel(made)
    first = int(volume.array[0, 0, 0])
    made.dataobj[0, 0, 0] = first + 1
    again = volume.to_nibabel()
    volume.array[0, 0, 0] = first + 2
    assert again.dataobj[0, 0, 0] == first


def test_other_formats_of_nibabel():
    made = image(np.float32, kind=nibabel.MGHImage)
    volume = Volume.from_nibabel(made)
    np.testing.assert_array_equal(volume.array, np.asarray(made.dataobj).T)
    np.testing.assert_array_equal(volume.to_nibabel().affine, made.affine)


@pytest.mark.parametrize("name", ["scaled+tlrc.HEAD", "phantom_varscale.PAR", "example4d+orig.HEAD"])
def test_formats_that_scale_in_their_own_way_have_their_own_values(name):
    made = nibabel.load(Path(nibabel.__file__).parent / "tests" / "data" / name)
    np.testing.assert_array_equal(Volume.from_nibabel(made).array, np.asarray(made.dataobj).T)


def test_a_slope_beyond_all_sense_is_refused(tmp_path):
    made = image()
    nibabel.save(made, tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[112:116] = np.float32(1e30).tobytes()  # scl_slope, of which a file is refused too
    (tmp_path / "a.nii").write_bytes(data)
    with pytest.raises(FormatError, match="1e\\+30"):
        formats.read(tmp_path / "a.nii")
    with pytest.raises(FormatError, match="1e\\+30"):
        Volume.from_nibabel(nibabel.load(tmp_path / "a.nii"))


def test_without_an_affine_the_orientation_is_unknown():
    volume = Volume.from_nibabel(nibabel.Nifti1Image(np.zeros((9, 8, 7), np.int16), None))
    assert "Orientation unknown" in volume.notes[0]


def test_label_maps_and_masks():
    mask = Volume(np.arange(504).reshape(7, 8, 9) % 2 == 0, Geometry.from_parts((7, 8, 9), (3.3, 1.7, 0.8)))
    assert mask.to_nibabel().get_data_dtype() == np.uint8
    labels = LabelMap.from_volume(Volume.from_nibabel(image(np.float32)), {1: "liver"})
    again = labels.to_nibabel()
    assert again.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(again.affine, AFFINE)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (nibabel.Nifti1Image(np.zeros((4, 5), np.int16), AFFINE), "has 2 dimensions"),
        (nibabel.Nifti1Image(np.zeros((4, 5, 6, 1, 3), np.int16), AFFINE), "has 5 dimensions"),
        (nibabel.Nifti1Image(np.zeros((4, 5, 6), np.complex64), AFFINE), "complex64"),
        (np.zeros((4, 5, 6)), "not ndarray"),
    ],
)
def test_other_images_are_refused(made, message):
    with pytest.raises(FormatError, match=message):
        Volume.from_nibabel(made)


@pytest.mark.parametrize("side", [0, np.nan])
def test_an_affine_changed_to_no_grid_is_refused(side):
    made = image()
    made.affine[:, 0] = side
    with pytest.raises(GeometryError):
        Volume.from_nibabel(made)


def test_a_sheared_affine_is_refused():
    sheared = AFFINE.copy()
    sheared[0, 1] += 1
    with pytest.raises(GeometryError, match="sheared"):
        Volume.from_nibabel(nibabel.Nifti1Image(np.zeros((9, 8, 7), np.int16), sheared))
