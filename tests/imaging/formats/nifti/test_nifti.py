"""NIfTI against nibabel and against the bytes of the file itself."""

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest

from ctseg_imaging import formats
from ctseg_imaging.errors import ChoiceNeeded, FormatError, GeometryError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Volume

SHAPE_XYZ = (9, 8, 7)
TURN = np.linalg.qr(np.array([[1, 0.2, -0.1], [-0.2, 1, 0.3], [0.1, -0.3, 1.0]]))[0] * [1, -1, 1]
RAS = np.block(
    [[TURN * [0.9, 1.7, 3.0], np.array([[12.0], [-30.0], [100.0]])], [np.zeros((1, 3)), np.ones((1, 1))]]
)


def voxels(dtype=np.int16) -> np.ndarray:
    """(x, y, z) as NIfTI counts."""
    return np.random.default_rng(3).integers(0, 200, SHAPE_XYZ).astype(dtype)


def save(path, data, affine=RAS, qcode=1, scode=1, kind=nib.Nifti1Image, **fields):
    image = kind(data, affine, dtype=data.dtype)
    image.set_qform(affine, qcode)
    image.set_sform(affine, scode)
    for name, value in fields.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def raw(path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "f4", "f8", ">i2", ">f4"])
def test_reads_as_nibabel_and_writes_the_same_bytes(tmp_path, kind, dtype):
    data = voxels(dtype)
    image = kind(
        data,
        RAS,
        dtype=data.dtype,
        header=kind.header_class(endianness=">") if dtype.startswith(">") else None,
    )
    image.set_qform(RAS, 2)
    image.set_sform(RAS, 4)
    image.header["descrip"] = b"as it was"
    nib.save(image, tmp_path / "a.nii")
    volume = formats.read(tmp_path / "a.nii")
    np.testing.assert_array_equal(volume.array, data.transpose(2, 1, 0))
    assert volume.array.dtype == np.dtype(dtype).newbyteorder("=")
    for index in ((0, 0, 0), (4, 3, 2), (8, 7, 6)):
        lps = (nib.load(tmp_path / "a.nii").affine @ [*index, 1])[:3] * [-1, -1, 1]
        np.testing.assert_allclose(volume.geometry.index_to_lps(index[::-1]), lps, atol=1e-4)
    formats.write(tmp_path / "b.nii", volume)
    assert raw(tmp_path / "b.nii") == raw(tmp_path / "a.nii")
    formats.write(tmp_path / "b.nii.gz", volume)
    assert raw(tmp_path / "b.nii.gz") == raw(tmp_path / "a.nii")


def test_extensions_and_odd_offsets_survive(tmp_path):
    image = nib.Nifti1Image(voxels(), RAS)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"kept as it is"))
    nib.save(image, tmp_path / "a.nii.gz")
    formats.write(tmp_path / "b.nii.gz", formats.read(tmp_path / "a.nii.gz"))
    assert raw(tmp_path / "b.nii.gz") == raw(tmp_path / "a.nii.gz")


def with_slope(path, slope, inter, dtype=np.uint16):
    """nibabel rescales when it saves, so the two fields are patched in afterwards."""
    save(path, voxels(dtype))
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<ff", slope, inter)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("slope", "inter", "dtype"),
    [(2, -1024, np.int16), (1, 100000, np.int32), (0.25, -3.5, np.float32), (-3, 7, np.int16)],
)
def test_slope_and_intercept_are_applied_and_come_back(tmp_path, slope, inter, dtype):
    path = with_slope(tmp_path / "a.nii", slope, inter)
    volume = formats.read(path)
    np.testing.assert_allclose(volume.array, nib.load(path).get_fdata().transpose(2, 1, 0), rtol=1e-6)
    assert volume.array.dtype == dtype
    formats.write(tmp_path / "b.nii", volume)
    assert raw(tmp_path / "b.nii") == raw(path)


def test_values_that_the_old_type_cannot_hold_get_their_own(tmp_path):
    path = with_slope(tmp_path / "a.nii", 2, -1024)
    volume = formats.read(path)
    changed = Volume(volume.array.astype(np.float32) + 0.3, volume.geometry, volume.header)
    formats.write(tmp_path / "b.nii", changed)
    np.testing.assert_array_equal(formats.read(tmp_path / "b.nii").array, changed.array)
    assert nib.load(tmp_path / "b.nii").header["sform_code"] == 1


@pytest.mark.parametrize(("slope", "inter"), [(0, 5), (np.nan, np.nan), (1, 0)])
def test_no_scaling_is_no_scaling(tmp_path, slope, inter):
    path = with_slope(tmp_path / "a.nii", slope, inter)
    np.testing.assert_array_equal(formats.read(path).array, voxels(np.uint16).transpose(2, 1, 0))


