"""Every doubt about size is a remark or a refusal, and what is written measures the same in nibabel and
SimpleITK.
"""

import itertools
import struct

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from ctseg_imaging import formats
from ctseg_imaging.errors import CtsegError, GeometryError, ShearedGrid
from ctseg_imaging.formats.placing import without_shear
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Volume

SHAPE_XYZ = (5, 4, 3)
SIZES_XYZ = (0.5, 2.0, 3.0)
OBLIQUE = np.linalg.qr(np.array([[1, 0.2, -0.1], [-0.2, 1, 0.3], [0.1, -0.3, 1.0]]))[0]
TURNS = [
    np.eye(3)[list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def save(path, turn=OBLIQUE, unit="mm", per_mm=1.0, qcode=1, scode=1, **fields):
    affine = np.eye(4)
    affine[:3, :3] = turn * SIZES_XYZ * per_mm
    affine[:3, 3] = np.array((-20, 30, 40)) * per_mm
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(SHAPE_XYZ), affine)
    image.set_qform(affine, qcode)
    image.set_sform(affine, scode)
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    patch(path, **fields)
    return path


PLACES = {
    "dim": (40, "8h"),
    "datatype": (70, "h"),
    "pixdim": (76, "8f"),
    "vox_offset": (108, "f"),
    "scl_slope": (112, "f"),
    "scl_inter": (116, "f"),
    "xyzt_units": (123, "b"),
    "srow_x": (280, "4f"),
}


def patch(path, **fields):
    """Write fields of a NIfTI-1 header that nibabel would not."""
    content = bytearray(path.read_bytes())
    for name, value in fields.items():
        at, kind = PLACES[name]
        struct.pack_into("<" + kind, content, at, *np.atleast_1d(value))
    path.write_bytes(content)


def measured_by_both(path):
    """Voxel sizes (z, y, x) in mm by SimpleITK and by nibabel's affine, and the point of one voxel by
    each.
    """
    image, other = sitk.ReadImage(str(path)), nib.load(path)
    unit = {"meter": 1000, "mm": 1, "micron": 1e-3, "unknown": 1}[other.header.get_xyzt_units()[0]]
    affine = other.affine * unit
    return (
        (np.array(image.GetSpacing()[::-1]), np.array(image.TransformIndexToPhysicalPoint((4, 3, 2)))),
        (
            np.linalg.norm(affine[:3, :3], axis=0)[::-1],
            (affine[:3, :3] @ (4, 3, 2) + affine[:3, 3]) * (-1, -1, 1),
        ),
    )


@pytest.mark.parametrize("ending", ["nii.gz", "nii"])
@pytest.mark.parametrize(("unit", "per_mm"), [("mm", 1), ("micron", 1000), ("meter", 1e-3)])
@pytest.mark.parametrize("codes", [(1, 1), (1, 0), (0, 1)])
def test_labels_and_images_have_the_size_of_their_source(tmp_path, unit, per_mm, codes, ending):
    for number, turn in enumerate([OBLIQUE, OBLIQUE * (1, 1, -1), *TURNS]):
        volume = formats.read(save(tmp_path / f"{number}.nii", turn, unit, per_mm, *codes))
        np.testing.assert_allclose(volume.geometry.spacing_mm, SIZES_XYZ[::-1], rtol=1e-6)
        labels = LabelMap((volume.array > 20).astype(np.uint8), volume.geometry)
        for item, like in ((labels, volume), (labels, None), (volume, None)):
            target = tmp_path / f"a.{ending}"
            formats.write(target, item, like=like, overwrite=True)
            for spacing, point in measured_by_both(target):
                np.testing.assert_allclose(spacing, SIZES_XYZ[::-1], rtol=1e-5)
                np.testing.assert_allclose(point, volume.geometry.index_to_lps((2, 3, 4)), atol=1e-3)


@pytest.mark.parametrize("ending", ["nrrd", "mha", "nii.gz"])
def test_sizes_of_metres_survive_every_format(tmp_path, ending):
    volume = formats.read(save(tmp_path / "a.nii", unit="meter", per_mm=1e-3))
    formats.write(tmp_path / f"b.{ending}", volume)
    np.testing.assert_allclose(
        sitk.ReadImage(str(tmp_path / f"b.{ending}")).GetSpacing(), SIZES_XYZ, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("fields", "remark"),
    [
        ({"pixdim": [1, 1.5, 2, 3, 1, 1, 1, 1]}, "sform gives voxels of 0.5 x 2 x 3"),
        ({"xyzt_units": 0, "pixdim": [1, 0.5, 2, 3, 1, 1, 1, 1]}, ""),
        ({"dim": [4, 5, 4, 3, 0, 0, 0, 0]}, "taken as 1"),
        ({"scl_slope": 0, "scl_inter": 7}, "scl_inter (7) was ignored"),
        ({"scl_slope": np.nan, "scl_inter": 7}, "ignored"),
        ({"scl_slope": 0, "scl_inter": 0}, ""),
        ({"scl_slope": np.nan, "scl_inter": np.nan}, ""),
    ],
)
def test_doubts_that_are_noted(tmp_path, fields, remark):
    volume = formats.read(save(tmp_path / "a.nii", qcode=0, **fields))
    np.testing.assert_allclose(volume.geometry.spacing_mm, SIZES_XYZ[::-1], rtol=1e-6)
    np.testing.assert_array_equal(
        volume.array.ravel(), np.arange(60).reshape(SHAPE_XYZ).transpose(2, 1, 0).ravel()
    )
    assert volume.notes == () if not remark else any(remark in note for note in volume.notes)


def test_sizes_without_a_unit_that_are_unlikely_in_mm_are_noted(tmp_path):
    for per_mm, doubted in ((1, False), (1e-3, True), (1000, True)):
        notes = formats.read(save(tmp_path / "a.nii", unit="unknown", per_mm=per_mm)).notes
        assert any("no unit of length" in note for note in notes) == doubted


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"scl_slope": 2, "scl_inter": np.nan}, "scl_inter"),
        ({"scl_slope": np.inf}, "scl_slope"),
        ({"scl_slope": 1e38}, "scl_slope"),
        ({"vox_offset": 0}, "inside its header of 352"),
        ({"vox_offset": 348}, "vox_offset"),
        ({"vox_offset": np.nan}, "vox_offset"),
        ({"vox_offset": -5}, "vox_offset"),
        ({"vox_offset": 1e30}, "vox_offset"),
        ({"vox_offset": 400}, "cut off"),
        ({"xyzt_units": 5}, "unit"),
        ({"datatype": 77}, "type 77"),
        ({"dim": [3, 5, 4, 0, 1, 1, 1, 1]}, "dimensions"),
        ({"dim": [3, 5, -4, 3, 1, 1, 1, 1]}, "dimensions"),
        ({"dim": [99, 5, 4, 3, 1, 1, 1, 1]}, "damaged"),
        ({"srow_x": [np.nan] * 4}, "voxel size|pixdim|sform|affine"),
    ],
)
def test_doubts_that_are_refused(tmp_path, fields, cause):
    path = save(tmp_path / "a.nii", qcode=0, **fields)
    if "srow_x" in fields:
        patch(path, pixdim=[1, 0, 2, 3, 1, 1, 1, 1])
    with pytest.raises(CtsegError, match=cause) as refusal:
        formats.read(path)
    assert "\n" not in str(refusal.value)


