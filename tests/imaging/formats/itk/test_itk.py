"""NRRD and MetaImage against SimpleITK, and what SimpleITK lets pass."""

import numpy as np
import pytest
import SimpleITK as sitk

from ctseg_imaging import formats
from ctseg_imaging.errors import ChoiceNeeded, FormatError, GeometryError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels, Volume

TURN = np.linalg.qr(np.array([[1, 0.2, -0.1], [-0.2, 1, 0.3], [0.1, -0.3, 1.0]]))[0]
ENDINGS = ("nrrd", "nhdr", "mha", "mhd")


def image(dtype=np.int16) -> sitk.Image:
    made = sitk.GetImageFromArray(np.random.default_rng(3).integers(0, 100, (7, 8, 9)).astype(dtype))
    made.SetSpacing((0.9765625, 1.7, 3.27))
    made.SetOrigin((-12.3, 30.1, 100.7))
    made.SetDirection(TURN.ravel().tolist())
    return made


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("ending", ENDINGS)
def test_reads_as_simpleitk_and_gives_the_numbers_back(tmp_path, ending, dtype, packed):
    path = tmp_path / f"a.{ending}"
    sitk.WriteImage(image(dtype), str(path), packed)
    expected = sitk.ReadImage(str(path))
    volume = formats.read(path)
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(expected))
    assert volume.array.dtype == dtype
    np.testing.assert_allclose(
        volume.geometry.index_to_lps((6, 3, 2)), expected.TransformIndexToPhysicalPoint((2, 3, 6)), atol=1e-9
    )
    formats.write(tmp_path / f"b.{ending}", volume)
    again = sitk.ReadImage(str(tmp_path / f"b.{ending}"))
    assert (again.GetSpacing(), again.GetOrigin(), again.GetDirection()) == (
        expected.GetSpacing(),
        expected.GetOrigin(),
        expected.GetDirection(),
    )
    np.testing.assert_array_equal(sitk.GetArrayFromImage(again), volume.array)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("ending", ["nrrd", "mha"])