def test_sform_before_qform_and_disagreement_noted(tmp_path):
    image = nib.Nifti1Image(voxels(), RAS)
    moved = RAS.copy()
    moved[0, 3] += 20
    image.set_qform(RAS, 1)
    image.set_sform(moved, 1)
    nib.save(image, tmp_path / "a.nii")
    volume = formats.read(tmp_path / "a.nii")
    assert volume.geometry.origin_lps_mm[0] == pytest.approx(-32)
    assert "disagree by up to 20 mm" in " ".join(volume.notes)


def test_qform_alone_is_used_without_a_word(tmp_path):
    volume = formats.read(save(tmp_path / "a.nii", voxels(), scode=0))
    np.testing.assert_allclose(volume.geometry.origin_lps_mm, (-12, 30, 100), atol=1e-4)
    assert volume.notes == ()


def test_empty_sform_falls_back_to_the_qform_and_reports_it(tmp_path):
    path = save(tmp_path / "a.nii", voxels())
    content = bytearray(path.read_bytes())
    content[280:328] = bytes(48)
    path.write_bytes(content)
    volume = formats.read(path)
    np.testing.assert_allclose(volume.geometry.spacing_mm, (3, 1.7, 0.9), atol=1e-6)
    assert "sform is empty" in volume.notes[0]


@pytest.mark.parametrize("qfac", [0.0, 1.0, -1.0])
def test_qfac_of_zero_is_one(tmp_path, qfac):
    """As the standard has it; nibabel refuses such a qform. The quaternion stays, so -1 turns the third axis
    round.
    """
    path = save(tmp_path / "a.nii", voxels(), scode=0)
    content = bytearray(path.read_bytes())
    before = formats.read(path).geometry
    content[76:80] = struct.pack("<f", qfac)
    path.write_bytes(content)
    volume = formats.read(path)
    sign = np.sign(np.linalg.det(RAS[:3, :3])) * (qfac or 1)
    np.testing.assert_allclose(volume.geometry.direction[:, 2], sign * before.direction[:, 2], atol=1e-6)
    assert volume.notes == ()


def test_a_sheared_sform_gives_way_to_a_good_qform_and_only_to_one(tmp_path):
    sheared = RAS.copy()
    sheared[:3, 2] += 0.3 * sheared[:3, 1]
    image = nib.Nifti1Image(voxels(), RAS)
    image.set_sform(sheared, 4)
    image.set_qform(RAS, 1)
    nib.save(image, tmp_path / "a.nii")
    volume = formats.read(tmp_path / "a.nii")
    assert "sheared" in volume.notes[0]
    np.testing.assert_allclose(volume.geometry.spacing_mm, (3, 1.7, 0.9), atol=1e-6)
    formats.write(tmp_path / "b.nii", volume)
    assert raw(tmp_path / "b.nii") == raw(tmp_path / "a.nii")
    image.set_qform(None, 0)
    nib.save(image, tmp_path / "c.nii")
    with pytest.raises(GeometryError, match="sheared"):
        formats.read(tmp_path / "c.nii")


def test_neither_form_is_an_unknown_orientation(tmp_path):
    volume = formats.read(save(tmp_path / "a.nii", voxels(), qcode=0, scode=0))
    assert "Orientation unknown" in volume.notes[0]
    np.testing.assert_allclose(volume.geometry.spacing_mm, (3, 1.7, 0.9), atol=1e-6)


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.98])
def test_cut_files_are_refused(tmp_path, ending, share):
    whole = save(tmp_path / f"a.{ending}", voxels()).read_bytes()
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(FormatError, match=r"cut off|not a NIfTI|damaged"):
        formats.read(cut)


@pytest.mark.parametrize("lost", [1, 4, 8])
def test_a_gzip_stream_without_its_last_bytes_is_refused(tmp_path, lost):
    """All voxels are there and only the check sum is not: the download was cut."""
    path = save(tmp_path / "a.nii.gz", voxels())
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(FormatError, match="cut off"):
        formats.read(path)


def test_a_flipped_bit_in_a_gzip_stream_is_refused(tmp_path):
    path = save(tmp_path / "a.nii.gz", voxels())
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # in the check sum
    path.write_bytes(content)
    with pytest.raises(FormatError, match="damaged"):
        formats.read(path)


def test_wrong_suffixes_are_named(tmp_path):
    save(tmp_path / "a.nii", voxels()).rename(tmp_path / "b.nii.gz")
    save(tmp_path / "a.nii.gz", voxels()).rename(tmp_path / "b.nii")
    with pytest.raises(FormatError, match=r"not gzip compressed.*rename it to \.nii"):
        formats.read(tmp_path / "b.nii.gz")
    with pytest.raises(FormatError, match=r"is gzip compressed.*rename it to \.nii\.gz"):
        formats.read(tmp_path / "b.nii")


def test_a_header_that_promises_the_moon_is_no_memory_error(tmp_path):
    path = save(tmp_path / "a.nii", voxels())
    content = bytearray(path.read_bytes())
    content[40:56] = struct.pack("<8h", 3, 30000, 30000, 30000, 1, 1, 1, 1)
    path.write_bytes(content)
    with pytest.raises(FormatError, match="cut off"):
        formats.read(path)