def test_a_size_that_pixdim_denies_is_no_stated_size(tmp_path):
    """nnU-Net's spacing is the stated one; where the two disagree it has to be the one that is used."""
    volume = formats.read(save(tmp_path / "a.nii", pixdim=[1, 1.5, 2, 3, 1, 1, 1, 1], qcode=0))
    assert volume.geometry.stated_mm is None
    formats.write(tmp_path / "b.nii", volume)
    for spacing, _ in measured_by_both(tmp_path / "b.nii"):
        np.testing.assert_allclose(spacing, SIZES_XYZ[::-1], rtol=1e-6)


def test_the_nearest_grid_without_shear():
    """By hand: y leans by 2 e towards x, so each of the two axes turns by e; the centre and the lengths
    stay.
    """
    e = 1e-4
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, np.sin(2 * e), 1], [0, np.cos(2 * e), 0], [1, 0, 0]]) * (
        3,
        2,
        1,
    )  # columns z, y, x
    box, moved = without_shear((1, 101, 1), affine)
    np.testing.assert_allclose(box[:3, 1], [2 * np.sin(e), 2 * np.cos(e), 0], atol=1e-9)
    np.testing.assert_allclose(box[:3, 2], [np.cos(e), -np.sin(e), 0], atol=1e-9)
    assert moved == pytest.approx(50 * 2 * e, rel=1e-3)
    np.testing.assert_allclose(box @ (0, 50, 0, 1), affine @ (0, 50, 0, 1), atol=1e-9)


def test_more_shear_than_rounding_leaves_has_no_nearest_grid(tmp_path):
    tilted = OBLIQUE.copy()
    tilted[:, 2] = np.cos(0.1) * OBLIQUE[:, 2] + np.sin(0.1) * OBLIQUE[:, 1]
    path = save(tmp_path / "a.nii", tilted, qcode=0)
    with pytest.raises(ShearedGrid, match=r"5\.7 degrees.*resample") as refusal:
        formats.read(path, nearest_grid=True)
    assert refusal.value.degrees == pytest.approx(np.degrees(0.1), rel=1e-3)
    assert isinstance(refusal.value, GeometryError)


def test_nrrd_and_metaimage_have_the_same_way_out(tmp_path):
    image = sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    image.SetDirection((OBLIQUE + np.outer((1, 0, 0), (0, 2e-3, 0))).ravel().tolist())
    for ending in ("nrrd", "mha"):
        sitk.WriteImage(image, str(tmp_path / f"a.{ending}"))
        with pytest.raises(ShearedGrid, match="--nearest-grid"):
            formats.read(tmp_path / f"a.{ending}")
        volume = formats.read(tmp_path / f"a.{ending}", nearest_grid=True)
        assert isinstance(volume, Volume)
        assert "nearest grid" in " ".join(volume.notes)
        assert (
            Geometry(volume.geometry.shape, volume.geometry.affine_lps).spacing_mm
            == volume.geometry.spacing_mm
        )
