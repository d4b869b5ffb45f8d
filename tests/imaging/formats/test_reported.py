"""Files after public bug reports: each is read as its README states, or refused in a sentence that names the
cause. DICOM and segmentations have their own tests.
"""

import numpy as np
import pytest
import SimpleITK as sitk

from ctseg_imaging import formats
from ctseg_imaging.errors import CtsegError, ShearedGrid
from ctseg_imaging.volume import LabelMap

SUM = -2418320  # of the phantom's voxels, (z, y, x) 10 x 24 x 20 of 3 x 1 x 1.5 mm
PHANTOM = (3, 1, 1.5)

READ = {  # file: spacing (z, y, x) in mm, part of a remark ("" where none is expected)
    "meta-compressed-without-size/a-nosize.mha": (PHANTOM, "no orientation"),
    "meta-compressed-without-size/g-right.mha": (PHANTOM, "no orientation"),
    "nifti-sform-against-pixdim/ct.nii": (
        (3, 1, 0.7),
        "SimpleITK, ITK-SNAP and Slicer measure by the voxel size",
    ),
    "nifti-trailing/garbage.nii.gz": (PHANTOM, "300 bytes after"),
    "nifti-trailing/two-members.nii.gz": (PHANTOM, ""),
    "nifti-trailing/zeros.nii.gz": (PHANTOM, ""),
    "nifti-fourth-dimension-zero/dim4-is-0.nii": (PHANTOM, "taken as 1"),
    "nrrd-bzip2/bz.nrrd": (PHANTOM, ""),
    "nrrd-units/micrometres.nrrd": ((0.8, 0.4, 0.4), "um"),
}
REFUSED = {
    "meta-dimensions/crash.mha": "ndims",
    "nifti-scaling/internan.nii": "scl_inter",
    "nifti-oblique-rounded/ct.nii.gz": r"sheared by 0\.084 degrees.*--nearest-grid",
    "nrrd-spacing-nan/spacings-nan.nrrd": "NaN",
}


@pytest.mark.parametrize("name", READ)
def test_read(shared_file, name):
    spacing, remark = READ[name]
    volume = formats.read(shared_file(f"reported/{name}"))
    assert int(volume.array.sum(dtype=np.int64)) == SUM
    np.testing.assert_allclose(volume.geometry.spacing_mm, spacing, rtol=1e-6)
    assert volume.notes == () if not remark else any(remark in note for note in volume.notes)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(shared_file, name):
    with pytest.raises(CtsegError, match=REFUSED[name]) as refusal:
        formats.read(shared_file(f"reported/{name}"))
    assert "\n" not in str(refusal.value)


def test_the_nearest_grid_is_taken_only_when_asked_for(shared_file, tmp_path):
    path = shared_file("reported/nifti-oblique-rounded/ct.nii.gz")
    with pytest.raises(ShearedGrid):
        formats.read(path)
    volume = formats.read(path, nearest_grid=True)
    assert int(volume.array.sum(dtype=np.int64)) == SUM
    assert "0.018 mm" in volume.notes[0]
    import nibabel as nib

    stated = np.diag([-1, -1, 1, 1]) @ nib.load(path).affine
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(volume.array.shape) - 1)
    by_file = corners[:, ::-1] @ stated[:3, :3].T + stated[:3, 3]
    apart = np.linalg.norm(volume.geometry.index_to_lps(corners) - by_file, axis=1)
    assert 0.01 < apart.max() < 0.0185  # the 0.018 mm that the remark gives, rounded to two digits
    formats.write(tmp_path / "a.nii.gz", volume)
    np.testing.assert_allclose(
        sitk.ReadImage(str(tmp_path / "a.nii.gz")).GetSpacing()[::-1], volume.geometry.spacing_mm, rtol=1e-6
    )


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "mha"])
@pytest.mark.parametrize("name", [*READ])
def test_what_is_written_has_one_size_everywhere(shared_file, tmp_path, name, ending):
    """A label map next to its image: nibabel and SimpleITK (ITK-SNAP, Slicer) measure what we measure."""
    volume = formats.read(shared_file(f"reported/{name}"))
    target = tmp_path / f"a.{ending}"
    formats.write(
        target,
        LabelMap((volume.array > 0).astype(np.uint8), volume.geometry, header=volume.header),
        like=volume,
    )
    np.testing.assert_allclose(
        sitk.ReadImage(str(target)).GetSpacing()[::-1], volume.geometry.spacing_mm, rtol=1e-6
    )
    if ending == "nii.gz":
        import nibabel as nib

        np.testing.assert_allclose(
            np.linalg.norm(nib.load(target).affine[:3, :3], axis=0)[::-1],
            volume.geometry.spacing_mm,
            rtol=1e-6,
        )