def test_volumes_of_a_4d_file_are_chosen_from_one(tmp_path):
    data = np.stack([voxels() + 1000 * k for k in range(3)], -1)
    path = save(tmp_path / "a.nii.gz", data)
    assert [choice.index for choice in formats.list_choices(path)] == [1, 2, 3]
    with pytest.raises(ChoiceNeeded, match="3 volumes"):
        formats.read(path)
    second = formats.read(path, volume=2)
    np.testing.assert_array_equal(second.array, data[..., 1].transpose(2, 1, 0))
    for wrong in (0, 4):
        with pytest.raises(FormatError, match="no volume"):
            formats.read(path, volume=wrong)
    formats.write(tmp_path / "b.nii", second)
    assert nib.load(tmp_path / "b.nii").shape == SHAPE_XYZ
    assert raw(tmp_path / "b.nii")[252:328] == raw(path)[252:328]  # the codes, qform and sform


def test_header_and_image_pair(tmp_path):
    nib.save(nib.Nifti1Pair(voxels(), RAS), tmp_path / "a.hdr")
    volume = formats.read(tmp_path / "a.hdr")
    np.testing.assert_array_equal(volume.array, voxels().transpose(2, 1, 0))
    formats.write(tmp_path / "b.nii", volume)
    np.testing.assert_array_equal(nib.load(tmp_path / "b.nii").get_fdata(), voxels())
    np.testing.assert_array_equal(nib.load(tmp_path / "b.nii").affine, nib.load(tmp_path / "a.hdr").affine)
    (tmp_path / "a.img").unlink()
    with pytest.raises(FormatError, match=r"a\.img is missing"):
        formats.read(tmp_path / "a.hdr")


def test_labels_take_the_geometry_of_the_image_to_the_bit_and_nothing_else(tmp_path):
    image = formats.read(with_slope(tmp_path / "a.nii", 2, -1024))
    image.header["descrip"] = b"somebody's name"
    labels = LabelMap(
        np.random.default_rng(0).integers(0, 3, image.array.shape).astype(np.uint8), image.geometry
    )
    formats.write(tmp_path / "b.nii", labels, like=image)
    written, source = raw(tmp_path / "b.nii"), raw(tmp_path / "a.nii")
    assert written[252:328] == source[252:328]
    assert written[76:92] == source[76:92]
    assert b"somebody" not in written
    header = nib.Nifti1Header.from_fileobj((tmp_path / "b.nii").open("rb"), check=False)
    assert header.get_data_dtype() == np.uint8
    assert (float(header["scl_slope"]), float(header["scl_inter"])) == (1, 0)
    np.testing.assert_array_equal(formats.read_labels(tmp_path / "b.nii").array, labels.array)


def test_like_on_another_grid_is_refused(tmp_path):
    image = formats.read(save(tmp_path / "a.nii", voxels()))
    elsewhere = LabelMap(
        np.zeros(image.array.shape, np.uint8), image.geometry.with_spacing((1, 1, 1), image.array.shape)
    )
    with pytest.raises(GeometryError, match="another grid"):
        formats.write(tmp_path / "b.nii", elsewhere, like=image)
    assert not (tmp_path / "b.nii").exists()


def test_a_header_of_another_grid_is_not_used(tmp_path):
    """An item that kept its header after it was moved must not be written where it came from."""
    image = formats.read(save(tmp_path / "a.nii", voxels()))
    affine = image.geometry.affine_lps.copy()
    affine[0, 3] += 5
    moved = Volume(image.array, Geometry(image.array.shape, affine), image.header)
    formats.write(tmp_path / "b.nii", moved)
    np.testing.assert_allclose(formats.read(tmp_path / "b.nii").geometry.affine_lps, affine, atol=1e-4)


def test_a_new_file_has_both_forms_with_code_1(tmp_path):
    geometry = Geometry.from_parts((7, 8, 9), (3, 1.7, 0.9), (-12, 30, 100), TURN)
    formats.write(tmp_path / "a.nii.gz", Volume(voxels().transpose(2, 1, 0), geometry))
    header = nib.load(tmp_path / "a.nii.gz").header
    assert (header["qform_code"], header["sform_code"]) == (1, 1)
    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-4)
    np.testing.assert_allclose(
        formats.read(tmp_path / "a.nii.gz").geometry.affine_lps, geometry.affine_lps, atol=1e-4
    )
    assert header.get_xyzt_units()[0] == "mm"


def test_the_same_content_gives_the_same_file(tmp_path):
    volume = formats.read(save(tmp_path / "a.nii", voxels()))
    formats.write(tmp_path / "b.nii.gz", volume)
    formats.write(tmp_path / "c.nii.gz", volume)
    assert (tmp_path / "b.nii.gz").read_bytes() == (tmp_path / "c.nii.gz").read_bytes()