@pytest.mark.parametrize("lost", [1, 100, 600])
def test_cut_files_are_refused(tmp_path, ending, packed, lost):
    path = tmp_path / f"a.{ending}"
    sitk.WriteImage(image(), str(path), packed)
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(FormatError, match=r"cut off|damaged"):
        formats.read(path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("ending", ["nhdr", "mhd"])
def test_cut_and_missing_data_files_are_refused(tmp_path, ending, packed):
    path = tmp_path / f"a.{ending}"
    sitk.WriteImage(image(), str(path), packed)
    (data,) = (file for file in tmp_path.iterdir() if file != path)
    whole = data.read_bytes()
    data.write_bytes(whole[:-50])
    with pytest.raises(FormatError, match=r"cut off|damaged"):
        formats.read(path)
    data.unlink()
    with pytest.raises(FormatError, match="missing"):
        formats.read(path)


@pytest.mark.parametrize("spacing", ["1 1 -2", "1 0 2", "nan 1 1"])
def test_impossible_spacing_is_refused(tmp_path, spacing):
    path = tmp_path / "a.mha"
    sitk.WriteImage(image(), str(path))
    head, tail = path.read_bytes().split(b"ElementSpacing = ")
    path.write_bytes(head + b"ElementSpacing = " + spacing.encode() + tail[tail.index(b"\n") :])
    with pytest.raises(FormatError, match="spacing"):
        formats.read(path)


def test_ras_space_becomes_lps(tmp_path):
    data = np.arange(24, dtype="<i2").reshape(2, 3, 4)
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: right-anterior-superior\nsizes: 4 3 2\n"
        "space directions: (-2,0,0) (0,3,0) (0,0,5)\n"
        "kinds: domain domain domain\nendian: little\nencoding: raw\nspace origin: (10,20,30)\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + data.tobytes())
    volume = formats.read(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(volume.array, data)
    np.testing.assert_allclose(volume.geometry.index_to_lps((1, 1, 1)), (-10 + 2, -20 - 3, 30 + 5))


def test_no_space_is_an_unknown_orientation(tmp_path):
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 3 2\nspacings: 1 2 3\nendian: little\nencoding: "
        "raw\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(48))
    volume = formats.read(tmp_path / "a.nrrd")
    assert volume.geometry.spacing_mm == (3, 2, 1)
    assert "Orientation unknown" in volume.notes[0]


def test_a_sheared_grid_is_refused(tmp_path):
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 3 2\n"
        "space directions: (2,0,0) (0,3,0) (0,1.5,5)\n"
        "kinds: domain domain domain\nendian: little\nencoding: raw\nspace origin: (10,20,30)\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(48))
    with pytest.raises((GeometryError, FormatError), match=r"a\.nrrd"):
        formats.read(tmp_path / "a.nrrd")


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_4d_is_a_choice_and_colour_is_refused(tmp_path, ending):
    series = sitk.JoinSeries([image(), image() + 1000])
    sitk.WriteImage(series, str(tmp_path / f"a.{ending}"))
    with pytest.raises(ChoiceNeeded, match="2 volumes"):
        formats.read(tmp_path / f"a.{ending}")
    second = formats.read(tmp_path / f"a.{ending}", volume=2)
    np.testing.assert_array_equal(second.array, sitk.GetArrayFromImage(image()) + 1000)
    np.testing.assert_allclose(second.geometry.direction, TURN, atol=1e-12)
    sitk.WriteImage(sitk.Compose(image(), image()), str(tmp_path / f"b.{ending}"))
    with pytest.raises(FormatError, match="2 numbers a voxel"):
        formats.read(tmp_path / f"b.{ending}")


@pytest.mark.parametrize("ending", ENDINGS)
def test_not_an_image(tmp_path, ending):
    (tmp_path / f"a.{ending}").write_text("a letter, not an image\n")
    (tmp_path / f"b.{ending}").write_bytes(b"")
    for name in ("a", "b"):
        with pytest.raises(FormatError, match=r"is it an image|empty"):
            formats.read(tmp_path / f"{name}.{ending}")


@pytest.mark.parametrize("end_to", [*ENDINGS, "nii", "nii.gz"])
@pytest.mark.parametrize("end_from", ["nrrd", "mha", "nii.gz"])
def test_between_formats_values_and_places_stay(tmp_path, end_from, end_to):
    sitk.WriteImage(image(), str(tmp_path / f"a.{end_from}"))
    volume = formats.read(tmp_path / f"a.{end_from}")
    formats.write(tmp_path / f"b.{end_to}", volume)
    again = sitk.ReadImage(str(tmp_path / f"b.{end_to}"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(again), volume.array)
    for index in ((0, 0, 0), (6, 7, 8)):
        np.testing.assert_allclose(
            again.TransformIndexToPhysicalPoint(index[::-1]), volume.geometry.index_to_lps(index), atol=1e-4
        )


@pytest.mark.parametrize("ending", ENDINGS)
def test_labels_in_every_format(tmp_path, ending):
    geometry = Geometry.from_parts((7, 8, 9), (3, 1.7, 0.9), (1, 2, 3), TURN)
    array = np.random.default_rng(0).integers(0, 400, geometry.shape).astype(np.uint16)
    formats.write(tmp_path / f"a.{ending}", LabelMap(array, geometry, Labels.from_names({1: "liver"})))
    again = formats.read_labels(tmp_path / f"a.{ending}", names={1: "liver"})
    np.testing.assert_array_equal(again.array, array)
    assert again.array.dtype == np.uint16
    assert again.labels.name(1) == "liver"


@pytest.mark.parametrize("ending", ["nrrd", "mha", "nii.gz"])
def test_channels_are_written_as_a_fourth_axis(tmp_path, ending):
    geometry = Geometry.from_parts((7, 8, 9), (3, 1.7, 0.9), (1, 2, 3), TURN)
    array = np.random.default_rng(0).random((2, 7, 8, 9)).astype(np.float32)
    formats.write(tmp_path / f"a.{ending}", Volume(array, geometry))
    for k in range(2):
        again = formats.read(tmp_path / f"a.{ending}", volume=k + 1)
        np.testing.assert_array_equal(again.array, array[k])
        np.testing.assert_allclose(again.geometry.affine_lps, geometry.affine_lps, atol=1e-4)
